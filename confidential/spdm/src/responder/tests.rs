//! Requests that are malformed, unknown, not due or not where they belong, at every state: the
//! answer is the specification's ERROR, and the connection goes on as if nothing had been.

use std::vec;

use proptest::prelude::*;

use super::*;
use crate::exchange::Exchange;
use crate::key_schedule::HandshakeSecrets;
use crate::message::capabilities::{Flags, GetCapabilities};
use crate::message::certificate::GetCertificate;
use crate::message::digests::GetDigests;
use crate::message::error::{ErrorCode, ErrorResponse};
use crate::message::finish::Finish;
use crate::message::key_exchange::{KeyExchange, KeyExchangeResponse, SummaryType};
use crate::message::measurements::{
    GetMeasurements, MeasurementsResponse, Operation, SignatureRequest,
};
use crate::message::opaque::{SECURED_MESSAGE_VERSIONS, encode_supported};
use crate::message::version::GetVersion;
use crate::message::{
    decode,
    end_session::{EndSession, EndSessionAck},
};
use crate::test_support::{
    TestResponder, TestRng, Way, handshake, honest, map, requester, responder,
};
use crate::transcript::SessionTranscript;
use crate::version::VersionNumber;

const V: Version = Version::V1_2;

/// The ERROR that answers a request, in clear.
fn error(responder: &mut TestResponder, request: &Message) -> ErrorResponse {
    let Reply { message: Message::Clear(bytes), event: None } = responder.respond(request) else {
        panic!("no ERROR in clear")
    };
    decode_error(&bytes)
}

fn decode_error(bytes: &[u8]) -> ErrorResponse {
    let version = if bytes[0] == 0x10 { Version::V1_0 } else { V };
    decode(bytes, version, ()).expect("an ERROR")
}

fn clear(request: &impl Codec) -> Message {
    Message::Clear(request.encode(V))
}

/// A well-formed request of each kind but GET_VERSION.
fn requests() -> Vec<Message> {
    vec![
        clear(&GetCapabilities(suite::requester_capabilities(V, Flags::empty()))),
        clear(&suite::offer(V)),
        clear(&GetDigests),
        clear(&GetCertificate { slot: 0, slot_size: false, offset: 0, length: 100 }),
        clear(&GetMeasurements {
            operation: Operation::All,
            raw: false,
            signature: None,
            context: [0; 8],
        }),
        clear(&key_exchange(&Exchange::new(&mut TestRng::new(5)))),
        clear(&Finish { verify_data: [0; 48] }),
        clear(&EndSession { clear_negotiated_state: false }),
    ]
}

fn key_exchange(exchange: &Exchange) -> KeyExchange {
    KeyExchange {
        summary: SummaryType::All,
        slot: 0,
        requester_session_id: 0x1234,
        session_policy: 0,
        random: [3; 32],
        exchange_data: exchange.share(),
        opaque: encode_supported(V, &SECURED_MESSAGE_VERSIONS),
    }
}

/// Runs a whole handshake and lets somebody else speak before each request. It must go through.
fn disturbed(mut disturb: impl FnMut(&mut TestResponder, u8, &Message)) -> TestResponder {
    let mut responder = responder();
    let outcome = handshake(&mut requester(7), &mut responder, |responder, way, message| {
        if let Way::Request(due) = way {
            disturb(responder, due, &message);
        }
        message
    });
    assert!(outcome.result.is_ok(), "{:?}", outcome.result.err());
    responder
}

/// The responder's end of a connection, and what a requester knows of it.
struct Hand {
    responder: TestResponder,
    vca: Vca,
}

/// A connection made by hand.
fn connected() -> Hand {
    let mut responder = responder();
    let mut exchange = |request: Vec<u8>| {
        let reply = responder.respond(&Message::Clear(request.clone()));
        (request, reply.message.as_bytes().to_vec())
    };
    let (request, response) = exchange(GetVersion.encode(Version::V1_0));
    let mut vca = Vca::new(&request, &response);
    for request in &requests()[..2] {
        let (request, response) = exchange(request.as_bytes().to_vec());
        vca.add(&request, &response);
    }
    Hand { responder, vca }
}

/// A requester's end of a session that wants only FINISH.
struct HandSession {
    secured: SecuredSession,
    secrets: HandshakeSecrets,
    transcript: SessionTranscript,
}

impl Hand {
    fn key_exchange(&mut self) -> HandSession {
        let exchange = Exchange::new(&mut TestRng::new(5));
        let fields = key_exchange(&exchange);
        let request = fields.encode(V);
        let reply = self.responder.respond(&Message::Clear(request.clone())).message;
        let bytes = reply.as_bytes();
        let response: KeyExchangeResponse = decode(bytes, V, SummaryType::All).unwrap();
        let mut transcript =
            SessionTranscript::new(&self.vca, &self.responder.device().chain.digest());
        transcript.add(&request);
        transcript.add(&bytes[..bytes.len() - 48]);
        let shared = exchange.agree(&response.exchange_data).unwrap();
        let secrets = HandshakeSecrets::derive(V, shared.as_slice(), &transcript.digest());
        transcript.add(&response.verify_data);
        let id =
            u32::from(fields.requester_session_id) | u32::from(response.responder_session_id) << 16;
        let framing = self.responder.framing;
        let secured = SecuredSession::new(id, framing, &secrets.requester, &secrets.responder);
        HandSession { secured, secrets, transcript }
    }

    /// Sends a request inside the session, and opens its answer.
    fn inside(&mut self, session: &mut SecuredSession, request: &[u8]) -> (Vec<u8>, Option<Event>) {
        let record = session.seal(request).unwrap();
        let Reply { message, event } = self.responder.respond(&Message::Secured(record));
        let Message::Secured(record) = message else { panic!("answered in clear") };
        (session.open(&record).unwrap().to_vec(), event)
    }

    fn established(&mut self) -> SecuredSession {
        let mut session = self.key_exchange();
        let finish = session.finish();
        let (response, event) = self.inside(&mut session.secured, &finish);
        assert!(matches!(event, Some(Event::SessionEstablished { .. })));
        session.transcript.add(&finish[4..]);
        session.transcript.add(&response);
        let data = session.secrets.into_data(&session.transcript.digest());
        session.secured.with_keys(&data.requester, &data.responder)
    }
}

impl HandSession {
    fn finish(&mut self) -> Vec<u8> {
        let header = [0x12, code::FINISH, 0, 0];
        self.transcript.add(&header);
        let verify_data = self.secrets.requester_finished.verify_data(&self.transcript.digest());
        [header.as_slice(), &verify_data].concat()
    }
}

// Requests that are not due.

#[test]
fn each_request_is_refused_where_it_is_not_due() {
    use ErrorCode::*;
    let undue = Some(UnexpectedRequest);
    // By the request that is due; in the order of `requests()`. None: it would be answered.
    let table = [
        (code::GET_VERSION, [undue; 8]),
        (code::GET_CAPABILITIES, [None, undue, undue, undue, undue, undue, undue, undue]),
        (code::NEGOTIATE_ALGORITHMS, [undue, None, undue, undue, undue, undue, undue, undue]),
        (
            code::KEY_EXCHANGE,
            [undue, undue, None, None, None, None, Some(SessionRequired), Some(SessionRequired)],
        ),
        (
            code::FINISH,
            [
                undue,
                undue,
                undue,
                undue,
                undue,
                Some(SessionLimitExceeded),
                Some(SessionRequired),
                Some(SessionRequired),
            ],
        ),
        (
            code::GET_MEASUREMENTS,
            [
                undue,
                undue,
                None,
                None,
                None,
                Some(SessionLimitExceeded),
                Some(SessionRequired),
                Some(SessionRequired),
            ],
        ),
    ];
    let mut seen = 0;
    disturbed(|responder, due, _| {
        let Some((_, expected)) = table.iter().find(|(code, _)| *code == due) else { return };
        for (request, expected) in requests().iter().zip(expected) {
            if let Some(expected) = expected {
                let found = error(responder, request);
                assert_eq!(found, (*expected).into(), "{request:?} where {due:#04x} is due");
                seen += 1;
            }
        }
    });
    assert_eq!(seen, 8 + 7 + 7 + 4 + 8 + 5);
}

#[test]
fn an_unknown_request_is_unsupported_in_every_state() {
    // PSK_EXCHANGE, SET_CERTIFICATE, and responses sent as requests.
    for code in [0xe6, 0xee, code::VERSION, code::ERROR, 0x00] {
        disturbed(|responder, _, _| {
            let request = Message::Clear(vec![0x12, code, 0, 0]);
            assert_eq!(error(responder, &request), ErrorResponse::unsupported(code));
        });
    }
}

#[test]
fn a_request_of_another_version_is_a_version_mismatch() {
    disturbed(|responder, due, request| {
        let Message::Clear(bytes) = request else { return };
        // Version 1.4 for all, and version 1.2 for GET_VERSION, which knows no other than 1.0.
        let wrong = if due == code::GET_VERSION { 0x12 } else { 0x14 };
        let mut bytes = bytes.clone();
        bytes[0] = wrong;
        let found = error(responder, &Message::Clear(bytes));
        assert_eq!(found, ErrorCode::VersionMismatch.into(), "where {due:#04x} is due");
    });
}

// Requests of wrong length or content.

#[test]
fn a_truncated_request_is_invalid_at_every_length() {
    disturbed(|responder, due, request| {
        let Message::Clear(bytes) = request else { return };
        // The mailbox has filled up KEY_EXCHANGE with two bytes.
        let whole = bytes.len() - if due == code::KEY_EXCHANGE { 2 } else { 0 };
        for length in 0..whole {
            let request = Message::Clear(bytes[..length].to_vec());
            let found = error(responder, &request);
            assert_eq!(found, ErrorCode::InvalidRequest.into(), "{length} bytes of {due:#04x}");
        }
    });
}

#[test]
fn bytes_behind_a_request_are_invalid() {
    disturbed(|responder, due, request| {
        let Message::Clear(_) = request else { return };
        let longer = map(request.clone(), |bytes| bytes.extend_from_slice(&[0; 4]));
        let found = error(responder, &longer);
        assert_eq!(found, ErrorCode::InvalidRequest.into(), "behind {due:#04x}");
    });
}

#[test]
fn an_oversized_request_is_too_large() {
    disturbed(|responder, _, request| {
        let Message::Clear(_) = request else { return };
        // Before a version is agreed there is no code for it.
        let too_large = match responder.peer() {
            Some(_) => ErrorCode::RequestTooLarge,
            None => ErrorCode::InvalidRequest,
        };
        let longer = map(request.clone(), |bytes| bytes.resize(5000, 0));
        assert_eq!(error(responder, &longer), too_large.into());
    });
}

#[test]
fn requests_with_values_out_of_range_are_invalid() {
    let exchange = Exchange::new(&mut TestRng::new(5));
    let good = key_exchange(&exchange);
    let off_curve = KeyExchange { exchange_data: [1; 96], ..good.clone() };
    let no_versions = KeyExchange { opaque: Vec::new(), ..good.clone() };
    let other_version =
        KeyExchange { opaque: encode_supported(V, &[VersionNumber(0x2000)]), ..good.clone() };
    let other_slot = KeyExchange { slot: 1, ..good };
    let signature = Some(SignatureRequest { nonce: [0; 32], slot: 3 });
    let one = |index| GetMeasurements {
        operation: Operation::One(index),
        raw: false,
        signature: None,
        context: [0; 8],
    };
    let requests = [
        clear(&off_curve),
        clear(&no_versions),
        clear(&other_version),
        clear(&other_slot),
        clear(&GetCertificate { slot: 1, slot_size: false, offset: 0, length: 10 }),
        clear(&GetCertificate { slot: 0, slot_size: false, offset: 60_000, length: 10 }),
        clear(&GetCertificate { slot: 0, slot_size: false, offset: 0, length: 0 }),
        clear(&one(99)),
        clear(&GetMeasurements {
            operation: Operation::All,
            raw: false,
            signature,
            context: [0; 8],
        }),
    ];
    let mut hand = connected();
    for request in requests {
        let found = error(&mut hand.responder, &request);
        assert_eq!(found, ErrorCode::InvalidRequest.into(), "{request:?}");
    }
    hand.established();
}

#[test]
fn a_key_exchange_without_the_capability_is_unsupported() {
    let mut responder = responder();
    responder.respond(&Message::Clear(GetVersion.encode(Version::V1_0)));
    let mut capabilities = suite::requester_capabilities(V, Flags::empty());
    capabilities.flags = Flags::empty();
    responder.respond(&clear(&GetCapabilities(capabilities)));
    responder.respond(&clear(&suite::offer(V)));
    let request = clear(&key_exchange(&Exchange::new(&mut TestRng::new(5))));
    let found = error(&mut responder, &request);
    assert_eq!(found, ErrorResponse::unsupported(code::KEY_EXCHANGE));
}

#[test]
fn a_response_that_the_requester_cannot_take_is_too_large() {
    let mut responder = responder();
    responder.respond(&Message::Clear(GetVersion.encode(Version::V1_0)));
    let mut capabilities = suite::requester_capabilities(V, Flags::empty());
    (capabilities.data_transfer_size, capabilities.max_message_size) = (60, 60);
    responder.respond(&clear(&GetCapabilities(capabilities)));
    responder.respond(&clear(&suite::offer(V)));
    let request = clear(&key_exchange(&Exchange::new(&mut TestRng::new(5))));
    let found = error(&mut responder, &request);
    assert_eq!(found.code, ErrorCode::ResponseTooLarge);
    assert_eq!(found.extended, 342u32.to_le_bytes());
    // A certificate comes in portions that fit.
    let request = clear(&GetCertificate { slot: 0, slot_size: false, offset: 0, length: 1000 });
    let reply = responder.respond(&request).message;
    assert_eq!(reply.as_bytes().len(), 60);
}

// Session-type confusion.

#[test]
fn a_secured_message_without_a_session_is_an_invalid_session() {
    disturbed(|responder, due, request| {
        let Message::Clear(bytes) = request else { return };
        let found = error(responder, &Message::Secured(bytes.clone()));
        assert_eq!(found, ErrorCode::InvalidSession.into(), "where {due:#04x} is due");
    });
}

#[test]
fn a_record_of_another_session_changes_nothing() {
    disturbed(|responder, _, request| {
        let Message::Secured(_) = request else { return };
        let other = map(request.clone(), |bytes| bytes[3] ^= 0x80);
        assert_eq!(error(responder, &other), ErrorCode::InvalidSession.into());
    });
}

#[test]
fn a_cut_or_lengthened_record_changes_nothing() {
    disturbed(|responder, _, request| {
        let Message::Secured(bytes) = request else { return };
        for length in 0..bytes.len() - 4 {
            let cut = Message::Secured(bytes[..length].to_vec());
            assert_eq!(error(responder, &cut), ErrorCode::InvalidRequest.into());
        }
        let longer = map(request.clone(), |bytes| bytes.extend_from_slice(&[0; 4]));
        assert_eq!(error(responder, &longer), ErrorCode::InvalidRequest.into());
    });
}

#[test]
fn the_plaintext_of_a_record_is_refused_in_clear() {
    let mut hand = connected();
    let mut session = hand.key_exchange();
    let finish = session.finish();
    let found = error(&mut hand.responder, &Message::Clear(finish.clone()));
    assert_eq!(found, ErrorCode::SessionRequired.into());
    let (_, event) = hand.inside(&mut session.secured, &finish);
    assert!(matches!(event, Some(Event::SessionEstablished { .. })));
}

#[test]
fn requests_that_belong_outside_are_refused_inside() {
    let mut hand = connected();
    let mut session = hand.key_exchange();
    let unexpected = |bytes: &[u8]| decode_error(bytes) == ErrorCode::UnexpectedRequest.into();
    for request in requests() {
        if request.as_bytes()[1] != code::FINISH {
            let (answer, event) = hand.inside(&mut session.secured, request.as_bytes());
            assert!(unexpected(&answer) && event.is_none(), "{request:?} during the handshake");
        }
    }
    let finish = session.finish();
    let (response, event) = hand.inside(&mut session.secured, &finish);
    assert!(matches!(event, Some(Event::SessionEstablished { .. })));
    session.transcript.add(&finish[4..]);
    session.transcript.add(&response);
    let data = session.secrets.into_data(&session.transcript.digest());
    let mut session = session.secured.with_keys(&data.requester, &data.responder);
    for request in requests() {
        let outside = matches!(
            request.as_bytes()[1],
            code::GET_CAPABILITIES | code::NEGOTIATE_ALGORITHMS | code::KEY_EXCHANGE | code::FINISH
        );
        if outside {
            let (answer, event) = hand.inside(&mut session, request.as_bytes());
            assert!(unexpected(&answer) && event.is_none(), "{request:?} in the session");
        }
    }
    let get_version = GetVersion.encode(Version::V1_0);
    let (answer, _) = hand.inside(&mut session, &get_version);
    assert_eq!(decode_error(&answer), ErrorCode::VersionMismatch.into());
    assert!(hand.responder.session().is_some());
}

#[test]
fn identity_and_measurements_are_told_inside_as_outside() {
    let mut hand = connected();
    let mut session = hand.established();
    for request in &requests()[2..5] {
        let outside = hand.responder.respond(request).message;
        let (inside, _) = hand.inside(&mut session, request.as_bytes());
        assert_eq!(inside[..8], outside.as_bytes()[..8]);
    }
}

// The end of a session.

#[test]
fn wrong_verify_data_ends_the_handshake() {
    let mut hand = connected();
    let mut session = hand.key_exchange();
    let mut finish = session.finish();
    finish[20] ^= 1;
    let (answer, event) = hand.inside(&mut session.secured, &finish);
    assert_eq!(decode_error(&answer), ErrorCode::DecryptError.into());
    assert!(event.is_none());
    // The right one comes too late, and a new session may be asked for.
    finish[20] ^= 1;
    let record = Message::Secured(session.secured.seal(&finish).unwrap());
    assert_eq!(error(&mut hand.responder, &record), ErrorCode::InvalidSession.into());
    hand.established();
}

/// Sends a record that must end the established session.
fn assert_ends(mut hand: Hand, record: Vec<u8>, session: &mut SecuredSession) {
    let reply = hand.responder.respond(&Message::Secured(record));
    let Message::Secured(answer) = &reply.message else { panic!("not told in the session") };
    let answer = session.open(answer).unwrap();
    assert_eq!(decode_error(&answer), ErrorCode::DecryptError.into());
    assert!(matches!(reply.event, Some(Event::SessionEnded { id }) if id == session.id()));
    assert_eq!(hand.responder.session(), None);
    let late = Message::Secured(session.seal(&GetDigests.encode(V)).unwrap());
    assert_eq!(error(&mut hand.responder, &late), ErrorCode::InvalidSession.into());
}

#[test]
fn a_forged_record_ends_the_session() {
    // Behind session id and length, each byte in turn.
    for at in 6..6 + 2 + 4 + 16 {
        let mut hand = connected();
        let mut session = hand.established();
        let mut record = session.seal(&GetDigests.encode(V)).unwrap();
        record[at] ^= 1;
        assert_ends(hand, record, &mut session);
    }
}

#[test]
fn a_replayed_record_ends_the_session() {
    let mut hand = connected();
    let mut session = hand.established();
    let record = session.seal(&GetDigests.encode(V)).unwrap();
    let reply = hand.responder.respond(&Message::Secured(record.clone()));
    session.open(reply.message.as_bytes()).unwrap();
    assert_ends(hand, record, &mut session);
}

#[test]
fn a_dropped_record_ends_the_session() {
    let mut hand = connected();
    let mut session = hand.established();
    session.seal(&GetDigests.encode(V)).unwrap();
    let record = session.seal(&GetDigests.encode(V)).unwrap();
    assert_ends(hand, record, &mut session);
}

#[test]
fn a_reflected_record_ends_the_session() {
    let mut hand = connected();
    let mut session = hand.established();
    let record = session.seal(&GetDigests.encode(V)).unwrap();
    let reply = hand.responder.respond(&Message::Secured(record));
    let answer = reply.message.as_bytes().to_vec();
    session.open(&answer).unwrap();
    assert_ends(hand, answer, &mut session);
}

#[test]
fn end_session_ends_it_and_a_new_one_may_follow() {
    let mut hand = connected();
    let mut session = hand.established();
    let request = EndSession { clear_negotiated_state: false }.encode(V);
    let (answer, event) = hand.inside(&mut session, &request);
    assert_eq!(decode(&answer, V, ()), Ok(EndSessionAck));
    assert!(matches!(event, Some(Event::SessionEnded { id }) if id == session.id()));
    let id = session.id();
    assert_ne!(hand.established().id(), id);
}

#[test]
fn get_version_ends_session_and_connection() {
    let mut hand = connected();
    let mut session = hand.established();
    let reply = hand.responder.respond(&Message::Clear(GetVersion.encode(Version::V1_0)));
    assert!(matches!(reply.event, Some(Event::SessionEnded { id }) if id == session.id()));
    let late = Message::Secured(session.seal(&GetDigests.encode(V)).unwrap());
    assert_eq!(error(&mut hand.responder, &late), ErrorCode::InvalidSession.into());
    let found = error(&mut hand.responder, &clear(&GetDigests));
    assert_eq!(found, ErrorCode::UnexpectedRequest.into());
    assert!(handshake(&mut requester(9), &mut hand.responder, honest).result.is_ok());
}

#[test]
fn a_reset_drops_the_sessions_keys() {
    let mut hand = connected();
    let mut session = hand.established();
    hand.responder.reset();
    assert_eq!(hand.responder.session(), None);
    let late = Message::Secured(session.seal(&GetDigests.encode(V)).unwrap());
    assert_eq!(error(&mut hand.responder, &late), ErrorCode::InvalidSession.into());
}

// Measurements.

#[test]
fn unsigned_measurements_count_into_the_next_signature() {
    use crate::signature::{Purpose, verify};
    use sha2::{Digest, Sha384};

    let mut hand = connected();
    let unsigned = GetMeasurements {
        operation: Operation::One(2),
        raw: false,
        signature: None,
        context: [0; 8],
    };
    let signature = Some(SignatureRequest { nonce: [9; 32], slot: 0 });
    let signed =
        GetMeasurements { operation: Operation::Count, raw: false, signature, context: [0; 8] };
    let mut log = Sha384::new().chain_update(hand.vca.as_bytes());
    let first = hand.responder.respond(&clear(&unsigned)).message;
    let response: MeasurementsResponse = decode(first.as_bytes(), V, false).unwrap();
    assert_eq!(response.blocks, hand.responder.device().blocks[1..2]);
    log.update(unsigned.encode(V));
    log.update(first.as_bytes());

    let last = hand.responder.respond(&clear(&signed)).message;
    let response: MeasurementsResponse = decode(last.as_bytes(), V, true).unwrap();
    assert_eq!((response.count, response.blocks.len()), (3, 0));
    log.update(signed.encode(V));
    log.update(&last.as_bytes()[..last.as_bytes().len() - 96]);
    let digest: [u8; 48] = log.finalize().into();
    let key = hand.responder.device().key.verifying_key();
    assert!(verify(key, V, Purpose::Measurements, &digest, &response.signature.unwrap()));
}

#[test]
fn another_request_starts_the_measurement_log_anew() {
    let mut hand = connected();
    let unsigned =
        GetMeasurements { operation: Operation::All, raw: false, signature: None, context: [0; 8] };
    let signature = Some(SignatureRequest { nonce: [9; 32], slot: 0 });
    let signed =
        GetMeasurements { operation: Operation::All, raw: false, signature, context: [0; 8] };
    hand.responder.respond(&clear(&unsigned));
    hand.responder.respond(&clear(&GetDigests));
    let transcript = crate::measurements::MeasurementTranscript {
        vca: hand.vca.as_bytes().to_vec(),
        request: signed.encode(V),
        response: hand.responder.respond(&clear(&signed)).message.as_bytes().to_vec(),
    };
    assert!(transcript.verify(hand.responder.device().key.verifying_key()).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn arbitrary_bytes_get_an_error_and_change_nothing(
        secured in any::<bool>(),
        header in prop_oneof![
            Just(None),
            (prop::sample::select(SUPPORTED.as_slice()), any::<bool>()).prop_map(Some),
        ],
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        if let (Some((code, first)), Some(header)) = (header, bytes.get_mut(..2)) {
            header.copy_from_slice(&[if first { 0x10 } else { 0x12 }, code]);
        }
        // A well-formed one would be answered, and rightly so.
        let well_formed = [
            [0x10, code::GET_VERSION, 0, 0],
            [0x12, code::GET_DIGESTS, 0, 0],
        ];
        prop_assume!(!well_formed.iter().any(|request| bytes.starts_with(request)));
        let garbage =
            if secured { Message::Secured(bytes) } else { Message::Clear(bytes) };
        disturbed(|responder, _, _| {
            let reply = responder.respond(&garbage);
            assert!(reply.event.is_none());
            assert!(matches!(reply.message, Message::Clear(_)));
        });
    }

    #[test]
    fn changed_requests_do_no_harm(
        at in any::<prop::sample::Index>(),
        change in 1u8..,
        due in prop::sample::select(SUPPORTED.as_slice()),
    ) {
        // Whatever is made of the changed request, the responder is there for the next requester.
        let mut responder = responder();
        let _ = handshake(&mut requester(7), &mut responder, |_, way, message| {
            if way == Way::Request(due) {
                map(message, |bytes| {
                    let at = at.index(bytes.len());
                    bytes[at] ^= change;
                })
            } else {
                message
            }
        });
        prop_assert!(handshake(&mut requester(8), &mut responder, honest).result.is_ok());
    }
}
