//! The description of a VM in a file: read and checked, or refused in words.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin::config::VmSpec;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    match VmSpec::from_toml(text) {
        Ok(spec) => drop(spec.check()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
