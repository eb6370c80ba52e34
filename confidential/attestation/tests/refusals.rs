//! Every code of refusal, reached by breaking one thing in evidence that is otherwise in order.

mod support;

use ravelin_attestation::{Clock, Code, UnixTime, verify_all};
use ravelin_dice::Mode;
use ravelin_dice::issue;
use ravelin_dice::time::Validity;
use ravelin_maker::{FirmwareSet, Maker, reference_values};
use std::collections::BTreeSet;
use support::{Boot, HandMade, LONG, NOW, Setup, freshness, key, maker, revocation};

/// Where some bytes of the evidence are.
type Part = fn(&mut Setup) -> &mut Vec<u8>;

/// One thing broken; the code that comes of it.
type Case = (Code, fn() -> Setup);

const CASES: &[Case] = &[
    (Code::MalformedEvidence, || {
        let mut setup = Setup::good();
        setup.evidence.measurements.response.pop();
        setup
    }),
    (Code::MalformedEvidence, || {
        let mut setup = Setup::good();
        setup.leaf_mut().pop();
        setup
    }),
    (Code::UnknownRoot, || {
        let other = Maker::from_seed([1; 48], "Ravelin Development Root - Not For Production");
        let device = other.expect("a maker").provision("0001").expect("a device");
        Setup::device(&device, &Boot::good())
    }),
    (Code::UnknownRoot, || {
        let mut setup = Setup::good();
        setup.evidence.certificates.clear();
        setup.evidence.certificates.push(vec![0x30, 0]);
        setup
    }),
    (Code::BadSignature, || {
        let mut setup = Setup::good();
        let last = setup.leaf_mut().last_mut().expect("a byte");
        *last ^= 1;
        setup
    }),
    (Code::BadSignature, || {
        let mut setup = Setup::good();
        let last = setup.evidence.measurements.response.last_mut().expect("a byte");
        *last ^= 1;
        setup
    }),
    (Code::BadSignature, || {
        // The measurements of another boot of the same device, with another attestation key.
        let mut setup = Setup::good();
        let other = Boot { key: 31, ..Boot::good() };
        setup.evidence.measurements = other.transcript(&setup.expected);
        setup
    }),
    (Code::CertificateProfile, || {
        let mut setup = Setup::good();
        let device = maker().provision("0001").expect("a device");
        let issuer = device.issuer();
        let key = key(Boot::good().key);
        *setup.leaf_mut() =
            issue::reference_signer_certificate(issuer, key.verifying_key(), "Signer", LONG)
                .expect("a certificate");
        setup
    }),
    (Code::TcbInfoMissing, || {
        let (mut setup, _) = Setup::hand_made();
        // The extension's OID, 2.23.133.5.4.1, becomes 2.23.133.5.4.2, which nobody knows.
        let leaf = setup.leaf_mut();
        let (from, to) = ([6, 6, 0x67, 0x81, 5, 5, 4, 1], [6, 6, 0x67, 0x81, 5, 5, 4, 2]);
        *leaf = HandMade::rewrite_leaf(leaf, &from, &to);
        setup
    }),
    (Code::CertificateExpired, || {
        let validity = Validity { not_after: UnixTime(NOW.0 - 1), ..LONG };
        let device = maker().provision_with("0001", validity).expect("a device");
        Setup::device(&device, &Boot::good())
    }),
    (Code::CertificateNotYetValid, || {
        let validity = Validity { not_before: UnixTime(NOW.0 + 1), ..LONG };
        let device = maker().provision_with("0001", validity).expect("a device");
        Setup::device(&device, &Boot::good())
    }),
    (Code::ClockRequired, || Setup { now: Clock::UNKNOWN, ..Setup::good() }),
    (Code::ReferenceValuesExpired, || {
        let after = UnixTime(reference_values::VALIDITY.not_after.0 + 1);
        Setup { now: Clock::At(after), ..Setup::good() }
    }),
    (Code::ReferenceSignerRevoked, || {
        let mut setup = Setup::good();
        let signer = setup.references.signer().clone();
        setup.revocation = revocation(maker(), [signer], reference_values::VALIDITY);
        setup
    }),
    (Code::RevocationUnknown, || {
        let other = Maker::from_seed([1; 48], "Other").expect("a maker");
        let list = revocation(&other, [], reference_values::VALIDITY);
        Setup { revocation: list, ..Setup::good() }
    }),
    (Code::RevocationStale, || {
        let overdue = Validity { not_after: UnixTime(NOW.0 - 1), ..reference_values::VALIDITY };
        Setup { revocation: revocation(maker(), [], overdue), ..Setup::good() }
    }),
    (Code::IntermediateRevoked, || {
        let (mut setup, hand_made) = Setup::hand_made();
        let [intermediate, _, _] = setup.path().try_into().expect("three certificates");
        setup.revocation = hand_made.revoke([intermediate]);
        setup
    }),
    (Code::IdentityRevoked, || {
        let mut setup = Setup::good();
        let [identity, _] = setup.path().try_into().expect("two certificates");
        setup.revocation = revocation(maker(), [identity], reference_values::VALIDITY);
        setup
    }),
    (Code::AttestationKeyRevoked, || {
        let mut setup = Setup::good();
        let [_, leaf] = setup.path().try_into().expect("two certificates");
        setup.revocation = revocation(maker(), [leaf], reference_values::VALIDITY);
        setup
    }),
    (Code::NonceMismatch, || Setup { expected: freshness(9, 2), ..Setup::good() }),
    (Code::MeasurementMismatch, || {
        // The certificate speaks of the current firmware, the measurements of the one before.
        let mut setup = Setup::good();
        let other = Boot { firmware: FirmwareSet::previous(), ..Boot::good() };
        setup.evidence.measurements = other.transcript(&setup.expected);
        setup
    }),
    (Code::MeasurementMismatch, || {
        // Old firmware that claims, in certificate and measurements alike, to be mended.
        let mut boot = Boot::of(FirmwareSet::previous());
        boot.configuration.svn = FirmwareSet::current().svn();
        Setup::of(&boot)
    }),
    (Code::MeasurementMismatch, || {
        // The certificate says that debug is closed, the measurements that it is open.
        let mut setup = Setup::good();
        let other = Boot::with(|configuration| configuration.debug = true);
        setup.evidence.measurements = other.transcript(&setup.expected);
        setup
    }),
    (Code::MeasurementMismatch, || {
        // The certificate speaks of firmware that nobody knows, the measurements of good one.
        let firmware = FirmwareSet::current();
        let mut image = firmware.image(ravelin_dice::Component::Sec2).clone();
        image.body[1000] ^= 1;
        let mut setup = Setup::of(&Boot::of(firmware.with(image)));
        setup.evidence.measurements = Boot::good().transcript(&setup.expected);
        setup
    }),
    (Code::FirmwareUnknown, || {
        let firmware = FirmwareSet::current();
        let mut image = firmware.image(ravelin_dice::Component::Sec2).clone();
        image.body[1000] ^= 1;
        Setup::of(&Boot::of(firmware.with(image)))
    }),
    (Code::ModeOff, || Setup::of(&Boot::with(|configuration| configuration.mode = Mode::Off))),
    (Code::DebugEnabled, || {
        Setup::of(&Boot::with(|configuration| configuration.mode = Mode::Devtools))
    }),
    (Code::DebugEnabled, || Setup::of(&Boot::with(|configuration| configuration.debug = true))),
    (Code::NothingProtected, || {
        Setup::of(&Boot::with(|configuration| {
            configuration.protected_end = configuration.protected_base;
        }))
    }),
    (Code::SvnBelowFloor, || Setup::of(&Boot::of(FirmwareSet::previous()))),
];

#[test]
fn what_is_in_order_is_trusted() {
    let verdict = Setup::good().verdict();
    assert!(verdict.is_trusted(), "{verdict}");
    let (setup, _) = Setup::hand_made();
    assert_eq!(setup.code(), "trusted");
}

#[test]
fn each_broken_thing_is_refused_with_its_own_code() {
    for (place, (code, broken)) in CASES.iter().enumerate() {
        assert_eq!(broken().code(), code.as_str(), "case {place}");
    }
}

#[test]
fn no_code_is_without_a_case() {
    let mut reached: BTreeSet<Code> = CASES.iter().map(|(code, _)| *code).collect();
    // The one that takes two devices.
    let setup = Setup::good();
    let device = (&setup.evidence, &setup.expected);
    let verdicts = verify_all(
        &[device, device],
        &setup.policy,
        &setup.references,
        &setup.revocation,
        setup.now,
    );
    assert!(verdicts.iter().all(|verdict| verdict.code() == "identity-repeated"));
    reached.insert(Code::IdentityRepeated);
    assert_eq!(reached, Code::ALL.iter().copied().collect());
}

#[test]
fn a_refusal_names_the_device_once_the_chain_has_proved_it() {
    let identity = maker().provision("0001").expect("a device").digest();
    let late = Setup::of(&Boot::with(|configuration| configuration.debug = true));
    assert_eq!(late.verdict(), support::refused(Code::DebugEnabled, identity));
    let mut early = Setup::good();
    early.leaf_mut().pop();
    assert_eq!(early.verdict(), support::refused(Code::MalformedEvidence, None));
}

#[test]
fn a_policy_can_lower_only_the_guards_that_are_its_own() {
    let mut setup = Setup::of(&Boot::with(|configuration| configuration.mode = Mode::Devtools));
    setup.policy.debug_allowed = true;
    assert_eq!(setup.code(), "trusted");

    let mut setup = Setup::of(&Boot::with(|configuration| configuration.mode = Mode::Off));
    setup.policy.mode_off_allowed = true;
    assert_eq!(setup.code(), "trusted");

    let mut setup = Setup::of(&Boot::of(FirmwareSet::previous()));
    setup.policy.svn_floor = FirmwareSet::previous().svn();
    assert_eq!(setup.code(), "trusted");

    let overdue = Validity { not_after: UnixTime(NOW.0 - 1), ..reference_values::VALIDITY };
    let mut setup = Setup { revocation: revocation(maker(), [], overdue), ..Setup::good() };
    setup.policy.stale_revocation_allowed = true;
    assert_eq!(setup.code(), "trusted");
}

#[test]
fn without_a_clock_a_guest_still_refuses_what_expired_before_its_documents_were_signed() {
    let mut setup = Setup::good();
    setup.now = Clock::UNKNOWN;
    setup.policy = ravelin_attestation::Policy::guest(2);
    let verdict = setup.verdict();
    assert!(
        matches!(verdict, ravelin_attestation::Verdict::Trusted { clock: false, .. }),
        "{verdict}"
    );

    let signed = reference_values::VALIDITY.not_before;
    let before = Validity { not_after: UnixTime(signed.0 - 1), ..LONG };
    let device = maker().provision_with("0001", before).expect("a device");
    let mut setup = Setup::device(&device, &Boot::good());
    setup.now = Clock::UNKNOWN;
    setup.policy = ravelin_attestation::Policy::guest(2);
    assert_eq!(setup.code(), "certificate-expired");
}

#[test]
fn measurements_that_are_not_of_the_profile_are_refused() {
    let boot = Boot::good();
    let good = boot.blocks();
    let extra = [good.as_slice(), &support::block(8, 0x81, b"more")].concat();
    let without_svn = &good[..good.len() - support::block(7, 0x87, &[0; 8]).len()];
    // The boot ROM as mutable firmware.
    let mut mutable_rom = good.clone();
    mutable_rom[4] = 1;
    // A raw value where a digest belongs.
    let mut raw = good.clone();
    raw[4] = 0x80;
    for (number, blocks) in [(8, extra.as_slice()), (6, without_svn), (7, &mutable_rom), (7, &raw)]
    {
        let mut setup = Setup::good();
        setup.evidence.measurements =
            support::transcript(&key(boot.key), &setup.expected, number, blocks);
        assert_eq!(setup.code(), "malformed-evidence");
    }
    let mut setup = Setup::good();
    setup.evidence.measurements = support::transcript(&key(boot.key), &setup.expected, 7, &good);
    assert_eq!(setup.code(), "trusted", "the unchanged blocks are in order");
}

#[test]
fn no_byte_of_the_evidence_can_be_changed() {
    let setup = Setup::good();
    let transcript = &setup.evidence.measurements;
    let parts: [(&str, usize, Part); 6] = [
        ("negotiation", transcript.vca.len(), |s| &mut s.evidence.measurements.vca),
        ("request", transcript.request.len(), |s| &mut s.evidence.measurements.request),
        ("response", transcript.response.len(), |s| &mut s.evidence.measurements.response),
        ("root", 60, |s| &mut s.evidence.certificates[0]),
        ("identity", setup.evidence.certificates[1].len(), |s| &mut s.evidence.certificates[1]),
        ("leaf", setup.evidence.certificates[2].len(), |s| &mut s.evidence.certificates[2]),
    ];
    for (name, length, part) in parts {
        // Each check costs up to three signatures, so the long parts are sampled.
        for at in (0..length).step_by(if length < 100 { 1 } else { 5 }) {
            let mut changed = setup.clone();
            part(&mut changed)[at] ^= 1 << (at % 8);
            assert!(!changed.verdict().is_trusted(), "byte {at} of the {name}");
        }
    }
}
