//! The handshake as it should go, and every way in which someone in the middle may spoil it.

use std::vec;

use proptest::prelude::*;
use sha2::{Digest, Sha384};
use subtle::ConstantTimeEq;

use super::*;
use crate::measurements::bound_nonce;
use crate::message::algorithms;
use crate::message::key_exchange::{KeyExchangeResponse, SummaryType};
use crate::message::opaque::encode_selection;
use crate::responder::{Device, Event, Responder};
use crate::signature::{Purpose, signed_message};
use crate::test_support::{
    TestDevice, TestResponder, TestRng, Way, handshake, honest, map, requester, responder, verifier,
};
use crate::transport::doe;
use crate::version::VersionNumber;

/// The secret in the responder's only event.
fn responders_secret(events: &[Event]) -> &ExportMasterSecret {
    let [Event::SessionEstablished { export_secret, .. }] = events else {
        panic!("{} events", events.len())
    };
    export_secret
}

/// What the requester makes of a handshake in which the attacker changes one message.
fn attacked(at: Way, change: impl Fn(&mut Vec<u8>)) -> Error {
    let outcome = handshake(&mut requester(7), &mut responder(), |_, way, message| {
        if way == at { map(message, &change) } else { message }
    });
    assert!(
        !outcome.events.iter().any(|event| matches!(event, Event::SessionEstablished { .. }))
            || matches!(at, Way::Response(code::FINISH | code::GET_MEASUREMENTS))
            || at == Way::Request(code::GET_MEASUREMENTS),
        "the responder took part in a session that the requester knows to be attacked"
    );
    outcome.error()
}

/// A change of one byte, where the message is long enough.
fn flip(at: usize) -> impl Fn(&mut Vec<u8>) {
    move |bytes| bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1)
}

#[test]
fn both_ends_agree_on_secret_session_and_evidence() {
    let mut responder = responder();
    let outcome = handshake(&mut requester(7), &mut responder, honest);
    let established = outcome.result.unwrap();
    let secret = responders_secret(&outcome.events);
    assert!(bool::from(established.export_secret.ct_eq(secret)));
    assert_eq!(responder.session(), Some(established.session.id()));

    let Evidence { chain, measurements, verifier_nonce, exchange_key } = &established.evidence;
    assert_eq!(*chain, responder.device().chain);
    assert_eq!(*verifier_nonce, [7; 32]);
    let verified = measurements.verify(&verifier(chain).unwrap()).unwrap();
    assert_eq!(verified.blocks, responder.device().blocks);
    assert_eq!(verified.nonce, bound_nonce(&[7; 32], exchange_key));
}

#[test]
fn a_chain_of_many_portions_arrives_whole() {
    let device = TestDevice::genuine(1).with_long_chain();
    let mut responder = Responder::new(device, TestRng::new(1), doe::FRAMING);
    let mut portions = 0;
    let outcome = handshake(&mut requester(7), &mut responder, |_, way, message| {
        portions += usize::from(way == Way::Request(code::GET_CERTIFICATE));
        message
    });
    assert_eq!(outcome.result.unwrap().evidence.chain, responder.device().chain);
    assert_eq!(portions, 3);
}

#[test]
fn two_sessions_share_nothing() {
    let mut responder = responder();
    let first = handshake(&mut requester(7), &mut responder, honest);
    let second = handshake(&mut requester(8), &mut responder, honest);
    let (one, two) = (first.result.unwrap(), second.result.unwrap());
    assert!(!bool::from(one.export_secret.ct_eq(&two.export_secret)));
    assert_ne!(one.evidence.exchange_key, two.evidence.exchange_key);
    assert_ne!(one.session.id(), two.session.id());
}

#[test]
fn a_session_ends_in_good_order() {
    let mut responder = responder();
    let outcome = handshake(&mut requester(7), &mut responder, honest);
    let mut session = outcome.result.unwrap().session;
    let (id, request) = (session.id(), session.end().unwrap());
    let reply = responder.respond(&request);
    assert!(matches!(reply.event, Some(Event::SessionEnded { id: ended }) if ended == id));
    session.confirm_end(&reply.message).unwrap();
    assert_eq!(responder.session(), None);
}

// Threat 1: someone in the middle of the key exchange. A changed message that is still well-formed
// fails on the transcript, whose signature is the first thing that the attacker cannot make.

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
fn an_offer_with_weaker_algorithms_added_fails_on_the_signature() {
    // SHA-256 besides SHA-384: the responder does not mind, the transcript does.
    let at = Way::Request(code::NEGOTIATE_ALGORITHMS);
    assert_eq!(attacked(at, flip(12)), Error::BadSignature);
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

/// What the requester makes of a device that signs a key exchange with one field changed.
fn signed_anew(change: impl Fn(&mut KeyExchangeResponse)) -> Error {
    let device = TestDevice::genuine(1);
    let mut vca = Vec::new();
    let mut request = Vec::new();
    let outcome = handshake(&mut requester(7), &mut responder(), |_, way, message| {
        match way {
            Way::Request(code::KEY_EXCHANGE) => {
                // The mailbox has added two bytes.
                request = message.as_bytes()[..message.as_bytes().len() - 2].to_vec();
            }
            Way::Response(code::KEY_EXCHANGE) => {
                return map(message, |bytes| {
                    let summary = SummaryType::All;
                    let (mut answer, _) =
                        decode_padded::<KeyExchangeResponse>(bytes, Version::V1_2, summary, 4)
                            .unwrap();
                    change(&mut answer);
                    let encoded = answer.encode(Version::V1_2);
                    let digest = Sha384::new()
                        .chain_update(&vca)
                        .chain_update(device.chain.digest())
                        .chain_update(&request)
                        .chain_update(&encoded[..encoded.len() - KeyExchangeResponse::UNSIGNED])
                        .finalize();
                    let signed =
                        signed_message(Version::V1_2, Purpose::KeyExchange, &digest.into())
                            .unwrap();
                    answer.signature = device.sign(&signed).unwrap();
                    *bytes = answer.encode(Version::V1_2);
                });
            }
            Way::Request(code) | Way::Response(code) => {
                let negotiation =
                    [code::GET_VERSION, code::GET_CAPABILITIES, code::NEGOTIATE_ALGORITHMS];
                if negotiation.contains(&code) {
                    vca.extend_from_slice(message.as_bytes());
                }
            }
        }
        message
    });
    outcome.error()
}

#[test]
fn what_was_not_agreed_is_refused_even_if_it_is_signed() {
    // The device has other keys now than its verify data was made with.
    assert_eq!(signed_anew(|answer| answer.random[0] ^= 1), Error::BadVerifyData);
    let not_agreed = |field, found| Error::NotAgreed { field, found };
    let error = signed_anew(|answer| answer.heartbeat_period = 5);
    assert_eq!(error, not_agreed("HeartbeatPeriod", 5));
    let error = signed_anew(|answer| answer.mutual_authentication = 1);
    assert_eq!(error, not_agreed("MutAuthRequested", 1));
    let error = signed_anew(|answer| answer.requester_slot = 2);
    assert_eq!(error, not_agreed("SlotIDParam", 2));
    let error = signed_anew(|answer| {
        answer.opaque = encode_selection(Version::V1_2, VersionNumber(0x2000))
    });
    assert_eq!(error, Error::SecuredVersion);
    assert_eq!(signed_anew(|answer| answer.opaque.clear()), Error::SecuredVersion);
    assert_eq!(signed_anew(|answer| answer.exchange_data = [1; 96]), Error::ExchangeData);
}

#[test]
fn measurements_other_than_those_vouched_for_are_refused() {
    // Firmware changes between key exchange and measurements.
    struct Shifty(TestDevice, core::cell::Cell<u8>);
    impl Device for Shifty {
        fn certificate_chain(&self) -> &CertificateChain {
            &self.0.chain
        }
        fn sign(&self, message: &[u8; crate::SIGNED_SIZE]) -> Option<[u8; 96]> {
            self.0.sign(message)
        }
        fn sign_digest(&self, digest: &[u8; 48]) -> Option<[u8; 96]> {
            self.0.sign_digest(digest)
        }
        fn measurements(&self) -> Vec<crate::measurements::Block> {
            self.1.set(self.1.get() + 1);
            let mut blocks = self.0.blocks.clone();
            blocks[0].value = crate::measurements::Value::Digest([self.1.get(); 48]);
            blocks
        }
    }
    let device = Shifty(TestDevice::genuine(1), core::cell::Cell::new(0));
    let mut shifty = Responder::new(device, TestRng::new(1), doe::FRAMING);
    let mut requester = requester(7);
    let mut request = requester.start();
    let error = loop {
        match requester.receive(&shifty.respond(&request).message) {
            Ok(Step::Send(next)) => request = next,
            Ok(Step::Done(_)) => panic!("the handshake went through"),
            Err(error) => break error,
        }
    };
    assert_eq!(error, Error::SummaryMismatch);
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

// Threat 2: downgrades.

#[test]
fn a_responder_of_an_older_version_is_refused() {
    let older = |bytes: &mut Vec<u8>| *bytes = vec![0x10, code::VERSION, 0, 0, 0, 1, 0, 0x11];
    assert_eq!(attacked(Way::Response(code::GET_VERSION), older), Error::NoCommonVersion);
    let draft = |bytes: &mut Vec<u8>| *bytes = vec![0x10, code::VERSION, 0, 0, 0, 1, 1, 0x12];
    assert_eq!(attacked(Way::Response(code::GET_VERSION), draft), Error::NoCommonVersion);
}

#[test]
fn versions_added_to_or_taken_from_the_list_fail_on_the_signature() {
    let more =
        |bytes: &mut Vec<u8>| *bytes = vec![0x10, code::VERSION, 0, 0, 0, 2, 0, 0x12, 0, 0x11];
    assert_eq!(attacked(Way::Response(code::GET_VERSION), more), Error::BadSignature);
}

#[test]
fn answers_of_another_version_are_refused() {
    for code in [code::GET_CAPABILITIES, code::NEGOTIATE_ALGORITHMS, code::KEY_EXCHANGE] {
        let older = |bytes: &mut Vec<u8>| bytes[0] = 0x11;
        let refused = Error::Malformed(DecodeError::Version { found: 0x11 });
        assert_eq!(attacked(Way::Response(code), older), refused);
    }
}

#[test]
fn each_missing_capability_is_refused() {
    for (bit, missing) in
        [(1, Flags::CERT), (4, Flags::MEAS_SIG), (6, Flags::ENCRYPT), (7, Flags::MAC)]
    {
        let clear = |bytes: &mut Vec<u8>| bytes[8] &= !(1 << bit);
        let at = Way::Response(code::GET_CAPABILITIES);
        assert_eq!(attacked(at, clear), Error::MissingCapabilities { missing });
    }
    // Without a key exchange, but with a shared key instead, so that the flags make sense.
    let psk = |bytes: &mut Vec<u8>| bytes[9] = 0x04;
    let missing = Flags::KEY_EX;
    let at = Way::Response(code::GET_CAPABILITIES);
    assert_eq!(attacked(at, psk), Error::MissingCapabilities { missing });
}

#[test]
fn each_weaker_algorithm_is_refused() {
    // Offset in ALGORITHMS, the weaker value, and the field that is named.
    for (offset, weaker, field) in [
        (6, 0, "MeasurementSpecificationSel"),
        (7, 1, "OtherParamsSelection"),
        (8, 1 << 1, "MeasurementHashAlgo"),
        (12, 1 << 4, "BaseAsymSel"),
        (16, 1 << 0, "BaseHashSel"),
        (38, 1 << 3, "DHE"),
        (42, 1 << 0, "AEAD"),
        (46, 0, "KeySchedule"),
    ] {
        let change = |bytes: &mut Vec<u8>| bytes[offset] = weaker;
        let refused = Error::WrongAlgorithm { field, found: weaker.into() };
        assert_eq!(attacked(Way::Response(code::NEGOTIATE_ALGORITHMS), change), refused);
    }
    // More than one is no choice.
    let both = |bytes: &mut Vec<u8>| bytes[16] |= 1;
    let refused = Error::WrongAlgorithm { field: "BaseHashSel", found: 3 };
    assert_eq!(attacked(Way::Response(code::NEGOTIATE_ALGORITHMS), both), refused);
}

#[test]
fn an_algorithm_structure_missing_or_added_is_refused() {
    let choice = crate::suite::choose(Version::V1_2, &crate::suite::offer(Version::V1_2));
    let at = Way::Response(code::NEGOTIATE_ALGORITHMS);
    let mut fewer = choice.clone();
    fewer.algorithms.pop();
    let send = |bytes: &mut Vec<u8>| *bytes = fewer.encode(Version::V1_2);
    let refused = Error::WrongAlgorithm { field: "KeySchedule", found: 0 };
    assert_eq!(attacked(at, send), refused);

    let mut more = choice;
    more.algorithms.insert(
        2,
        algorithms::Algorithm {
            kind: algorithms::AlgorithmType::RequesterAsymmetric,
            supported: 0x80,
            extended: 0,
        },
    );
    let send = |bytes: &mut Vec<u8>| *bytes = more.encode(Version::V1_2);
    let refused = Error::WrongAlgorithm { field: "AlgStructure", found: 4 };
    assert_eq!(attacked(at, send), refused);
}

#[test]
fn a_choice_from_an_offer_that_was_cut_is_refused() {
    // The responder picks nothing where nothing is offered, and the requester does not go on.
    for (offset, field) in [
        (6, "MeasurementSpecificationSel"),
        (7, "OtherParamsSelection"),
        (8, "BaseAsymSel"),
        (12, "BaseHashSel"),
        (34, "DHE"),
        (38, "AEAD"),
        (42, "KeySchedule"),
    ] {
        let take = |bytes: &mut Vec<u8>| bytes[offset] = 0;
        let error = attacked(Way::Request(code::NEGOTIATE_ALGORITHMS), take);
        assert_eq!(error, Error::WrongAlgorithm { field, found: 0 }, "byte {offset}");
    }
}

// Threat 3, at the requester: answers that are not due.

#[test]
fn an_answer_in_clear_inside_a_session_is_refused() {
    for at in [code::FINISH, code::GET_MEASUREMENTS] {
        let outcome = handshake(&mut requester(7), &mut responder(), |_, way, message| {
            if way == Way::Response(at) {
                return Message::Clear(vec![0x12, code::FINISH_RSP, 0, 0]);
            }
            message
        });
        assert_eq!(outcome.error(), Error::NotSecured);
    }
}

#[test]
fn a_secured_answer_outside_of_a_session_is_refused() {
    for at in [code::GET_VERSION, code::GET_DIGESTS, code::KEY_EXCHANGE] {
        let outcome = handshake(&mut requester(7), &mut responder(), |_, way, message| {
            if way == Way::Response(at) {
                return Message::Secured(message.as_bytes().to_vec());
            }
            message
        });
        assert_eq!(outcome.error(), Error::NotClear);
    }
}

#[test]
fn the_answer_to_an_earlier_request_is_refused() {
    let mut last = None;
    let outcome = handshake(&mut requester(7), &mut responder(), |_, way, message| match way {
        Way::Response(code::GET_DIGESTS) => last.take().unwrap(),
        Way::Response(_) => last.insert(message).clone(),
        Way::Request(_) => message,
    });
    let refused = DecodeError::Code { found: code::ALGORITHMS, expected: code::DIGESTS };
    assert_eq!(outcome.error(), Error::Malformed(refused));
}

#[test]
fn padding_that_is_not_zero_is_refused() {
    // KEY_EXCHANGE_RSP ends two bytes before its dword does.
    let last = |bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() = 1;
    let refused = Error::Malformed(DecodeError::Reserved { found: 1 });
    assert_eq!(attacked(Way::Response(code::KEY_EXCHANGE), last), refused);
}

#[test]
fn an_error_is_final_until_started_anew() {
    let mut requester = requester(7);
    let mut responder = responder();
    let nothing = Message::Clear(Vec::new());
    assert!(matches!(requester.receive(&nothing), Err(Error::NotStarted)));
    let request = requester.start();
    let answer = responder.respond(&request).message;
    assert!(requester.receive(&nothing).is_err());
    assert!(matches!(requester.receive(&answer), Err(Error::NotStarted)));
    assert!(handshake(&mut requester, &mut responder, honest).result.is_ok());
}

// Threat 10 and 11: evidence that is not of this session.

#[test]
fn measurements_of_an_earlier_session_are_refused() {
    // The responder replays what it has signed before, inside of a new session.
    let mut old = handshake(&mut requester(7), &mut responder(), honest).result.unwrap();
    let new = handshake(&mut requester(8), &mut responder(), honest).result.unwrap();
    let key = verifier(&new.evidence.chain).unwrap();
    let Evidence { measurements, verifier_nonce, exchange_key, .. } = new.evidence;
    // Where only the response is replayed, the signature does not cover the new nonce.
    let replayed = MeasurementTranscript {
        response: core::mem::take(&mut old.evidence.measurements.response),
        ..measurements
    };
    assert_eq!(replayed.verify(&key), Err(TranscriptError::BadSignature));
    // Where the request is, too, the nonce is not the one that belongs to verifier and session.
    let replayed = MeasurementTranscript { request: old.evidence.measurements.request, ..replayed };
    let nonce = replayed.verify(&key).unwrap().nonce;
    assert_ne!(nonce, bound_nonce(&verifier_nonce, &exchange_key));
    assert_ne!(nonce, bound_nonce(&verifier_nonce, &old.evidence.exchange_key));
    assert_ne!(nonce, bound_nonce(&old.evidence.verifier_nonce, &exchange_key));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_answers_never_lead_to_a_session(
        at in 0usize..8,
        secured in any::<bool>(),
        header in prop_oneof![Just(None), any::<u8>().prop_map(Some)],
        mut bytes in prop::collection::vec(any::<u8>(), 0..500),
    ) {
        let at = [
            code::GET_VERSION,
            code::GET_CAPABILITIES,
            code::NEGOTIATE_ALGORITHMS,
            code::GET_DIGESTS,
            code::GET_CERTIFICATE,
            code::KEY_EXCHANGE,
            code::FINISH,
            code::GET_MEASUREMENTS,
        ][at];
        if let (Some(due), Some(header)) = (header, bytes.get_mut(..2)) {
            header.copy_from_slice(&[if at == code::GET_VERSION { 0x10 } else { 0x12 }, due]);
        }
        let garbage = if secured { Message::Secured(bytes) } else { Message::Clear(bytes) };
        let outcome = handshake(
            &mut requester(7),
            &mut responder(),
            |_: &mut TestResponder, way, message| {
                if way == Way::Response(at) { garbage.clone() } else { message }
            },
        );
        prop_assert!(outcome.result.is_err());
    }
}
