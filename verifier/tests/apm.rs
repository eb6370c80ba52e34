//! Evidence of the GPU model: the development maker's devices, judged from a saved directory.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use ravelin_dice::Mode;
use ravelin_verifier::model::evidence::{Gpu, from_json, to_json};
use ravelin_verifier::model::{References, development, judge_all};
use ravelin_verifier::policy::Policy;
use ravelin_verifier::result::{Outcome, Verdict};
use support::apm::{AT, Boot, NONCE};
use support::{codes, reasons, time};

fn gpu(serial: &'static str, mode: Mode) -> Gpu {
    Boot::with(serial, |boot| boot.mode = mode).gpu()
}

fn judge(gpus: &[Gpu], nonce: Option<[u8; 32]>, at: &str, policy: &str) -> Verdict {
    let references = References::verify(
        development::ROOT,
        development::REFERENCE_VALUES,
        development::REVOCATION_LIST,
        nonce,
        time(at),
    )
    .unwrap();
    let saved = from_json(&to_json(gpus).unwrap()).unwrap();
    judge_all(&saved, &references, &Policy::from_toml(policy.as_bytes()).unwrap())
}

#[test]
fn saved_evidence_of_a_good_gpu_is_trusted_and_every_check_is_a_line() {
    let verdict = judge(&[gpu("0001", Mode::On)], Some(NONCE), AT, "");
    assert!(verdict.trusted, "{verdict:#?}");
    assert_eq!(verdict.devices[0].identity.len(), 96);
    let core = ravelin_attestation::Check::ALL.iter().map(|check| check.as_str());
    let all: Vec<&str> = ["evidence-format", "nonce-source"].into_iter().chain(core).collect();
    assert_eq!(codes(&verdict.devices[0], Outcome::Pass), all);
    let two = [gpu("0001", Mode::On), gpu("0002", Mode::On)];
    assert!(judge(&two, Some(NONCE), AT, "").trusted);
}

#[test]
fn a_check_that_was_not_reached_is_a_line_too() {
    let mut forged = gpu("0001", Mode::On);
    *forged.evidence.measurements.response.last_mut().unwrap() ^= 1;
    let device = judge(&[forged], Some(NONCE), AT, "").devices.remove(0);
    assert_eq!(codes(&device, Outcome::Fail), ["report-signature"]);
    let skipped = codes(&device, Outcome::Skipped);
    for code in ["nonce", "firmware", "mode", "svn"] {
        assert!(skipped.contains(&code), "{code}");
    }
    let count = ravelin_attestation::Check::ALL.len() + 2;
    assert_eq!(device.checks.len(), count);
}

#[test]
fn a_refusal_is_a_failed_check_with_the_refusals_code_as_its_reason() {
    let refused = |gpu: Gpu, nonce, at, policy: &str| {
        let verdict = judge(&[gpu], nonce, at, policy);
        assert!(!verdict.trusted);
        reasons(&verdict.devices[0])
    };
    let good = || gpu("0001", Mode::On);
    assert_eq!(refused(good(), Some([9; 32]), AT, ""), [("nonce", "nonce-mismatch")]);
    assert_eq!(refused(good(), None, AT, ""), [("nonce-source", "")]);
    assert_eq!(refused(gpu("0001", Mode::Off), Some(NONCE), AT, ""), [("mode", "mode-off")]);
    let devtools = gpu("0001", Mode::Devtools);
    assert_eq!(refused(devtools, Some(NONCE), AT, ""), [("debug", "debug-enabled")]);
    let floor = "[apm]\nminimum_svn = 4294967295";
    assert_eq!(refused(good(), Some(NONCE), AT, floor), [("svn", "svn-below-floor")]);
    let mut relayed = good();
    relayed.exchange_key = [3; 96];
    assert_eq!(refused(relayed, Some(NONCE), AT, ""), [("nonce", "nonce-mismatch")]);
    assert_eq!(
        refused(good(), Some(NONCE), "2025-01-01T00:00:00Z", ""),
        [
            ("certificate-time", "certificate-not-yet-valid"),
            ("reference-values-time", "reference-values-expired"),
            ("revocation-list", "revocation-stale"),
        ]
    );
}

#[test]
fn what_the_policy_allows_is_accepted() {
    let off = "[apm]\nmode_off_allowed = true";
    assert!(judge(&[gpu("0001", Mode::Off)], Some(NONCE), AT, off).trusted);
    let debug = "[apm]\ndebug_allowed = true";
    assert!(judge(&[gpu("0001", Mode::Devtools)], Some(NONCE), AT, debug).trusted);
    for freshness in ["recorded", "unchecked"] {
        let text = format!("freshness = '{freshness}'");
        assert!(judge(&[gpu("0001", Mode::On)], None, AT, &text).trusted);
    }
}

#[test]
fn a_stale_revocation_list_is_skipped_only_where_the_policy_allows_it() {
    // A second after the documents' time: the reference values are out of date as well.
    let at = "2036-01-01T00:00:01Z";
    let verdict = judge(&[gpu("0001", Mode::On)], Some(NONCE), at, "revocation = 'allow-unknown'");
    assert_eq!(codes(&verdict.devices[0], Outcome::Skipped), ["revocation-list"]);
    assert_eq!(codes(&verdict.devices[0], Outcome::Fail), ["reference-values-time"]);
    assert!(!verdict.trusted);
}
