//! The handshake as it should go; how it may be spoiled is in the folder of this name.

use std::vec;

use sha2::{Digest, Sha384};
use subtle::ConstantTimeEq;

use super::*;
use crate::certificate_chain::ChainRefused;
use crate::measurements::{TranscriptError, bound_nonce};
use crate::message::error::ErrorCode;
use crate::message::key_exchange::{KeyExchangeResponse, SummaryType};
use crate::message::opaque::encode_selection;
use crate::message::{algorithms, code};
use crate::responder::{Device, Event, Responder};
use crate::session::SessionError;
use crate::signature::{Purpose, signed_message};
use crate::test_support::{
    TestDevice, TestResponder, TestRng, Way, handshake, honest, map, requester, responder, verifier,
};
use crate::transport::doe;
use crate::version::VersionNumber;

mod confusion;
mod dishonest_device;
mod downgrade;
mod man_in_the_middle;

impl<R, V> Requester<R, V> {
    /// The session's records.
    pub(crate) fn secured_session(&mut self) -> Option<&SecuredSession> {
        self.state.secured().map(|secured| &*secured)
    }
}

/// The secret in the responder's only event.
fn responders_secret(events: &[Event]) -> &ExportMasterSecret {
    let [Event::SessionEstablished { export_secret, .. }] = events else {
        panic!("{} events", events.len())
    };
    export_secret
}

/// What the requester makes of a handshake in which the attacker changes one message.
fn attacked(at: Way, change: impl Fn(&mut Vec<u8>)) -> Error {
    attacked_in(Version::V1_2, at, change)
}

/// The same in another version.
fn attacked_in(version: Version, at: Way, change: impl Fn(&mut Vec<u8>)) -> Error {
    let mut requester = requester(7).with_versions([version]);
    let outcome = handshake(&mut requester, &mut responder(), |_, way, message| {
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
