//! Rows 8, 9, 10 and 12 of the threats, as attacks on the program: a directory of evidence in, JSON
//! and an exit code out.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use ravelin_dice::time::Validity;
use ravelin_dice::{Component, Mode, UnixTime};
use ravelin_maker::{FirmwareSet, Maker, reference_values};
use ravelin_verifier::model::evidence::Gpu;
use serde_json::Value;
use support::apm::{AT, Boot, NONCE, save};

const SERIALS: [&str; 4] = ["0001", "0002", "0003", "0004"];

/// The program's judgement on these GPUs: exit code and JSON.
fn verify(gpus: &[Gpu], arguments: &[&str]) -> (i32, Value) {
    let directory = tempfile::tempdir().unwrap();
    save(directory.path(), gpus);
    let output = Command::new(env!("CARGO_BIN_EXE_ravelin-verify"))
        .arg("apm")
        .arg(directory.path())
        .args(["--json", "--at", AT, "--nonce", &hex::encode(NONCE)])
        .args(arguments)
        .output()
        .unwrap();
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(verdict["trusted"], output.status.code() == Some(0));
    (output.status.code().unwrap(), verdict)
}

/// The device's failures: `check reason`.
fn failures(device: &Value) -> Vec<String> {
    let checks = device["checks"].as_array().unwrap();
    let failed = checks.iter().filter(|check| check["result"] == "fail");
    failed
        .map(|check| {
            let word = |name: &str| check[name].as_str().unwrap_or_default().to_owned();
            format!("{} {}", word("code"), word("reason")).trim_end().to_owned()
        })
        .collect()
}

/// The failures of one refused GPU.
fn refused(gpu: Gpu, arguments: &[&str]) -> Vec<String> {
    let (code, verdict) = verify(&[gpu], arguments);
    assert_eq!(code, 2, "{verdict:#}");
    failures(&verdict["devices"][0])
}

fn word(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A revocation list of the development maker with one certificate of a chain, 1 for the identity,
/// 2 for the attestation key.
fn revoke(directory: &Path, gpu: &Gpu, place: usize) -> std::path::PathBuf {
    use x509_cert::Certificate;
    use x509_cert::der::{Decode, Encode};
    let certificate = Certificate::from_der(&gpu.evidence.certificates[place]).unwrap();
    let content = certificate.tbs_certificate();
    let id = ravelin_dice::CertificateId {
        issuer: content.issuer().to_der().unwrap(),
        serial: content.serial_number().as_bytes().to_vec(),
    };
    let maker = Maker::development().unwrap();
    let path = directory.join("list.crl");
    fs::write(&path, maker.revoke([id], 2, reference_values::VALIDITY).unwrap()).unwrap();
    path
}

#[test]
fn row_8_old_firmware_is_refused() {
    let policy = tempfile::NamedTempFile::new().unwrap();
    fs::write(policy.path(), format!("[apm]\nminimum_svn = {}", FirmwareSet::current().svn()))
        .unwrap();
    let with_floor = ["--policy", word(policy.path())];
    let old = Boot::with("0001", |boot| boot.firmware = FirmwareSet::previous());
    assert_eq!(refused(old.gpu(), &with_floor), ["svn svn-below-floor"]);
    assert_eq!(verify(&[Boot::of("0001").gpu()], &with_floor).0, 0);
}

#[test]
fn row_8_a_revoked_attestation_key_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let gpu = Boot::of("0001").gpu();
    let list = revoke(directory.path(), &gpu, 2);
    let expected = ["attestation-key-revocation attestation-key-revoked"];
    assert_eq!(refused(gpu, &["--crl", word(&list)]), expected);
    assert_eq!(verify(&[Boot::of("0002").gpu()], &["--crl", word(&list)]).0, 0);
}

#[test]
fn row_8_a_revoked_identity_key_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let gpu = Boot::of("0001").gpu();
    let list = revoke(directory.path(), &gpu, 1);
    let expected = ["identity-revocation identity-revoked"];
    assert_eq!(refused(gpu, &["--crl", word(&list)]), expected);
    assert_eq!(verify(&[Boot::of("0002").gpu()], &["--crl", word(&list)]).0, 0);
}

#[test]
fn row_8_an_expired_certificate_is_refused() {
    let expired = Boot::with("0001", |boot| {
        // 2026-11-23T00:00:00Z.
        boot.validity =
            Some(Validity { not_before: UnixTime(1), not_after: UnixTime(1_795_392_000) });
    });
    assert_eq!(refused(expired.gpu(), &[]), ["certificate-time certificate-expired"]);
}

#[test]
fn row_8_a_device_of_an_unknown_root_is_refused() {
    let stranger =
        Maker::from_seed([1; 48], "Ravelin Development Root - Not For Production").unwrap();
    let gpu = Boot::of("0001").gpu_of(&stranger.provision("0001").unwrap());
    let (code, verdict) = verify(&[gpu], &[]);
    assert_eq!(code, 2);
    assert_eq!(failures(&verdict["devices"][0]), ["certificate-root unknown-root"]);
    assert_eq!(verdict["devices"][0]["identity"], "");
}

#[test]
fn row_9_malicious_firmware_is_another_firmware_in_whatever_component() {
    for component in Component::ALL {
        let malicious = Boot::with("0001", |boot| {
            let mut image = boot.firmware.image(component).clone();
            image.body[7] ^= 1;
            boot.firmware = boot.firmware.clone().with(image);
        });
        assert_eq!(refused(malicious.gpu(), &[]), ["firmware firmware-unknown"], "{component}");
    }
}

#[test]
fn row_10_a_stale_nonce_is_refused() {
    let earlier = Boot::with("0001", |boot| boot.nonce = [7; 32]);
    assert_eq!(refused(earlier.gpu(), &[]), ["nonce nonce-mismatch"]);
}

#[test]
fn row_10_evidence_of_an_earlier_session_is_refused_whatever_its_file_says() {
    let mut replayed = Boot::with("0001", |boot| boot.nonce = [7; 32]).gpu();
    replayed.nonce = NONCE;
    assert_eq!(refused(replayed, &[]), ["nonce nonce-mismatch"]);
}

#[test]
fn row_10_a_short_nonce_is_refused() {
    // Of the relying party: no judgement is made with it.
    let directory = tempfile::tempdir().unwrap();
    save(directory.path(), &[Boot::of("0001").gpu()]);
    let output = Command::new(env!("CARGO_BIN_EXE_ravelin-verify"))
        .args(["apm", word(directory.path()), "--at", AT, "--nonce", "0101"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("64 hexadecimal digits"));

    // In the messages: 16 bytes where 32 belong.
    let mut short = Boot::of("0001").gpu();
    short.evidence.measurements.request.drain(4..20);
    assert_eq!(refused(short, &[]), ["measurements-format malformed-evidence"]);
}

#[test]
fn row_12_four_good_devices_are_trusted_as_a_whole() {
    let (code, verdict) = verify(&SERIALS.map(|serial| Boot::of(serial).gpu()), &[]);
    assert_eq!(code, 0);
    assert_eq!(verdict["devices"].as_array().unwrap().len(), 4);
}

#[test]
fn row_12_one_bad_device_at_any_place_spoils_the_whole_and_no_other_verdict() {
    type Spoil = (&'static str, fn(&'static str) -> Gpu);
    let ways: [Spoil; 4] = [
        ("debug debug-enabled", |serial| {
            Boot::with(serial, |boot| boot.mode = Mode::Devtools).gpu()
        }),
        ("nonce nonce-mismatch", |serial| Boot::with(serial, |boot| boot.nonce = [7; 32]).gpu()),
        ("report-signature bad-signature", |serial| {
            let mut gpu = Boot::of(serial).gpu();
            *gpu.evidence.measurements.response.last_mut().unwrap() ^= 1;
            gpu
        }),
        ("certificate-root unknown-root", |serial| {
            let mut gpu = Boot::of(serial).gpu();
            gpu.evidence.certificates.remove(0);
            gpu
        }),
    ];
    for (expected, spoil) in ways {
        for bad in 0..4 {
            let gpus: [Gpu; 4] = std::array::from_fn(|place| match SERIALS[place] {
                serial if place == bad => spoil(serial),
                serial => Boot::of(serial).gpu(),
            });
            let (code, verdict) = verify(&gpus, &[]);
            assert_eq!(code, 2, "{expected} at {bad}");
            for (place, device) in verdict["devices"].as_array().unwrap().iter().enumerate() {
                assert_eq!(device["trusted"], place != bad, "{expected} at {bad}: {place}");
                let failed = if place == bad { vec![expected] } else { vec![] };
                assert_eq!(failures(device), failed, "{expected} at {bad}: {place}");
            }
        }
    }
}

#[test]
fn row_12_a_device_whose_evidence_cannot_be_read_spoils_the_whole_and_no_other_verdict() {
    for bad in 0..4 {
        let directory = tempfile::tempdir().unwrap();
        save(directory.path(), &SERIALS.map(|serial| Boot::of(serial).gpu()));
        let path = directory.path().join("evidence.json");
        let mut file: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        file["gpus"][bad]["response"] = "%".into();
        fs::write(&path, file.to_string()).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_ravelin-verify"))
            .args(["apm", word(directory.path()), "--json", "--at", AT])
            .args(["--nonce", &hex::encode(NONCE)])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
        for (place, device) in verdict["devices"].as_array().unwrap().iter().enumerate() {
            assert_eq!(device["trusted"], place != bad, "{place} of {bad}");
        }
        assert_eq!(failures(&verdict["devices"][bad]), ["evidence-format"]);
    }
}

#[test]
fn row_12_the_same_device_twice_is_refused_at_both_places() {
    for (first, second) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
        let mut gpus = SERIALS.map(|serial| Boot::of(serial).gpu());
        gpus[second] = Boot::of(SERIALS[first]).gpu();
        let (code, verdict) = verify(&gpus, &[]);
        assert_eq!(code, 2, "{first} at {second}");
        for (place, device) in verdict["devices"].as_array().unwrap().iter().enumerate() {
            let twice = place == first || place == second;
            assert_eq!(device["trusted"], !twice, "{first} at {second}: {place}");
            let failed = if twice { vec!["distinct-device identity-repeated"] } else { vec![] };
            assert_eq!(failures(device), failed, "{first} at {second}: {place}");
        }
    }
}
