//! A device, a requester that trusts it, and a wire between them that an attacker may stand on.

use alloc::boxed::Box;
use alloc::vec::Vec;

use p384::ecdsa::VerifyingKey;

use crate::certificate_chain::{CertificateChain, ChainRefused};
use crate::message::code;
use crate::requester::{Config, Error, Established, Requester, Step};
use crate::responder::{Event, Reply, Responder};
use crate::transport::{Framing, Message, doe};
use crate::version::Version;

pub(crate) mod conversation;
#[path = "../tests/support/device.rs"]
mod device;

pub(crate) use device::{TestDevice, TestRng, verifier};

pub(crate) type TestResponder = Responder<TestDevice, TestRng>;
pub(crate) type TestRequester =
    Requester<TestRng, fn(&CertificateChain) -> Result<VerifyingKey, ChainRefused>>;

pub(crate) fn responder() -> TestResponder {
    Responder::new(TestDevice::genuine(1), TestRng::new(1), doe::FRAMING)
}

/// A requester that takes version 1.2 only.
pub(crate) fn requester(seed: u64) -> TestRequester {
    requester_of(seed, doe::FRAMING).with_versions([Version::V1_2])
}

/// A requester on this transport, without wishes.
pub(crate) fn requester_of(seed: u64, framing: Framing) -> TestRequester {
    let config = Config { framing, slot: 0, verifier_nonce: [seed as u8; 32] };
    Requester::new(TestRng::new(seed), verifier, config)
}

/// Where on the wire a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The request of this code.
    Request(u8),
    /// The response to the request of this code.
    Response(u8),
}

/// What came of a handshake.
pub(crate) struct Outcome {
    pub(crate) result: Result<Box<Established>, Error>,
    pub(crate) events: Vec<Event>,
}

impl Outcome {
    pub(crate) fn error(self) -> Error {
        self.result.map(|_| ()).expect_err("the handshake went through")
    }
}

/// Runs a handshake through mailbox objects and an attacker, who may change every message.
pub(crate) fn handshake(
    requester: &mut TestRequester,
    responder: &mut TestResponder,
    mut attacker: impl FnMut(&mut TestResponder, Way, Message) -> Message,
) -> Outcome {
    let mut events = Vec::new();
    let mut request = requester.start();
    let mut secured = [code::FINISH, code::GET_MEASUREMENTS].into_iter();
    loop {
        let code = match &request {
            Message::Clear(bytes) => bytes[1],
            Message::Secured(_) => secured.next().expect("two secured requests"),
        };
        let arrived = attacker(responder, Way::Request(code), through_mailbox(&request));
        let Reply { message, event } = responder.respond(&arrived);
        events.extend(event);
        let answer = attacker(responder, Way::Response(code), through_mailbox(&message));
        match requester.receive(&answer) {
            Ok(Step::Send(next)) => request = next,
            Ok(Step::Done(established)) => return Outcome { result: Ok(established), events },
            Err(error) => return Outcome { result: Err(error), events },
        }
    }
}

/// What becomes of a message in the mailbox: it gains padding.
pub(crate) fn through_mailbox(message: &Message) -> Message {
    doe::decode_message(&doe::encode_message(message).unwrap()).unwrap()
}

/// Nobody stands on the wire.
pub(crate) fn honest(_: &mut TestResponder, _: Way, message: Message) -> Message {
    message
}

/// The same kind of message with other bytes.
pub(crate) fn map(message: Message, change: impl FnOnce(&mut Vec<u8>)) -> Message {
    match message {
        Message::Clear(mut bytes) => {
            change(&mut bytes);
            Message::Clear(bytes)
        }
        Message::Secured(mut bytes) => {
            change(&mut bytes);
            Message::Secured(bytes)
        }
    }
}
