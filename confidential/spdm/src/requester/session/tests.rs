//! Questions in a session that are refused, put off or answered with something else.

use super::*;
use crate::message::chunk::{Chunk, ChunkResponse};
use crate::message::error::ErrorResponse;
use crate::requester::{Established, Step};
use crate::responder::Responder;
use crate::suite::FEATURES;
use crate::test_support::{TestDevice, TestResponder, TestRng, requester_of};
use crate::transport::mctp;

impl Session {
    /// The session's records.
    pub(crate) fn secured_session(&self) -> Option<&SecuredSession> {
        match &self.state {
            State::Live(live, _) => Some(&live.secured),
            State::Over => None,
        }
    }
}

/// A session and its responder.
struct Ends {
    session: Session,
    responder: TestResponder,
}

fn ends(version: Version, features: Flags) -> Ends {
    let device = TestDevice { echoes: true, ..TestDevice::genuine(1) };
    let mut responder = Responder::new(device, TestRng::new(1), mctp::FRAMING);
    let mut requester =
        requester_of(7, mctp::FRAMING).with_versions([version]).with_features(features);
    let mut request = requester.start();
    loop {
        match requester.receive(&responder.respond(&request).message).unwrap() {
            Step::Send(next) => request = next,
            Step::Done(established) => {
                let Established { session, .. } = *established;
                return Ends { session, responder };
            }
        }
    }
}

impl Ends {
    /// The responder's answer with something else in the record.
    fn answer_with(&self, plain: &[u8]) -> Message {
        Message::Secured(self.session.secured_session().unwrap().peer().seal(plain).unwrap())
    }

    fn error(&self, code: ErrorCode, extended: &[u8]) -> Message {
        let error = ErrorResponse { code, data: 0, extended: extended.to_vec() };
        self.answer_with(&error.encode(self.session.version()))
    }

    /// Asks, and lets the responder answer.
    fn ask(&mut self, ask: Ask) -> Result<Answer, Error> {
        let request = self.session.ask(ask)?;
        self.finish(request)
    }

    fn finish(&mut self, mut request: Message) -> Result<Answer, Error> {
        loop {
            match self.session.receive(&self.responder.respond(&request).message)? {
                Progress::Send(next) => request = next,
                Progress::Done(answer) => return Ok(answer),
            }
        }
    }
}

fn refused(code: ErrorCode) -> Error {
    Error::Refused { code, data: 0 }
}

#[test]
fn a_refusal_leaves_the_session_as_it_was() {
    for code in [
        ErrorCode::Busy,
        ErrorCode::RequestInFlight,
        ErrorCode::UnexpectedRequest,
        ErrorCode::InvalidRequest,
        ErrorCode::Unspecified,
        ErrorCode::OperationFailed,
    ] {
        let mut ends = ends(Version::V1_3, FEATURES);
        let request = ends.session.ask(Ask::Heartbeat).unwrap();
        // The responder answers, too, so that both have counted the same records.
        ends.responder.respond(&request);
        let answer = ends.error(code, &[]);
        assert_eq!(ends.session.receive(&answer), Err(refused(code)));
        assert_eq!(ends.ask(Ask::Heartbeat), Ok(Answer::Alive), "{code:?}");
        assert_eq!(ends.ask(Ask::End), Ok(Answer::Ended));
    }
}

#[test]
fn an_error_that_says_that_the_session_is_over_ends_it() {
    for code in [ErrorCode::DecryptError, ErrorCode::InvalidSession, ErrorCode::RequestResynch] {
        let mut ends = ends(Version::V1_2, FEATURES);
        ends.session.ask(Ask::Heartbeat).unwrap();
        let answer = ends.error(code, &[]);
        assert_eq!(ends.session.receive(&answer), Err(refused(code)));
        assert_eq!(ends.session.ask(Ask::Heartbeat), Err(Error::NotStarted), "{code:?}");
    }
}

#[test]
fn an_error_in_clear_ends_the_session() {
    let mut ends = ends(Version::V1_2, FEATURES);
    ends.session.ask(Ask::Heartbeat).unwrap();
    let error = ErrorResponse::from(ErrorCode::Busy).encode(Version::V1_2);
    assert_eq!(ends.session.receive(&Message::Clear(error)), Err(refused(ErrorCode::Busy)));
    assert_eq!(ends.session.ask(Ask::Heartbeat), Err(Error::NotStarted));
}

#[test]
fn an_answer_in_clear_ends_the_session() {
    let mut ends = ends(Version::V1_2, FEATURES);
    ends.session.ask(Ask::Heartbeat).unwrap();
    let answer = Message::Clear(HeartbeatAck.encode(Version::V1_2));
    assert_eq!(ends.session.receive(&answer), Err(Error::NotSecured));
    assert_eq!(ends.session.ask(Ask::Heartbeat), Err(Error::NotStarted));
}

#[test]
fn the_same_answer_twice_ends_the_session() {
    let mut ends = ends(Version::V1_2, FEATURES);
    let request = ends.session.ask(Ask::Heartbeat).unwrap();
    let answer = ends.responder.respond(&request).message;
    assert_eq!(ends.session.receive(&answer), Ok(Progress::Done(Answer::Alive)));
    ends.session.ask(Ask::Heartbeat).unwrap();
    let forged = Error::Session(crate::session::SessionError::Forged);
    assert_eq!(ends.session.receive(&answer), Err(forged));
}

// KEY_UPDATE.

#[test]
fn refused_new_keys_are_not_used() {
    for all in [false, true] {
        let mut ends = ends(Version::V1_2, FEATURES);
        // The responder's end, which keeps the old keys.
        let mut old = ends.session.secured_session().unwrap().peer();
        let request = ends.session.ask(Ask::UpdateKeys { all }).unwrap();
        old.open(request.as_bytes()).unwrap();
        let error = ErrorResponse::from(ErrorCode::InvalidRequest).encode(Version::V1_2);
        let answer = Message::Secured(old.seal(&error).unwrap());
        let found = ends.session.receive(&answer);
        assert_eq!(found, Err(refused(ErrorCode::InvalidRequest)), "{all}");
        let request = ends.session.ask(Ask::Heartbeat).unwrap();
        assert_eq!(old.open(request.as_bytes()).unwrap()[1], code::HEARTBEAT);
    }
}

#[test]
fn a_new_key_that_is_not_verified_ends_the_session() {
    let mut ends = ends(Version::V1_2, FEATURES);
    let request = ends.session.ask(Ask::UpdateKeys { all: true }).unwrap();
    let answer = ends.responder.respond(&request).message;
    let Ok(Progress::Send(_)) = ends.session.receive(&answer) else { panic!("to be verified") };
    let answer = ends.error(ErrorCode::InvalidRequest, &[]);
    assert_eq!(ends.session.receive(&answer), Err(refused(ErrorCode::InvalidRequest)));
    assert_eq!(ends.session.ask(Ask::Heartbeat), Err(Error::NotStarted));
}

#[test]
fn an_answer_to_new_keys_under_the_old_ones_is_refused() {
    let mut ends = ends(Version::V1_2, FEATURES);
    let mut old = ends.session.secured_session().unwrap().peer();
    ends.session.ask(Ask::UpdateKeys { all: true }).unwrap();
    let ack = KeyUpdateAck { operation: KeyOperation::UpdateAllKeys, tag: 1 };
    let answer = Message::Secured(old.seal(&ack.encode(Version::V1_2)).unwrap());
    let refused = Error::NotAgreed { field: "Key Operation", found: code::KEY_UPDATE };
    assert_eq!(ends.session.receive(&answer), Err(refused));
}

// ResponseNotReady and RESPOND_IF_READY.

/// ResponseNotReady to HEARTBEAT: 2^exponent us, a token, a multiplier.
const LATER: [u8; 4] = [5, code::HEARTBEAT, 0x77, 3];

#[test]
fn a_response_that_is_not_ready_is_asked_for_again() {
    let mut ends = ends(Version::V1_3, FEATURES);
    let request = ends.session.ask(Ask::Heartbeat).unwrap();
    ends.responder.respond(&request);
    let answer = ends.error(ErrorCode::ResponseNotReady, &LATER);
    let Ok(Progress::Send(again)) = ends.session.receive(&answer) else { panic!("to be waited") };
    assert_eq!(ends.session.wait(), Duration::from_micros(32));
    let (plain, _) = ends.responder.secured_session().unwrap().peek(again.as_bytes()).unwrap();
    assert_eq!(plain, [0x13, 0xff, code::HEARTBEAT, 0x77]);
    // To the responder, which was ready, it is not due.
    ends.responder.respond(&again);
    let answer = ends.answer_with(&HeartbeatAck.encode(Version::V1_3));
    assert_eq!(ends.session.receive(&answer), Ok(Progress::Done(Answer::Alive)));
    assert_eq!(ends.session.wait(), Duration::ZERO);
    assert_eq!(ends.ask(Ask::End), Ok(Answer::Ended));
}

#[test]
fn a_response_that_is_never_ready_is_given_up() {
    let mut ends = ends(Version::V1_3, FEATURES);
    ends.session.ask(Ask::Heartbeat).unwrap();
    let mut asked = 0;
    let error = loop {
        let answer = ends.error(ErrorCode::ResponseNotReady, &LATER);
        match ends.session.receive(&answer) {
            Ok(_) => asked += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((asked, error), (16, refused(ErrorCode::ResponseNotReady)));
}

#[test]
fn a_response_that_is_not_ready_must_be_the_one_that_was_asked_for() {
    for (at, wrong, field) in [
        (0, 31, "RDTExponent"),
        (1, code::GET_MEASUREMENTS, "RequestCode"),
        (3, 0, "RDTM"),
        (3, 1, "RDTM"),
    ] {
        let mut ends = ends(Version::V1_3, FEATURES);
        ends.session.ask(Ask::Heartbeat).unwrap();
        let mut later = LATER;
        later[at] = wrong;
        let answer = ends.error(ErrorCode::ResponseNotReady, &later);
        let refused = Error::Malformed(value(field, wrong));
        assert_eq!(ends.session.receive(&answer), Err(refused));
        assert_eq!(ends.session.ask(Ask::Heartbeat), Err(Error::NotStarted));
    }
}

// Large messages.

fn vendor(length: usize) -> VendorDefined {
    VendorDefined { standard_id: 3, vendor_id: [1, 2].into(), payload: alloc::vec![5; length] }
}

#[test]
fn messages_of_every_length_go_both_ways() {
    let mut ends = ends(Version::V1_2, FEATURES);
    // Around one piece, around two, and the longest.
    for length in [0, 4085, 4086, 4087, 4088, 8154, 8155, 8156, 65_535] {
        let answer = ends.ask(Ask::VendorDefined(vendor(length)));
        assert_eq!(answer, Ok(Answer::VendorDefined(vendor(length))), "{length}");
    }
    assert_eq!(ends.ask(Ask::End), Ok(Answer::Ended));
}

#[test]
fn without_chunks_a_long_request_is_not_made() {
    for (version, features) in [(Version::V1_1, FEATURES), (Version::V1_2, Flags::HBEAT)] {
        let mut ends = ends(version, features);
        let asked = ends.session.ask(Ask::VendorDefined(vendor(70_000)));
        assert!(matches!(asked, Err(Error::RequestTooLong { .. })), "{version:?}: {asked:?}");
    }
}

#[test]
fn chunks_that_do_not_follow_end_the_session() {
    let chunk = |handle, sequence, message_size, last, bytes: &[u8]| {
        let chunk = Chunk { last, handle, sequence, message_size, bytes: bytes.to_vec() };
        ChunkResponse(chunk).encode(Version::V1_2)
    };
    let first = chunk(9, 0, Some(6), false, &[1, 2, 3]);
    for wrong in [
        chunk(8, 1, None, true, &[4, 5, 6]),
        chunk(9, 2, None, true, &[4, 5, 6]),
        chunk(9, 0, Some(6), true, &[4, 5, 6]),
        chunk(9, 1, None, false, &[4, 5, 6]),
        chunk(9, 1, None, true, &[4, 5]),
        chunk(9, 1, None, true, &[4, 5, 6, 7]),
    ] {
        let mut ends = ends(Version::V1_2, FEATURES);
        ends.session.ask(Ask::Heartbeat).unwrap();
        let answer = ends.error(ErrorCode::LargeResponse, &[9]);
        assert!(matches!(ends.session.receive(&answer), Ok(Progress::Send(_))));
        let answer = ends.answer_with(&first);
        assert!(matches!(ends.session.receive(&answer), Ok(Progress::Send(_))));
        let answer = ends.answer_with(&wrong);
        assert_eq!(ends.session.receive(&answer), Err(Error::Chunk), "{wrong:02x?}");
        assert_eq!(ends.session.ask(Ask::Heartbeat), Err(Error::NotStarted));
    }
}

#[test]
fn a_large_response_longer_than_was_agreed_is_refused() {
    let mut ends = ends(Version::V1_2, FEATURES);
    ends.session.ask(Ask::Heartbeat).unwrap();
    let answer = ends.error(ErrorCode::LargeResponse, &[9]);
    assert!(matches!(ends.session.receive(&answer), Ok(Progress::Send(_))));
    let chunk = Chunk {
        last: false,
        handle: 9,
        sequence: 0,
        message_size: Some(crate::suite::MAX_MESSAGE_SIZE + 1),
        bytes: alloc::vec![0; 100],
    };
    let answer = ends.answer_with(&ChunkResponse(chunk).encode(Version::V1_2));
    assert_eq!(ends.session.receive(&answer), Err(Error::Chunk));
}

#[test]
fn a_large_response_where_there_are_no_chunks_is_a_refusal() {
    let mut ends = ends(Version::V1_2, Flags::HBEAT);
    let request = ends.session.ask(Ask::Heartbeat).unwrap();
    ends.responder.respond(&request);
    let answer = ends.error(ErrorCode::LargeResponse, &[9]);
    assert_eq!(ends.session.receive(&answer), Err(refused(ErrorCode::LargeResponse)));
    assert_eq!(ends.ask(Ask::End), Ok(Answer::Ended));
}

// Measurements.

#[test]
fn a_refused_question_starts_the_measurement_log_anew_at_both_ends() {
    let mut ends = ends(Version::V1_2, FEATURES);
    ends.responder.device_mut().echoes = false;
    let measure = |signature| Ask::Measurements { operation: Operation::All, signature };
    assert!(ends.ask(measure(None)).is_ok());
    let unknown = ends.ask(Ask::VendorDefined(vendor(1)));
    assert!(matches!(unknown, Err(Error::Refused { .. })));
    let signature = Some(SignatureRequest { nonce: [3; 32], slot: 0 });
    assert!(matches!(ends.ask(measure(signature)), Ok(Answer::Measurements(_))));
}

#[test]
fn another_vendors_answer_is_refused() {
    for (at, field, found) in [(4, "StandardID", 2u64), (7, "VendorID", 2)] {
        let mut ends = ends(Version::V1_2, FEATURES);
        ends.session.ask(Ask::VendorDefined(vendor(1))).unwrap();
        let mut answer = VendorDefinedResponse(vendor(1)).encode(Version::V1_2);
        answer[at] ^= 1;
        let answer = ends.answer_with(&answer);
        let refused = Error::Malformed(value(field, found));
        assert_eq!(ends.session.receive(&answer), Err(refused));
    }
}
