//! The maker's documents: who signed them is checked before what they say is believed.

mod support;

use ravelin_attestation::reference_values::{self as references, ReferenceValues};
use ravelin_attestation::revocation::{self, RevocationList};
use ravelin_attestation::{Clock, TrustAnchor};
use ravelin_dice::Rule;
use ravelin_dice::issue::{self, Issuer};
use ravelin_maker::{FirmwareSet, Maker, VENDOR, reference_values};
use support::{LONG, Setup, key, maker, sign};

fn root() -> TrustAnchor {
    TrustAnchor::new(maker().root().certificate()).expect("a root")
}

fn signed() -> Vec<u8> {
    maker().sign_reference_values(&reference_values::manifest()).expect("a document")
}

#[test]
fn reference_values_know_the_makers_releases_by_model_and_firmware_id() {
    let values = ReferenceValues::verify(&signed(), root()).expect("reference values");
    let id = FirmwareSet::current().id();
    assert!(values.release(VENDOR, "APM", &id).is_some());
    assert!(values.release(VENDOR, "H100", &id).is_none());
    assert!(values.release("Other", "APM", &id).is_none());
    assert!(values.release(VENDOR, "APM", &[0; 48]).is_none());
}

#[test]
fn no_byte_of_the_reference_values_can_be_changed() {
    let (good, root) = (signed(), root());
    // Two signature checks each, so every third byte; the bit differs.
    for at in (0..good.len()).step_by(3) {
        let mut changed = good.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(ReferenceValues::verify(&changed, root.clone()).is_err(), "byte {at}");
    }
}

#[test]
fn reference_values_of_a_stranger_are_refused() {
    let stranger = Maker::from_seed([1; 48], "Stranger").expect("a maker");
    let document = stranger.sign_reference_values(&reference_values::manifest());
    let refused = ReferenceValues::verify(&document.expect("a document"), root()).err();
    assert!(matches!(refused, Some(references::Error::Signer(_))), "{refused:?}");
}

#[test]
fn a_device_cannot_vouch_for_its_own_firmware() {
    let setup = Setup::good();
    // The attestation key's certificate is not the root's; the device identity's is, but is not
    // for this purpose.
    for certificate in &setup.evidence.certificates[1..] {
        let document = sign(&key(30), certificate, &reference_values::manifest());
        let refused = ReferenceValues::verify(&document, root()).err();
        assert!(matches!(refused, Some(references::Error::Signer(_))), "{refused:?}");
    }
}

#[test]
fn a_certificate_that_is_not_for_reference_values_signs_none() {
    let root = Issuer::root(key(10), "Hand made", LONG).expect("a root");
    let anchor = TrustAnchor::new(root.certificate()).expect("a root");
    let other = issue::intermediate_certificate(&root, key(13).verifying_key(), "Fab", LONG);
    let document = sign(&key(13), &other.expect("a certificate"), &reference_values::manifest());
    let refused = ReferenceValues::verify(&document, anchor).err();
    let wrong = |rule| ravelin_dice::Error::WrongProfile { index: 1, rule };
    assert_eq!(refused, Some(references::Error::Signer(wrong(Rule::BasicConstraints))));
}

#[test]
fn the_signers_certificate_without_its_key_is_worth_nothing() {
    let document = sign(&key(13), maker().signer_certificate(), &reference_values::manifest());
    let refused = ReferenceValues::verify(&document, root()).err();
    assert_eq!(refused, Some(references::Error::BadSignature));
}

#[test]
fn no_byte_of_a_revocation_list_can_be_changed() {
    let revoked: Vec<_> = Setup::good().path();
    let good = maker().revoke(revoked.clone(), 1, reference_values::VALIDITY).expect("a list");
    let root = root();
    let list = RevocationList::verify(&good, &root).expect("a list");
    assert_eq!(list.len(), 2);
    assert!(revoked.iter().all(|id| list.contains(id)));
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(RevocationList::verify(&changed, &root).is_err(), "byte {at}");
    }
}

#[test]
fn a_strangers_revocation_list_is_refused() {
    let stranger = Maker::from_seed([1; 48], "Stranger").expect("a maker");
    let list = stranger.revoke([], 1, reference_values::VALIDITY).expect("a list");
    assert_eq!(RevocationList::verify(&list, &root()).err(), Some(revocation::Error::UnknownRoot));
    // One that took the maker's name.
    let name = ravelin_maker::root::DEVELOPMENT_ROOT_NAME;
    let impostor = Maker::from_seed([1; 48], name).expect("a maker");
    let list = impostor.revoke([], 1, reference_values::VALIDITY).expect("a list");
    assert_eq!(RevocationList::verify(&list, &root()).err(), Some(revocation::Error::BadSignature));
}

#[test]
fn a_serial_number_is_revoked_for_its_issuer_alone() {
    let [identity, leaf] = Setup::good().path().try_into().expect("two certificates");
    let list = support::revocation(maker(), [identity.clone()], reference_values::VALIDITY);
    let mut elsewhere = identity.clone();
    elsewhere.issuer = leaf.issuer;
    assert!(list.contains(&identity));
    assert!(!list.contains(&elsewhere));
}

#[test]
fn documents_are_judged_with_the_evidence_as_to_their_time() {
    let values = ReferenceValues::verify(&signed(), root()).expect("reference values");
    let long_after = Clock::At(ravelin_attestation::UnixTime(3_000_000_000));
    assert!(values.validity().check(long_after).is_err());
}
