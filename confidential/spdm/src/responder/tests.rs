//! A requester made by hand, which can say what no requester would: what the responder makes of it
//! is in the folder of this name.

use std::vec;

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
    TestDevice, TestResponder, TestRng, Way, handshake, honest, map, requester, responder,
};
use crate::transcript::SessionTranscript;
use crate::version::VersionNumber;

mod chunks;
mod confusion;
mod keys;
mod requests;
mod session_end;
mod signatures;

const V: Version = Version::V1_2;

impl TestResponder {
    pub(crate) fn device_mut(&mut self) -> &mut TestDevice {
        &mut self.device
    }

    /// The session's records, handshake or not.
    pub(crate) fn secured_session(&self) -> Option<&SecuredSession> {
        let State::Connected(connection) = &self.state else { return None };
        match &connection.session {
            Session::None => None,
            Session::Handshake(handshake) => Some(&handshake.secured),
            Session::Established(established) => Some(&established.secured),
        }
    }
}

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
