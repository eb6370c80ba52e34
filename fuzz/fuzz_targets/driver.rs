//! The guest's GPU driver in the hands of a host that changes shared memory, registers, configuration
//! space and the mailbox under it: bytes arrive as they were sent, or the session is lost.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin_driver::drive::drive;

fuzz_target!(|data: &[u8]| drive(data));
