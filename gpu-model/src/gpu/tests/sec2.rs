//! SEC2 over the mailbox: what it says of the GPU, and what sessions do to the channels.

use p384::ecdsa::VerifyingKey;
use proptest::prelude::*;
use ravelin_dice::{Chain, Clock, SecurityConfiguration, TrustAnchor, UnixTime};
use ravelin_gpu_abi::Engine;
use ravelin_gpu_abi::registers::{self, Mode, Status};
use ravelin_gpu_abi::ring::Outcome;
use ravelin_maker::{FirmwareSet, Maker};
use ravelin_spdm::requester::Evidence;
use ravelin_spdm::transport::doe::{self, Discovered, Discovery, ObjectType};

use crate::admin::ResetKind;
use crate::testing::{BASE, Guest, HBM, linger};

const SECRET: &[u8] = b"what the tenant leaves behind";

/// The key of the evidence's chain, if the maker's root vouches for it.
fn leaf_key(evidence: &Evidence) -> VerifyingKey {
    let maker = Maker::development().unwrap();
    let anchor = TrustAnchor::new(maker.root().certificate()).unwrap();
    let certificates: Vec<&[u8]> = evidence.chain.certificates().collect();
    let clock = Clock::At(UnixTime(1_800_000_000));
    Chain::verify(&certificates, &anchor, clock).unwrap().public_key
}

#[test]
fn the_mailbox_attests_firmware_mode_and_bounds() {
    for (mode, base) in [(Mode::Off, HBM), (Mode::On, BASE), (Mode::Devtools, BASE)] {
        let guest = Guest::new(mode);
        let evidence = guest.converse().evidence;
        let measurements = evidence.measurements.verify(&leaf_key(&evidence)).unwrap();
        let firmware = FirmwareSet::current();
        for (digest, block) in firmware.measurements().iter().zip(&measurements.blocks) {
            assert_eq!(block.value.as_bytes(), digest);
        }
        let security = measurements.block(6).unwrap().value.as_bytes();
        let security = SecurityConfiguration::decode(security).unwrap();
        assert_eq!(security.mode as u32, mode as u32);
        assert_eq!(security.debug, mode == Mode::Devtools);
        assert_eq!((security.protected_base, security.protected_end), (base, HBM));
        let svn = measurements.block(7).unwrap().value.as_bytes();
        assert_eq!(svn, u64::from(firmware.svn()).to_le_bytes());
    }
}

#[test]
fn evidence_from_before_a_reset_is_under_a_key_that_is_gone() {
    for kind in [ResetKind::Flr, ResetKind::Bus, ResetKind::Cold] {
        let guest = Guest::new(Mode::On);
        let before = guest.converse().evidence;
        guest.gpu.admin().reset(kind).unwrap();
        let after = guest.converse().evidence;
        assert_ne!(leaf_key(&before), leaf_key(&after));
        assert!(after.measurements.verify(&leaf_key(&before)).is_err());
    }
}

#[test]
fn a_session_is_counted_and_shown() {
    let mut guest = Guest::new(Mode::On);
    assert_eq!(guest.status(), Status::Ready);
    for number in 1..4 {
        guest.attach();
        assert_eq!(guest.status(), Status::Session);
        assert_eq!(guest.read32(registers::SESSION_COUNT), number);
        assert_eq!(guest.gpu.admin().info().session, number);
    }
}

#[test]
fn a_session_that_is_ended_takes_keys_and_memory_with_it() {
    let mut guest = Guest::new(Mode::On);
    let mut session = guest.attach_and_keep();
    assert_eq!(guest.copy_in(BASE, SECRET), Outcome::Done);
    let message = session.end().unwrap();
    let answer = guest.gpu.doe_exchange(&doe::encode_message(&message).unwrap());
    session.confirm_end(&doe::decode_message(&answer).unwrap()).unwrap();
    assert_eq!(guest.status(), Status::Ready);
    assert!(!guest.hbm_holds(SECRET));
    let sequence = guest.submit(Engine::CopyIn, BASE, SECRET.len() as u32, SECRET);
    guest.ring(Engine::CopyIn);
    linger();
    assert!(!guest.answered(Engine::CopyIn, sequence));
    assert!(!guest.hbm_holds(SECRET));
    guest.attach();
    assert_eq!(guest.copy_in(BASE, SECRET), Outcome::Done);
}

#[test]
fn a_failed_session_is_over_for_sec2_too() {
    let mut guest = Guest::new(Mode::On);
    let mut session = guest.attach_and_keep();
    let forged = guest.submit(Engine::CopyIn, BASE, 4, b"four");
    guest.memory.with(|memory| memory[crate::testing::slot(Engine::CopyIn, forged) as usize] ^= 1);
    guest.ring(Engine::CopyIn);
    guest.wait_for(Status::Failed);
    let message = session.end().unwrap();
    let answer = guest.gpu.doe_exchange(&doe::encode_message(&message).unwrap());
    assert!(session.confirm_end(&doe::decode_message(&answer).unwrap()).is_err());
    assert_eq!(guest.status(), Status::Failed);
}

#[test]
fn discovery_tells_what_the_mailbox_speaks() {
    let guest = Guest::new(Mode::On);
    let mut found = Vec::new();
    let mut index = 0;
    loop {
        let request = doe::encode(ObjectType::Discovery, &Discovery { index }.encode()).unwrap();
        let answer = guest.gpu.doe_exchange(&request);
        let (object_type, payload) = doe::decode(&answer).unwrap();
        assert_eq!(object_type, ObjectType::Discovery);
        let entry = Discovered::decode(payload).unwrap();
        found.push((entry.vendor, entry.object_type));
        index = entry.next;
        if index == 0 {
            break;
        }
    }
    assert_eq!(found, [(1, 0), (1, 1), (1, 2)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn no_object_breaks_the_mailbox(
        objects in prop::collection::vec(
            (0_u8..4, prop::collection::vec(any::<u8>(), 0..128), any::<bool>()), 1..64,
        ),
    ) {
        let mut guest = Guest::new(Mode::On);
        for (object_type, mut payload, framed) in objects {
            // Half of them get as far as the responder.
            if framed && let Some(first) = payload.first_mut() {
                *first = 0x12;
            }
            let framed = framed.then(|| ObjectType::ALL.get(usize::from(object_type))).flatten();
            let object = match framed {
                Some(object_type) => doe::encode(*object_type, &payload).unwrap(),
                None => payload,
            };
            guest.gpu.doe_exchange(&object);
        }
        prop_assert_eq!(guest.read32(registers::SESSION_COUNT), 0);
        guest.attach();
        prop_assert_eq!(guest.copy_in(BASE, SECRET), Outcome::Done);
    }
}
