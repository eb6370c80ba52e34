//! Captures of SPDM conversations from anywhere.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin_spdm_capture::read;

fuzz_target!(|data: &[u8]| {
    if let Ok((_, payloads)) = read(data) {
        assert!(payloads.iter().map(Vec::len).sum::<usize>() <= data.len());
    }
});
