//! The responder, in a conversation with a genuine requester into which an attacker speaks.
//!
//! Nothing that the attacker says makes a session, an ERROR in clear to him changes nothing for the
//! requester, and everything is answered.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin_fuzz::device::GPU;
use ravelin_fuzz::peer::{Peer, Terms};
use ravelin_fuzz::rng::Repeatable;
use ravelin_fuzz::script::{Change, Move, moves};
use ravelin_spdm::Message;
use ravelin_spdm::message::{Header, code};
use ravelin_spdm::responder::{Event, Responder};
use ravelin_spdm::transport::carrier::Carrier;

fuzz_target!(|data: &[u8]| {
    let Some((terms, script)) = data.split_first() else { return };
    let terms = Terms::of(*terms);
    let mut peer = Peer::new(terms);
    let (mut near, mut far) = (Carrier::new(terms.transport), Carrier::new(terms.transport));
    let mut responder = Responder::new(&*GPU, Repeatable::new(1), terms.transport.framing());
    let mut live = None;
    // Whether the attacker may have ended what the requester believes in.
    let mut disturbed = false;
    for step in moves(script).take(64) {
        let honest = peer.request().clone();
        let said = match step {
            Move::Pass(change) => change.apply(&honest),
            Move::Clear(bytes) => Message::Clear(bytes.to_vec()),
            Move::Secured(bytes) => Message::Secured(bytes.to_vec()),
        };
        let Ok(carried) = near.encode(&said) else { continue };
        let Ok(arrived) = far.decode(&carried) else { continue };
        let reply = responder.respond(&arrived);
        match reply.event {
            Some(Event::SessionEstablished { id, .. }) => {
                assert!(
                    said.as_bytes().starts_with(honest.as_bytes()),
                    "a session by what the requester has not said"
                );
                assert_eq!(live.replace(id), None, "a session in place of another");
            }
            Some(Event::SessionEnded { id }) => assert_eq!(live.take(), Some(id)),
            None => {}
        }
        assert_eq!(responder.session(), live, "sessions come and go by events");
        assert!(Header::peek(reply.message.as_bytes()).is_ok(), "no answer");

        let answer = near.decode(&far.encode(&reply.message).unwrap()).unwrap();
        if said == honest || step == Move::Pass(Change::None) {
            let learned = peer.answer(&answer);
            assert!(disturbed || learned.is_ok(), "{:?} {answer:x?}", learned.err());
            // Who begins anew has nothing left to be disturbed.
            disturbed &= learned.is_ok() && *peer.request() != Peer::new(terms).request().clone();
        } else {
            let refused = matches!(&reply.message, Message::Clear(bytes)
                if Header::peek(bytes).is_ok_and(|header| header.code == code::ERROR));
            let keys_tried = matches!(arrived, Message::Secured(_)) && peer.has_keys();
            // Whatever comes between the measurements that are signed together starts their
            // transcript anew (DSP0274, "L1/L2").
            let measuring = matches!(&honest, Message::Clear(bytes)
                if bytes.get(1) == Some(&code::GET_MEASUREMENTS));
            disturbed |= !refused || keys_tried || measuring;
        }
    }
});
