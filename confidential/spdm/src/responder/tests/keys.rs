//! KEY_UPDATE: repeated, out of order, and under which key.

use super::*;
use crate::message::heartbeat::Heartbeat;
use crate::message::key_update::{KeyUpdateAck, Operation as KeyOperation};
use crate::session::Under;
use crate::test_support::conversation::Setup;

const UPDATE: [KeyOperation; 2] = [KeyOperation::UpdateKey, KeyOperation::UpdateAllKeys];

/// A responder with a session, as it is after FINISH.
fn established() -> TestResponder {
    let setup = Setup { features: suite::FEATURES, ..Setup::bare(V) };
    let mut far = setup.far();
    for exchange in setup.record() {
        far.respond(&exchange.request.carried);
    }
    far.responder
}

fn request(operation: KeyOperation, tag: u8) -> Vec<u8> {
    KeyUpdate { operation, tag }.encode(V)
}

/// Sends a request from this end of the session, and opens the answer at that end.
fn send(
    responder: &mut TestResponder,
    from: &mut SecuredSession,
    at: Option<&mut SecuredSession>,
    request: &[u8],
) -> Vec<u8> {
    let record = from.seal(request).unwrap();
    let answer = responder.respond(&Message::Secured(record)).message;
    at.unwrap_or(from).open(answer.as_bytes()).unwrap().to_vec()
}

/// The requester's end with the keys that the responder has now.
fn current(responder: &TestResponder) -> SecuredSession {
    responder.secured_session().unwrap().peer()
}

/// Has the keys updated, and gives the requester's end with the keys from before.
fn updated(responder: &mut TestResponder, operation: KeyOperation) -> SecuredSession {
    let mut before = current(responder);
    let record = before.seal(&request(operation, 1)).unwrap();
    let answer = responder.respond(&Message::Secured(record)).message;
    // Under the responder's new key, if it has one.
    if operation == KeyOperation::UpdateKey {
        before.open(answer.as_bytes()).unwrap();
    } else {
        assert!(before.peek(answer.as_bytes()).is_none());
    }
    before
}

#[test]
fn a_repeated_key_update_is_acknowledged_again_and_changes_nothing() {
    for operation in UPDATE {
        let mut responder = established();
        updated(&mut responder, operation);
        for _ in 0..3 {
            // The requester has not seen the acknowledgement: it goes on with its old key.
            let session = responder.secured_session().unwrap();
            let mut old = session.peer_with_superseded_keys().unwrap();
            let mut at = session.peer();
            let answer = send(&mut responder, &mut old, Some(&mut at), &request(operation, 1));
            assert_eq!(decode(&answer, V, ()), Ok(KeyUpdateAck { operation, tag: 1 }));
        }
        let mut new = current(&responder);
        let verify = request(KeyOperation::VerifyNewKey, 2);
        let answer = send(&mut responder, &mut new, None, &verify);
        assert_eq!(answer, [0x12, 0x69, 3, 2]);
        let answer = send(&mut responder, &mut new, None, &Heartbeat.encode(V));
        assert_eq!(answer, [0x12, 0x68, 0, 0]);
        assert!(responder.secured_session().unwrap().peer_with_superseded_keys().is_none());
    }
}

#[test]
fn between_a_new_key_and_its_proof_nothing_else_is_answered() {
    for operation in UPDATE {
        let mut responder = established();
        updated(&mut responder, operation);
        for (what, expected) in [
            (Heartbeat.encode(V), ErrorCode::UnexpectedRequest),
            (GetDigests.encode(V), ErrorCode::UnexpectedRequest),
            (request(operation, 2), ErrorCode::InvalidRequest),
            (request(KeyOperation::UpdateKey, 9), ErrorCode::InvalidRequest),
        ] {
            let mut new = current(&responder);
            let answer = send(&mut responder, &mut new, None, &what);
            assert_eq!(decode_error(&answer), expected.into(), "{operation:?} {what:02x?}");
        }
        let mut new = current(&responder);
        let verify = request(KeyOperation::VerifyNewKey, 2);
        assert_eq!(send(&mut responder, &mut new, None, &verify), [0x12, 0x69, 3, 2]);
    }
}

#[test]
fn a_key_is_verified_under_itself_only() {
    let mut responder = established();
    updated(&mut responder, KeyOperation::UpdateAllKeys);
    let session = responder.secured_session().unwrap();
    let (mut old, mut at) = (session.peer_with_superseded_keys().unwrap(), session.peer());
    let verify = request(KeyOperation::VerifyNewKey, 1);
    let answer = send(&mut responder, &mut old, Some(&mut at), &verify);
    assert_eq!(decode_error(&answer), ErrorCode::InvalidRequest.into());
}

#[test]
fn a_key_that_nobody_made_is_not_verified() {
    let mut responder = established();
    let mut session = current(&responder);
    let verify = request(KeyOperation::VerifyNewKey, 1);
    let answer = send(&mut responder, &mut session, None, &verify);
    assert_eq!(decode_error(&answer), ErrorCode::InvalidRequest.into());
    let answer = send(&mut responder, &mut session, None, &Heartbeat.encode(V));
    assert_eq!(answer, [0x12, 0x68, 0, 0]);
}

#[test]
fn a_record_under_the_old_key_ends_the_session_once_the_new_one_is_verified() {
    let mut responder = established();
    let mut old = updated(&mut responder, KeyOperation::UpdateKey);
    let mut new = current(&responder);
    send(&mut responder, &mut new, None, &request(KeyOperation::VerifyNewKey, 2));
    let late = old.seal(&Heartbeat.encode(V)).unwrap();
    let session = responder.secured_session().unwrap();
    assert!(session.peek(&late).is_none());
    assert_eq!(
        session.peek(&new.seal(&Heartbeat.encode(V)).unwrap()).map(|(_, under)| under),
        Some(Under::Current)
    );
    let reply = responder.respond(&Message::Secured(late));
    assert!(matches!(reply.event, Some(Event::SessionEnded { .. })));
}

#[test]
fn updates_without_the_capability_are_unsupported() {
    let mut hand = connected();
    let mut session = hand.established();
    let (answer, _) = hand.inside(&mut session, &request(KeyOperation::UpdateKey, 1));
    assert_eq!(decode_error(&answer), ErrorResponse::unsupported(code::KEY_UPDATE));
    let (answer, _) = hand.inside(&mut session, &Heartbeat.encode(V));
    assert_eq!(decode_error(&answer), ErrorResponse::unsupported(code::HEARTBEAT));
}
