//! A policy file: read, or refused in words.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin_verifier::policy::Policy;

fuzz_target!(|data: &[u8]| {
    if let Err(error) = Policy::from_toml(data) {
        assert!(!error.to_string().is_empty());
    }
});
