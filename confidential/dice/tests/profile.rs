//! Certificates that their issuer really signed, but which break the profile: each made from a good
//! one by changing a few bytes and signing it again.

use p384::SecretKey;
use p384::ecdsa::signature::Signer;
use p384::ecdsa::{DerSignature, SigningKey};
use ravelin_dice::certificate::signed_part;
use ravelin_dice::issue::{self, Issuer};
use ravelin_dice::time::Validity;
use ravelin_dice::{
    Chain, Clock, DeviceInfo, Error, OperationalFlags, Rule, TcbInfo, TrustAnchor, UnixTime,
};

const VALID: Validity =
    Validity { not_before: UnixTime(1_000_000), not_after: UnixTime(2_000_000) };
const NOW: Clock = Clock::At(UnixTime(1_500_000));

fn key(number: u8) -> SigningKey {
    SecretKey::from_slice(&[number; 48]).expect("a small number is a scalar").into()
}

/// Root, device identity and leaf, whose keys are 1, 2 and 3.
fn chain() -> [Vec<u8>; 3] {
    let device = DeviceInfo::parse("Ravelin:APM:0001").expect("a name");
    let tcb = TcbInfo {
        vendor: "Ravelin".into(),
        model: "APM".into(),
        version: "1.0".into(),
        svn: 2,
        layer: 1,
        firmware_id: [7; 48],
        flags: OperationalFlags::default(),
    };
    let root = Issuer::root(key(1), "Root", VALID).expect("a root");
    let identity =
        issue::device_identity_certificate(&root, key(2).verifying_key(), &device, VALID);
    let identity = Issuer::new(key(2), identity.expect("a certificate")).expect("an identity");
    let leaf = issue::attestation_certificate(&identity, key(3).verifying_key(), &tcb, VALID);
    [root.certificate().to_vec(), identity.certificate().to_vec(), leaf.expect("a leaf")]
}

/// Replaces bytes in the signed part of certificate `index` and signs it with its issuer's key.
fn verify_with(index: usize, from: &[u8], to: &[u8]) -> Option<Error> {
    let mut chain = chain();
    let tbs = signed_part(&chain[index]).expect("a certificate");
    let places: Vec<usize> =
        (0..=tbs.len() - from.len()).filter(|at| tbs[*at..].starts_with(from)).collect();
    let [at] = places[..] else { panic!("{from:02x?} stands at {places:?}") };
    let tbs = [&tbs[..at], to, &tbs[at + from.len()..]].concat();

    let signature: DerSignature = key(index as u8).sign(&tbs);
    let algorithm = [0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
    let signature = [&[0], signature.as_bytes()].concat();
    let body = [&tbs, &algorithm[..], &[3, signature.len() as u8], &signature].concat();
    chain[index] = [&[0x30, 0x82], &(body.len() as u16).to_be_bytes()[..], &body].concat();

    let anchor = TrustAnchor::new(&chain[0]).expect("a root");
    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    Chain::verify(&chain, &anchor, NOW).err()
}

/// The end of a DMTF SPDM OID, 1.3.6.1.4.1.412.274.x.
const fn spdm_oid(last: u8) -> [u8; 5] {
    [0x83, 0x1c, 0x82, 0x12, last]
}

#[test]
fn signing_again_is_not_what_is_refused() {
    assert_eq!(verify_with(1, &[0xa0, 3, 2, 1, 2], &[0xa0, 3, 2, 1, 2]), None);
    assert_eq!(verify_with(2, &[0xa0, 3, 2, 1, 2], &[0xa0, 3, 2, 1, 2]), None);
}

#[test]
fn each_rule_is_kept_by_every_certificate_below_the_root() {
    let cases: [(Rule, &[u8], &[u8]); 5] = [
        (Rule::Version, &[0xa0, 3, 2, 1, 2], &[0xa0, 3, 2, 1, 1]),
        // ecdsa-with-SHA256 inside, whatever stands outside.
        (Rule::Algorithm, &[0xce, 0x3d, 4, 3, 3], &[0xce, 0x3d, 4, 3, 2]),
        // secp521r1 in the place of secp384r1.
        (Rule::Algorithm, &[0x2b, 0x81, 4, 0, 0x22], &[0x2b, 0x81, 4, 0, 0x23]),
        // basicConstraints becomes something critical that nobody knows.
        (Rule::Extensions, &[0x55, 0x1d, 0x13], &[0x55, 0x1d, 0x7e]),
        // keyUsage becomes a second subject key identifier.
        (Rule::Extensions, &[0x55, 0x1d, 0x0f], &[0x55, 0x1d, 0x0e]),
    ];
    for index in [1, 2] {
        for (rule, from, to) in cases {
            assert_eq!(verify_with(index, from, to), Some(Error::WrongProfile { index, rule }));
        }
    }
}

#[test]
fn the_leaf_is_a_responders_key_that_changes_in_the_field_and_nothing_else() {
    let wrong = |rule| Some(Error::WrongProfile { index: 2, rule });
    // keyEncipherment, and keyCertSign, in the place of digitalSignature.
    let signature = [0x03, 2, 7, 0x80];
    assert_eq!(verify_with(2, &signature, &[0x03, 2, 5, 0x20]), wrong(Rule::KeyUsage));
    assert_eq!(verify_with(2, &signature, &[0x03, 2, 2, 0x84]), wrong(Rule::KeyUsage));
    // SPDM requester authentication.
    assert_eq!(verify_with(2, &spdm_oid(3), &spdm_oid(4)), wrong(Rule::ExtendedKeyUsage));
    // The mark of a hardware identity.
    assert_eq!(verify_with(2, &spdm_oid(5), &spdm_oid(2)), wrong(Rule::SpdmMark));
    // No device info, and another device's.
    assert_eq!(verify_with(2, &spdm_oid(1), &spdm_oid(9)), wrong(Rule::DeviceInfo));
    assert_eq!(verify_with(2, b"APM:0001", b"APM:0002"), wrong(Rule::DeviceInfo));
}

#[test]
fn a_leaf_without_its_tcb_info_is_refused_by_name() {
    let oid = [0x67, 0x81, 5, 5, 4, 1];
    let refused = verify_with(2, &oid, &[0x67, 0x81, 5, 5, 4, 2]);
    assert_eq!(refused, Some(Error::TcbInfoMissing));
    // It is there, but its flags are now another field.
    let refused = verify_with(2, &[0x87, 1, 0], &[0x88, 1, 0]);
    assert_eq!(refused, Some(Error::WrongProfile { index: 2, rule: Rule::TcbInfo }));
}

#[test]
fn the_device_identity_is_an_authority_with_the_hardwares_mark() {
    let wrong = |rule| Some(Error::WrongProfile { index: 1, rule });
    // digitalSignature in the place of keyCertSign.
    assert_eq!(verify_with(1, &[0x03, 2, 2, 4], &[0x03, 2, 7, 0x80]), wrong(Rule::KeyUsage));
    assert_eq!(verify_with(1, &spdm_oid(2), &spdm_oid(5)), wrong(Rule::SpdmMark));
    assert_eq!(verify_with(1, &spdm_oid(1), &spdm_oid(9)), wrong(Rule::DeviceInfo));
    // A negative serial number would be another one to a revocation list.
    let chain = chain();
    let tbs = signed_part(&chain[1]).expect("a certificate");
    let at = tbs.windows(2).position(|window| window == [2, 20]).expect("a serial number");
    let serial = &tbs[at..at + 22];
    let mut negative = serial.to_vec();
    negative[2] |= 0x80;
    assert_eq!(verify_with(1, serial, &negative), wrong(Rule::Version));
}

#[test]
fn the_issuers_name_must_be_the_one_before() {
    // The leaf's issuer is "... identity"; its own subject is not.
    let refused = verify_with(2, b"APM identity", b"APM idnetity");
    assert_eq!(refused, Some(Error::WrongProfile { index: 2, rule: Rule::Names }));
}
