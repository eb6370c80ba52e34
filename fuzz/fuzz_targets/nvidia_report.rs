//! NVIDIA's report and the opaque data in it. Nothing that a fuzzer can make is trusted.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ravelin_fuzz::evidence::now;
use ravelin_verifier::nvidia::evidence::{Evidence, bytes_or_hex};
use ravelin_verifier::nvidia::opaque::Opaque;
use ravelin_verifier::nvidia::report::Report;
use ravelin_verifier::nvidia::{References, judge};
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
    if let Ok(opaque) = Opaque::decode(data) {
        let _ = (opaque.driver_version(), opaque.vbios_version(), opaque.firmware_id());
        let _ = (opaque.mode(), opaque.nvdec0_disabled());
    }
    let Ok(report) = bytes_or_hex(data) else { return };
    if let Ok(report) = Report::decode(&report) {
        assert!(report.used_indices().count() <= report.blocks());
        for index in 0..=u8::MAX {
            let _ = report.measurement(index);
        }
    }
    let certificates = vec![roots::nvidia_device().unwrap()];
    let evidence = Ok(Evidence { report, certificates, nonce: None });
    assert!(!judge(&evidence, &REFERENCES, &Policy::default()).trusted);
});
