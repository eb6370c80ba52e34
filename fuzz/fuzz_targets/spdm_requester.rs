//! The requester, in a conversation with a genuine responder whose answers an attacker changes.
//!
//! Whatever he does: a session is with the genuine GPU, both ends have its secret, and signed
//! measurements are the GPU's.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin_fuzz::device::GPU;
use ravelin_fuzz::peer::{Learned, Peer, Terms};
use ravelin_fuzz::rng::Repeatable;
use ravelin_fuzz::script::{Move, moves};
use ravelin_spdm::Message;
use ravelin_spdm::responder::{Device, Event, Responder};
use ravelin_spdm::transport::carrier::Carrier;
use subtle::ConstantTimeEq;

fuzz_target!(|data: &[u8]| {
    let Some((terms, script)) = data.split_first() else { return };
    let terms = Terms::of(*terms);
    let mut peer = Peer::new(terms);
    let (mut near, mut far) = (Carrier::new(terms.transport), Carrier::new(terms.transport));
    let mut responder = Responder::new(&*GPU, Repeatable::new(1), terms.transport.framing());
    let mut secret = None;
    for step in moves(script).take(64) {
        let request = far.decode(&near.encode(peer.request()).unwrap()).unwrap();
        let reply = responder.respond(&request);
        if let Some(Event::SessionEstablished { export_secret, .. }) = reply.event {
            secret = Some(export_secret);
        }
        let said = match step {
            Move::Pass(change) => change.apply(&reply.message),
            Move::Clear(bytes) => Message::Clear(bytes.to_vec()),
            Move::Secured(bytes) => Message::Secured(bytes.to_vec()),
        };
        let Ok(carried) = far.encode(&said) else { continue };
        let Ok(arrived) = near.decode(&carried) else { continue };
        match peer.answer(&arrived) {
            Ok(Learned::Established(secrets)) => {
                let secret = secret.take().expect("a session without the responder");
                assert!(bool::from(secrets.export_secret.ct_eq(&secret)), "two secrets");
                let evidence = secrets.evidence;
                assert_eq!(evidence.chain, *(&*GPU).certificate_chain());
                let proved = evidence.measurements.verify(GPU.key()).expect("not the GPU's");
                assert_eq!(proved.blocks, (&*GPU).measurements());
            }
            Ok(Learned::Measurements(measurements, true)) => {
                assert_eq!(measurements.blocks, (&*GPU).measurements());
            }
            Ok(Learned::Measurements(..) | Learned::Nothing) | Err(_) => {}
        }
    }
});
