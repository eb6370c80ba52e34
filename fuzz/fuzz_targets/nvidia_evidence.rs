//! NVIDIA's evidence of several GPUs in one file. Nothing that a fuzzer can make is trusted, and one
//! element that cannot be read spoils no other.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ravelin_fuzz::evidence::now;
use ravelin_verifier::nvidia::evidence::{from_json, nonce};
use ravelin_verifier::nvidia::{References, judge_all, version};
use ravelin_verifier::policy::Policy;
use ravelin_verifier::roots;

static REFERENCES: LazyLock<References> = LazyLock::new(|| References {
    device_root: roots::nvidia_device().unwrap(),
    manifest_root: roots::nvidia_manifest().unwrap(),
    manifests: Vec::new(),
    revocation_lists: Vec::new(),
    nonce: None,
    at: now(),
});

fuzz_target!(|data: &[u8]| {
    if let Ok(gpus) = from_json(data) {
        let verdict = judge_all(&gpus, &REFERENCES, &Policy::default());
        assert!(!verdict.trusted);
        assert_eq!(verdict.devices.len(), gpus.len());
    }
    if let Ok(text) = str::from_utf8(data) {
        let _ = nonce(text);
        for radix in [10, 16] {
            let _ = version::at_least(text, "96.00.5E.00.01", radix);
            let _ = version::at_least("535.86.09", text, radix);
        }
    }
});
