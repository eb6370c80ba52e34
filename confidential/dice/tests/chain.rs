//! What makes a chain good, and every way for it not to be, each made with real certificates.

use p384::SecretKey;
use p384::ecdsa::SigningKey;
use ravelin_dice::issue::{self, Issuer};
use ravelin_dice::time::{OutOfTime, Validity};
use ravelin_dice::{
    Chain, Clock, DeviceInfo, Error, Leaf, OperationalFlags, Rule, TcbInfo, TrustAnchor, UnixTime,
};

const VALID: Validity =
    Validity { not_before: UnixTime(1_000_000), not_after: UnixTime(2_000_000) };
const NOW: Clock = Clock::At(UnixTime(1_500_000));

/// A key that is always the same for the same number.
fn key(number: u8) -> SigningKey {
    SecretKey::from_slice(&[number; 48]).expect("a small number is a scalar").into()
}

fn device() -> DeviceInfo {
    DeviceInfo::parse("Ravelin:APM:0001").expect("a device's name")
}

fn tcb() -> TcbInfo {
    TcbInfo {
        vendor: "Ravelin".into(),
        model: "APM".into(),
        version: "1.0".into(),
        svn: 2,
        layer: 1,
        firmware_id: [7; 48],
        flags: OperationalFlags::default(),
    }
}

/// A maker and one of its devices.
struct World {
    root: Issuer,
    identity: Issuer,
}

impl World {
    fn new() -> World {
        let root = Issuer::root(key(1), "Test root", VALID).expect("a root");
        let certificate =
            issue::device_identity_certificate(&root, key(2).verifying_key(), &device(), VALID)
                .expect("an identity");
        World { root, identity: Issuer::new(key(2), certificate).expect("an identity") }
    }

    fn anchor(&self) -> TrustAnchor {
        TrustAnchor::new(self.root.certificate()).expect("a root")
    }

    fn leaf(&self) -> Vec<u8> {
        issue::attestation_certificate(&self.identity, key(3).verifying_key(), &tcb(), VALID)
            .expect("a leaf")
    }

    fn chain(&self) -> Vec<Vec<u8>> {
        vec![self.root.certificate().into(), self.identity.certificate().into(), self.leaf()]
    }

    fn verify(&self, chain: &[Vec<u8>], clock: Clock) -> Result<Leaf, Error> {
        let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        Chain::verify(&chain, &self.anchor(), clock)
    }
}

fn broken(index: usize, rule: Rule) -> Error {
    Error::WrongProfile { index, rule }
}

#[test]
fn a_good_chain_says_what_its_issuers_said() {
    let world = World::new();
    let leaf = world.verify(&world.chain(), NOW).expect("a good chain");
    assert_eq!(leaf.public_key, *key(3).verifying_key());
    assert_eq!(leaf.tcb, tcb());
    assert_eq!(leaf.device, device());
    assert_eq!(leaf.path.len(), 2);
    let digest = ravelin_dice::certificate::key_digest(key(2).verifying_key());
    assert_eq!(Some(leaf.identity), digest);
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    assert_eq!(World::new().chain(), World::new().chain());
}

#[test]
fn a_chain_is_taken_apart_as_it_was_put_together() {
    let chain = World::new().chain();
    let bytes = chain.concat();
    assert_eq!(Chain::split(&bytes).expect("three certificates"), chain);
    assert_eq!(Chain::split(&bytes[..bytes.len() - 1]), Err(Error::Malformed { index: 2 }));
    let seven = chain[0].repeat(7);
    assert_eq!(Chain::split(&seven), Err(broken(6, Rule::ChainLength)));
}

#[test]
fn intermediates_of_the_maker_are_accepted() {
    let world = World::new();
    let der = issue::intermediate_certificate(&world.root, key(4).verifying_key(), "Fab", VALID);
    let fab = Issuer::new(key(4), der.expect("an intermediate")).expect("an intermediate");
    let der = issue::device_identity_certificate(&fab, key(2).verifying_key(), &device(), VALID);
    let identity = Issuer::new(key(2), der.expect("an identity")).expect("an identity");
    let leaf = issue::attestation_certificate(&identity, key(3).verifying_key(), &tcb(), VALID);
    let chain = [
        world.root.certificate().to_vec(),
        fab.certificate().to_vec(),
        identity.certificate().to_vec(),
        leaf.expect("a leaf"),
    ];
    assert_eq!(world.verify(&chain, NOW).expect("a good chain").path.len(), 3);
}

#[test]
fn another_root_is_unknown_even_with_the_same_name() {
    let world = World::new();
    let other = Issuer::root(key(9), "Test root", VALID).expect("a root");
    let mut chain = world.chain();
    chain[0] = other.certificate().to_vec();
    assert_eq!(world.verify(&chain, NOW).err(), Some(Error::UnknownRoot));
    // The other way round: the right root, but a device that it never saw.
    let stranger =
        issue::device_identity_certificate(&other, key(2).verifying_key(), &device(), VALID);
    let mut chain = world.chain();
    chain[1] = stranger.expect("an identity");
    assert_eq!(world.verify(&chain, NOW).err(), Some(Error::BadSignature { index: 1 }));
}

#[test]
fn no_bit_of_a_chain_can_be_changed() {
    let world = World::new();
    let good = world.chain();
    // Every byte of the leaf, and of the others every seventh: a signature check each is slow.
    for (index, step) in [(0, 7), (1, 7), (2, 3)] {
        for at in (0..good[index].len()).step_by(step) {
            let mut chain = good.clone();
            chain[index][at] ^= 1 << (at % 8);
            assert!(world.verify(&chain, NOW).is_err(), "certificate {index}, byte {at}");
        }
    }
}

#[test]
fn a_certificate_with_bytes_behind_it_is_malformed() {
    let world = World::new();
    let mut chain = world.chain();
    chain[2].push(0);
    assert_eq!(world.verify(&chain, NOW).err(), Some(Error::Malformed { index: 2 }));
    chain[2] = vec![0x30; 5000];
    assert_eq!(world.verify(&chain, NOW).err(), Some(Error::Malformed { index: 2 }));
}

#[test]
fn time_is_checked_as_far_as_it_is_known() {
    let world = World::new();
    let chain = world.chain();
    let late = Clock::At(UnixTime(2_000_001));
    let expired = OutOfTime::Expired(VALID.not_after);
    assert_eq!(world.verify(&chain, late).err(), Some(Error::Time { index: 0, source: expired }));
    let early = Clock::At(UnixTime(999_999));
    let source = OutOfTime::NotYetValid(VALID.not_before);
    assert_eq!(world.verify(&chain, early).err(), Some(Error::Time { index: 0, source }));
    assert!(world.verify(&chain, Clock::UNKNOWN).is_ok());

    let short = Validity { not_after: UnixTime(1_400_000), ..VALID };
    let mut chain = world.chain();
    chain[2] =
        issue::attestation_certificate(&world.identity, key(3).verifying_key(), &tcb(), short)
            .expect("a leaf");
    let source = OutOfTime::Expired(short.not_after);
    assert_eq!(world.verify(&chain, NOW).err(), Some(Error::Time { index: 2, source }));
}

#[test]
fn a_chain_of_two_or_of_too_many_is_refused() {
    let world = World::new();
    let chain = world.chain();
    assert_eq!(world.verify(&chain[..2], NOW).err(), Some(broken(0, Rule::ChainLength)));
    assert_eq!(world.verify(&[], NOW).err(), Some(broken(0, Rule::ChainLength)));
    let long = [chain.clone(), chain.clone(), chain].concat();
    assert_eq!(world.verify(&long, NOW).err(), Some(broken(0, Rule::ChainLength)));
}

#[test]
fn a_leaf_cannot_issue() {
    let world = World::new();
    let mut chain = world.chain();
    // The attestation key, had it been taken, endorses a key of the attacker's.
    let forger = Issuer::new(key(3), chain[2].clone());
    assert!(
        matches!(forger, Err(issue::Error::Issuer(error)) if error == broken(0, Rule::BasicConstraints))
    );
    // Signed nonetheless: the leaf stands where an identity belongs.
    let forged = Issuer::new(key(3), identity_for(&world, 3)).expect("an issuer");
    let leaf = issue::attestation_certificate(&forged, key(5).verifying_key(), &tcb(), VALID);
    chain.push(leaf.expect("a leaf"));
    let refused = world.verify(&chain, NOW).err();
    assert!(
        matches!(refused, Some(Error::WrongProfile { index: 3, rule: Rule::Names })),
        "{refused:?}"
    );
}

fn identity_for(world: &World, number: u8) -> Vec<u8> {
    issue::device_identity_certificate(&world.root, key(number).verifying_key(), &device(), VALID)
        .expect("an identity")
}

#[test]
fn the_device_identity_may_not_have_authorities_below_it() {
    let world = World::new();
    let lower = issue::device_identity_certificate(
        &world.identity,
        key(6).verifying_key(),
        &device(),
        VALID,
    );
    let lower = Issuer::new(key(6), lower.expect("an identity")).expect("an identity");
    let leaf = issue::attestation_certificate(&lower, key(3).verifying_key(), &tcb(), VALID);
    let chain = [
        world.root.certificate().to_vec(),
        world.identity.certificate().to_vec(),
        lower.certificate().to_vec(),
        leaf.expect("a leaf"),
    ];
    assert_eq!(world.verify(&chain, NOW).err(), Some(broken(1, Rule::PathLength)));
}

#[test]
fn an_intermediate_is_no_device_identity() {
    let world = World::new();
    let der = issue::intermediate_certificate(&world.root, key(4).verifying_key(), "Fab", VALID);
    let fab = Issuer::new(key(4), der.expect("an intermediate")).expect("an intermediate");
    let leaf = issue::attestation_certificate(&fab, key(3).verifying_key(), &tcb(), VALID);
    assert!(matches!(leaf, Err(issue::Error::NotADevice)));
    let chain = [world.root.certificate().to_vec(), fab.certificate().to_vec(), world.leaf()];
    assert_eq!(world.verify(&chain, NOW).err(), Some(Error::BadSignature { index: 2 }));
}

#[test]
fn a_signer_of_reference_values_is_no_attestation_key() {
    let world = World::new();
    let signer = issue::reference_signer_certificate(
        &world.identity,
        key(3).verifying_key(),
        "Signer",
        VALID,
    );
    let mut chain = world.chain();
    chain[2] = signer.expect("a signer");
    assert_eq!(world.verify(&chain, NOW).err(), Some(broken(2, Rule::ExtendedKeyUsage)));
}

#[test]
fn a_leaf_that_speaks_of_another_device_is_refused() {
    let world = World::new();
    let mut chain = world.chain();
    chain[2] = issue::attestation_certificate(
        &world.identity,
        key(3).verifying_key(),
        &TcbInfo { model: "H100".into(), ..tcb() },
        VALID,
    )
    .expect("a leaf");
    assert_eq!(world.verify(&chain, NOW).err(), Some(broken(2, Rule::DeviceInfo)));
}

#[test]
fn names_that_would_need_quoting_are_not_issued() {
    for name in ["", "a,b", "a=b", "a:b", "ü", " a"] {
        assert!(
            matches!(Issuer::root(key(1), name, VALID), Err(issue::Error::Name(_))),
            "{name:?}"
        );
    }
}

#[test]
fn a_certificate_for_another_key_makes_no_issuer() {
    let world = World::new();
    let wrong = Issuer::new(key(8), world.root.certificate().to_vec());
    assert!(matches!(wrong, Err(issue::Error::KeyMismatch)));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn rubbish_does_not_panic(rubbish: Vec<u8>, at in 0_usize..500, index in 0_usize..3) {
        let world = World::new();
        let _ = Chain::split(&rubbish);
        let _ = TrustAnchor::new(&rubbish);
        let mut chain = world.chain();
        let place = at.min(chain[index].len());
        chain[index].splice(place..place, rubbish.clone());
        proptest::prop_assert_eq!(world.verify(&chain, NOW).is_ok(), rubbish.is_empty());
    }
}
