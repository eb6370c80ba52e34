//! Evidence of the GPU model: the development maker's first device, judged from a saved directory.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use p384::ecdsa::signature::Signer;
use p384::ecdsa::{Signature, SigningKey};
use ravelin_attestation::{Evidence, Freshness};
use ravelin_dice::security::encode_svn;
use ravelin_dice::{Component, Mode, SecurityConfiguration, TcbInfo};
use ravelin_maker::{FirmwareSet, MODEL, Maker, VENDOR};
use ravelin_spdm::measurements::MeasurementTranscript;
use ravelin_verifier::model::evidence::{Gpu, from_json, to_json};
use ravelin_verifier::model::{References, development, judge_all};
use ravelin_verifier::policy::Policy;
use ravelin_verifier::result::{Outcome, Verdict};
use sha2::{Digest, Sha384};
use support::{codes, time};

const NONCE: [u8; 32] = [1; 32];
const SHARE: [u8; 96] = [2; 96];

/// A measurement block of the DMTF's specification.
fn block(index: u8, kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap();
    let mut block = vec![index, 1];
    block.extend((length + 3).to_le_bytes());
    block.push(kind);
    block.extend(length.to_le_bytes());
    block.extend(value);
    block
}

/// What the device of this serial number says after a boot in this mode.
fn gpu(serial: &str, mode: Mode) -> Gpu {
    let firmware = FirmwareSet::current();
    let configuration = SecurityConfiguration {
        mode,
        debug: false,
        svn: firmware.svn(),
        protected_base: 1 << 28,
        protected_end: 80 << 30,
    };
    let tcb = TcbInfo {
        vendor: VENDOR.into(),
        model: MODEL.into(),
        version: firmware.version().into(),
        svn: configuration.svn,
        layer: 1,
        firmware_id: firmware.id(),
        flags: configuration.flags(),
    };
    let mut blocks = Vec::new();
    for (component, digest) in Component::ALL.into_iter().zip(&firmware.measurements()) {
        let kind = if component == Component::BootRom { 0x00 } else { 0x01 };
        blocks.extend(block(component.index(), kind, digest));
    }
    blocks.extend(block(6, 0x82, &configuration.encode()));
    blocks.extend(block(7, 0x87, &encode_svn(configuration.svn)));

    let key = SigningKey::from_slice(&[30; 48]).unwrap();
    let device = Maker::development().unwrap().provision(serial).unwrap();
    let leaf = device.endorse(key.verifying_key(), &tcb).unwrap();
    Gpu {
        evidence: Evidence {
            certificates: vec![
                device.root_certificate().to_vec(),
                device.issuer().certificate().to_vec(),
                leaf,
            ],
            measurements: transcript(&key, &blocks),
        },
        nonce: NONCE,
        exchange_key: SHARE,
    }
}

/// GET_MEASUREMENTS and its answer, from DSP0274 1.2 byte by byte.
fn transcript(key: &SigningKey, blocks: &[u8]) -> MeasurementTranscript {
    let freshness = Freshness::new(&NONCE, &SHARE).unwrap();
    let vca = b"the negotiation".to_vec();
    let mut request = vec![0x12, 0xe0, 0x01, 0xff];
    request.extend(freshness.nonce());
    request.push(0);
    let mut response = vec![0x12, 0x60, 0, 0, 7];
    response.extend(&u32::try_from(blocks.len()).unwrap().to_le_bytes()[..3]);
    response.extend(blocks);
    response.extend([0x5a; 32]);
    response.extend([0, 0]);
    let context = b"responder-measurements signing";
    let mut message = b"dmtf-spdm-v1.2.*".repeat(4);
    message.resize(100 - context.len(), 0);
    message.extend(context);
    message.extend(Sha384::digest([vca.as_slice(), &request, &response].concat()));
    let signature: Signature = key.sign(&message);
    response.extend(signature.to_bytes());
    MeasurementTranscript { vca, request, response }
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

const AT: &str = "2026-11-24T00:00:00Z";

#[test]
fn saved_evidence_of_a_good_gpu_is_trusted() {
    let verdict = judge(&[gpu("0001", Mode::On)], Some(NONCE), AT, "");
    assert!(verdict.trusted, "{verdict:#?}");
    assert_eq!(verdict.devices[0].identity.len(), 96);
    let two = [gpu("0001", Mode::On), gpu("0002", Mode::On)];
    assert!(judge(&two, Some(NONCE), AT, "").trusted);
}

#[test]
fn a_refusal_is_a_failed_check_under_its_own_code() {
    let refused = |gpu: Gpu, nonce, at, policy: &str| {
        let verdict = judge(&[gpu], nonce, at, policy);
        assert!(!verdict.trusted);
        codes(&verdict.devices[0], Outcome::Fail)
    };
    let good = || gpu("0001", Mode::On);
    assert_eq!(refused(good(), Some([9; 32]), AT, ""), ["nonce-mismatch"]);
    assert_eq!(refused(good(), None, AT, ""), ["nonce-source"]);
    assert_eq!(refused(gpu("0001", Mode::Off), Some(NONCE), AT, ""), ["mode-off"]);
    assert_eq!(refused(gpu("0001", Mode::Devtools), Some(NONCE), AT, ""), ["debug-enabled"]);
    let floor = "[apm]\nminimum_svn = 4294967295";
    assert_eq!(refused(good(), Some(NONCE), AT, floor), ["svn-below-floor"]);
    assert_eq!(
        refused(good(), Some(NONCE), "2025-01-01T00:00:00Z", ""),
        ["certificate-not-yet-valid"]
    );
    let mut relayed = good();
    relayed.exchange_key = [3; 96];
    assert_eq!(refused(relayed, Some(NONCE), AT, ""), ["nonce-mismatch"]);
    let mut forged = good();
    *forged.evidence.measurements.response.last_mut().unwrap() ^= 1;
    assert_eq!(refused(forged, Some(NONCE), AT, ""), ["bad-signature"]);
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
fn the_same_gpu_twice_is_refused() {
    let gpus = [gpu("0001", Mode::On), gpu("0002", Mode::On), gpu("0001", Mode::On)];
    let verdict = judge(&gpus, Some(NONCE), AT, "");
    assert!(!verdict.trusted);
    let trusted: Vec<bool> = verdict.devices.iter().map(|device| device.trusted).collect();
    assert_eq!(trusted, [false, true, false]);
}
