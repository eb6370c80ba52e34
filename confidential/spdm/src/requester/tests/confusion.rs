//! Threat 3: answers that are not due, or of the wrong kind.

use proptest::prelude::*;

use super::*;

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
