//! Session-type confusion: in clear what belongs into a session, in a session what belongs outside,
//! and records of no session.

use super::*;
use crate::test_support::conversation::Setup;

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

#[test]
fn a_message_of_another_type_in_a_record_leaves_the_session_as_it_was() {
    // PLDM inside of a session over MCTP, as DSP0276 lets it.
    let setup = Setup { features: Flags::HBEAT, ..Setup::bare(V) };
    let mut responder = setup.far().responder;
    for exchange in setup.record() {
        responder.respond(&exchange.request.carried);
    }
    let mut session = responder.secured_session().unwrap().peer();
    let record = session.seal_type(1, b"not for SPDM");
    let Message::Secured(answer) = responder.respond(&Message::Secured(record)).message else {
        panic!("an answer in clear")
    };
    assert_eq!(decode_error(&session.open(&answer).unwrap()), ErrorCode::InvalidRequest.into());
    let record = session.seal(&[0x12, code::HEARTBEAT, 0, 0]).unwrap();
    let answer = responder.respond(&Message::Secured(record)).message;
    assert_eq!(session.open(answer.as_bytes()).unwrap()[1], code::HEARTBEAT_ACK);
}
