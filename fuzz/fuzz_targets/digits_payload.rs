//! The payload of the sample workload: a safetensors file from a stranger.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin_digits::Payload;

fuzz_target!(|data: &[u8]| {
    if let Ok(payload) = Payload::parse(data) {
        assert!(payload.labels().is_none_or(|labels| labels.len() == payload.samples()));
        assert!(payload.images().iter().all(|pixel| pixel.is_finite()));
        assert_eq!(Payload::parse(&payload.to_bytes().unwrap()).unwrap(), payload);
    }
});
