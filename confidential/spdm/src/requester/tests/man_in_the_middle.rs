//! Threat 1: someone in the middle of the handshake. A changed message that is still well-formed
//! fails on the transcript, whose signature is the first thing that the attacker cannot make.

use super::*;

/// What ends the handshake if this message is changed in this way.
type Attack = (Way, fn(&mut Vec<u8>), fn(Error) -> bool);

fn refused(error: Error, expected: ErrorCode) -> bool {
    matches!(error, Error::Refused { code, .. } if code == expected)
}

/// One for each message, in order; offsets are those of all three versions.
const ATTACKS: [Attack; 16] = [
    (
        Way::Request(code::GET_VERSION),
        |bytes| bytes[0] = 0x11,
        |error| refused(error, ErrorCode::VersionMismatch),
    ),
    // Another version is added to the list: nobody takes it, but the device signs its own list.
    (
        Way::Response(code::GET_VERSION),
        |bytes| {
            bytes[5] += 1;
            bytes.splice(12.., [0, 0x14]);
        },
        |error| error == Error::BadSignature,
    ),
    // Heartbeats are taken from what the requester can do.
    (
        Way::Request(code::GET_CAPABILITIES),
        |bytes| bytes[9] ^= 0x20,
        |error| error == Error::BadSignature,
    ),
    (
        Way::Response(code::GET_CAPABILITIES),
        |bytes| bytes[8] &= !(1 << 6),
        |error| matches!(error, Error::MissingCapabilities { missing: Flags::ENCRYPT }),
    ),
    // The cipher is taken from the offer, and AES-128 put in its place.
    (
        Way::Request(code::NEGOTIATE_ALGORITHMS),
        |bytes| bytes[38] = 1,
        |error| matches!(error, Error::WrongAlgorithm { field: "AEAD", found: 0 }),
    ),
    (
        Way::Response(code::NEGOTIATE_ALGORITHMS),
        |bytes| bytes[42] = 1,
        |error| matches!(error, Error::WrongAlgorithm { field: "AEAD", found: 1 }),
    ),
    (Way::Response(code::GET_DIGESTS), |bytes| bytes[20] ^= 1, |error| error == Error::ChainDigest),
    (
        Way::Request(code::GET_CERTIFICATE),
        |bytes| bytes[2] = 1,
        |error| refused(error, ErrorCode::InvalidRequest),
    ),
    (
        Way::Response(code::GET_CERTIFICATE),
        |bytes| bytes[8 + 100] ^= 1,
        |error| error == Error::ChainDigest,
    ),
    // The attacker's share.
    (
        Way::Request(code::KEY_EXCHANGE),
        |bytes| bytes[40..136].copy_from_slice(&stranger()),
        |error| error == Error::BadSignature,
    ),
    (
        Way::Response(code::KEY_EXCHANGE),
        |bytes| bytes[40..136].copy_from_slice(&stranger()),
        |error| error == Error::BadSignature,
    ),
    // The digest of the measurements.
    (
        Way::Response(code::KEY_EXCHANGE),
        |bytes| bytes[136] ^= 1,
        |error| error == Error::BadSignature,
    ),
    (
        Way::Response(code::KEY_EXCHANGE),
        |bytes| {
            // In front of padding.
            let last = bytes.len() - 8;
            bytes[last] ^= 1;
        },
        |error| error == Error::BadVerifyData,
    ),
    (
        Way::Request(code::FINISH),
        |bytes| bytes[20] ^= 1,
        |error| refused(error, ErrorCode::DecryptError),
    ),
    (
        Way::Response(code::FINISH),
        |bytes| bytes[9] ^= 1,
        |error| error == Error::Session(SessionError::Forged),
    ),
    (
        Way::Response(code::GET_MEASUREMENTS),
        |bytes| bytes[60] ^= 1,
        |error| error == Error::Session(SessionError::Forged),
    ),
];

/// The share of somebody in the middle.
fn stranger() -> [u8; 96] {
    crate::exchange::Exchange::new(&mut TestRng::new(99)).share()
}

#[test]
fn each_message_of_the_handshake_has_its_defence_in_every_version() {
    for version in Version::NEGOTIABLE {
        for (at, change, defence) in ATTACKS {
            let error = attacked_in(version, at, change);
            assert!(defence(error), "{version:?} {at:?}: {error:?}");
        }
    }
}

#[test]
fn a_handshake_with_each_of_the_two_ends_brings_no_session() {
    // The attacker speaks for itself to both: its own device, with the genuine chain, to the guest.
    for version in Version::NEGOTIABLE {
        let mut genuine = responder();
        let stolen = genuine.device().chain.clone();
        let device = TestDevice { chain: stolen, ..TestDevice::genuine(2) };
        let mut attacker = Responder::new(device, TestRng::new(3), doe::FRAMING);
        let mut guest = requester(7).with_versions([version]);
        let towards_guest = handshake(&mut guest, &mut attacker, honest);
        assert_eq!(towards_guest.error(), Error::BadSignature);
        // With the GPU it gets as far as anyone may, to a session of its own.
        let mut own = requester(8).with_versions([version]);
        let towards_gpu = handshake(&mut own, &mut genuine, honest);
        let established = towards_gpu.result.unwrap();
        // Whose evidence is not the guest's: the nonce binds the attacker's share.
        let key = verifier(&established.evidence.chain).unwrap();
        let nonce = established.evidence.measurements.verify(&key).unwrap().nonce;
        assert_ne!(nonce, bound_nonce(&[7; 32], &established.evidence.exchange_key));
    }
}

#[test]
fn a_swapped_share_of_the_requesters_fails_on_the_signature() {
    let share = crate::exchange::Exchange::new(&mut TestRng::new(99)).share();
    let swap = |bytes: &mut Vec<u8>| bytes[40..136].copy_from_slice(&share);
    assert_eq!(attacked(Way::Request(code::KEY_EXCHANGE), swap), Error::BadSignature);
}

#[test]
fn a_swapped_share_of_the_responders_fails_on_the_signature() {
    let share = crate::exchange::Exchange::new(&mut TestRng::new(99)).share();
    let swap = |bytes: &mut Vec<u8>| bytes[40..136].copy_from_slice(&share);
    assert_eq!(attacked(Way::Response(code::KEY_EXCHANGE), swap), Error::BadSignature);
}

#[test]
fn a_key_exchange_signed_by_another_key_is_refused() {
    // A whole second device in the middle, which shows the genuine device's chain.
    let stolen = TestDevice::genuine(1).chain;
    let device = TestDevice { chain: stolen, ..TestDevice::genuine(2) };
    let mut imposter = Responder::new(device, TestRng::new(1), doe::FRAMING);
    let outcome = handshake(&mut requester(7), &mut imposter, honest);
    assert_eq!(outcome.error(), Error::BadSignature);
}

#[test]
fn changed_capabilities_fail_on_the_signature() {
    let at = Way::Request(code::GET_CAPABILITIES);
    assert_eq!(attacked(at, flip(5)), Error::BadSignature);
    let at = Way::Response(code::GET_CAPABILITIES);
    assert_eq!(attacked(at, flip(5)), Error::BadSignature);
}

#[test]
fn a_changed_summary_opaque_data_or_random_fails_on_the_signature() {
    for offset in [8, 39, 136, 183, 200] {
        let at = Way::Response(code::KEY_EXCHANGE);
        assert_eq!(attacked(at, flip(offset)), Error::BadSignature, "byte {offset}");
    }
}

#[test]
fn changed_verify_data_of_the_responder_is_refused() {
    let last = |bytes: &mut Vec<u8>| bytes[136 + 48 + 2 + 12 + 96] ^= 1;
    assert_eq!(attacked(Way::Response(code::KEY_EXCHANGE), last), Error::BadVerifyData);
}

#[test]
fn a_counterfeit_chain_is_refused_by_the_verifier() {
    let counterfeit = TestDevice::counterfeit();
    let mut fake = Responder::new(counterfeit, TestRng::new(1), doe::FRAMING);
    let outcome = handshake(&mut requester(7), &mut fake, honest);
    assert_eq!(outcome.error(), Error::ChainRefused(ChainRefused { code: "unknown-root" }));
}

#[test]
fn another_genuine_chain_fails_on_the_signature() {
    // DIGESTS and CERTIFICATE come from another device of the same maker.
    let other = TestDevice::genuine(2);
    let outcome = handshake(&mut requester(7), &mut responder(), |_, way, message| match way {
        Way::Response(code::GET_DIGESTS) => {
            map(message, |bytes| bytes[4..52].copy_from_slice(&other.chain.digest()))
        }
        Way::Response(code::GET_CERTIFICATE) => map(message, |bytes| {
            bytes[8..8 + other.chain.as_bytes().len()].copy_from_slice(other.chain.as_bytes());
        }),
        _ => message,
    });
    assert_eq!(outcome.error(), Error::BadSignature);
}

#[test]
fn a_changed_digest_or_certificate_is_refused() {
    assert_eq!(attacked(Way::Response(code::GET_DIGESTS), flip(10)), Error::ChainDigest);
    let last = 8 + 52 + 11 + 99 - 1;
    assert_eq!(attacked(Way::Response(code::GET_CERTIFICATE), flip(last)), Error::ChainDigest);
}

#[test]
fn portions_that_do_not_fit_together_are_refused() {
    let at = Way::Response(code::GET_CERTIFICATE);
    let empty = |bytes: &mut Vec<u8>| *bytes = vec![0x12, code::CERTIFICATE, 0, 0, 0, 0, 5, 0];
    assert_eq!(attacked(at, empty), Error::ChainPortion { offset: 0 });
    let other_slot = |bytes: &mut Vec<u8>| bytes[2] = 1;
    assert_eq!(attacked(at, other_slot), Error::ChainPortion { offset: 0 });
    // The chain grows from one portion to the next.
    let device = TestDevice::genuine(1).with_long_chain();
    let mut responder = Responder::new(device, TestRng::new(1), doe::FRAMING);
    let outcome = handshake(&mut requester(7), &mut responder, |_, way, message| {
        if way == at {
            map(message, |bytes| bytes[6] = bytes[6].wrapping_add(bytes[8]))
        } else {
            message
        }
    });
    assert!(matches!(outcome.error(), Error::ChainPortion { offset: 1024.. }));
}

#[test]
fn a_slot_without_a_chain_is_refused() {
    let none = |bytes: &mut Vec<u8>| *bytes = vec![0x12, code::DIGESTS, 0, 0];
    assert_eq!(attacked(Way::Response(code::GET_DIGESTS), none), Error::NoChain { slot: 0 });
}

#[test]
fn a_changed_finish_is_refused_by_the_responder() {
    let refused = Error::Refused { code: ErrorCode::DecryptError, data: 0 };
    assert_eq!(attacked(Way::Request(code::FINISH), flip(20)), refused);
}

#[test]
fn changed_answers_in_the_session_end_it() {
    let forged = Error::Session(SessionError::Forged);
    assert_eq!(attacked(Way::Response(code::FINISH), flip(9)), forged);
    assert_eq!(attacked(Way::Response(code::GET_MEASUREMENTS), flip(60)), forged);
    let other = Error::Session(SessionError::UnknownSession { found: 0 });
    let unknown = |bytes: &mut Vec<u8>| bytes[..4].fill(0);
    assert_eq!(attacked(Way::Response(code::GET_MEASUREMENTS), unknown), other);
}

#[test]
fn no_changed_byte_of_any_message_goes_unnoticed() {
    // How long each message is.
    let mut lengths = Vec::new();
    let outcome = handshake(&mut requester(7), &mut responder(), |_, way, message| {
        lengths.push((way, message.as_bytes().len()));
        message
    });
    outcome.result.unwrap();
    for (at, length) in lengths {
        for byte in 0..length {
            let outcome = handshake(&mut requester(7), &mut responder(), |_, way, message| {
                if way == at { map(message, flip(byte)) } else { message }
            });
            let harmless = match at {
                // Reserved, and in no transcript of a session.
                Way::Request(code::GET_DIGESTS) => matches!(byte, 2 | 3),
                Way::Response(code::GET_DIGESTS) => byte == 2,
                Way::Response(code::GET_CERTIFICATE) => byte == 3,
                // Asking for a smaller portion only takes one request more.
                Way::Request(code::GET_CERTIFICATE) => matches!(byte, 3 | 6 | 7),
                _ => false,
            };
            assert_eq!(outcome.result.is_ok(), harmless, "byte {byte} of {at:?}");
        }
    }
}
