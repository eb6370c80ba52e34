//! What the VMM tells the guest at its start: `hvm_start_info` anywhere in memory, and the command
//! line.
//!
//! The first two bytes are where the structure begins.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin_guest::parameters::Parameters;
use ravelin_guest::start_info::{FIRST, StartInfo};

fuzz_target!(|data: &[u8]| {
    let Some((at, memory)) = data.split_first_chunk() else { return };
    let address = FIRST.wrapping_add_signed(i64::from(i16::from_le_bytes(*at)));
    if let Ok(info) = StartInfo::read(memory, address) {
        assert!(info.payload.start <= info.payload.end);
        let parameters = Parameters::new(info.command_line);
        let _ = parameters.get("workload");
        let _ = (parameters.number("gpus"), parameters.bytes::<32>("nonce"));
        let _ = parameters.required("tsc_khz");
    }
});
