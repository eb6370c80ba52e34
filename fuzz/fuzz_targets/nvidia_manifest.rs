//! NVIDIA's reference manifests: XML from anywhere.
//!
//! Signatures are judged only with a report, which is [`nvidia_report`](../nvidia_report)'s part.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin_verifier::nvidia::manifest::Manifest;

fuzz_target!(|data: &[u8]| {
    if let Ok(manifest) = Manifest::decode(data) {
        assert!(manifest.is_for(&manifest.version) || manifest.version.contains(['\\', '?']));
        assert!(manifest.active().all(|(_, values)| values.iter().all(|v| v.len() == 48)));
    }
});
