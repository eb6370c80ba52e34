//! Conversions beside a device's accesses, on two threads: nothing private is read or written, while a
//! transaction lives nothing changes, and every refusal is counted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin_devices::drive::race::Racer;

thread_local! {
    static RACER: Racer = Racer::new();
}

fuzz_target!(|data: &[u8]| RACER.with(|racer| racer.run(data)));
