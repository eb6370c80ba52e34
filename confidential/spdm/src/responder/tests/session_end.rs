//! How a session ends: in good order, by a record that does not belong to it, by a new beginning.

use super::*;

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
