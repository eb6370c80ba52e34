//! The responder: the GPU's side.
//!
//! [`Responder::respond`] takes a request and gives the response, which for every request that is
//! malformed, unknown or not due is the ERROR that the specification asks for, with the state as
//! it was. There is one connection and at most one session. GET_VERSION begins both anew.
//!
//! | file | requests |
//! | --- | --- |
//! | `negotiate` | GET_VERSION, GET_CAPABILITIES, NEGOTIATE_ALGORITHMS |
//! | `identify` | GET_DIGESTS, GET_CERTIFICATE, CHALLENGE |
//! | `measure` | GET_MEASUREMENTS |
//! | `establish` | KEY_EXCHANGE, FINISH |
//! | `clear` | whatever comes in clear |
//! | `secured` | whatever comes in a record, HEARTBEAT, KEY_UPDATE, END_SESSION |
//! | `answer` | what is answered alike in both: also VENDOR_DEFINED_REQUEST |
//!
//! Requests and responses in chunks are whole before they get here and after they leave. Keys and
//! measurements belong to the [`Device`]; what the session is good for, to whoever takes the
//! [`Event`]. There is no clock: whoever has one may [end](Responder::end_session) a session whose
//! heartbeat has stopped.

use alloc::boxed::Box;
use alloc::vec::Vec;

use rand_core::CryptoRng;
use ravelin_channel::ExportMasterSecret;

use crate::certificate_chain::CertificateChain;
use crate::key_schedule::TrafficSecrets;
use crate::measurements::Block;
use crate::message::Codec;
use crate::message::capabilities::Flags;
use crate::message::code;
use crate::message::key_update::KeyUpdate;
use crate::message::vendor::VendorDefined;
use crate::session::SecuredSession;
use crate::suite::{self, Settled};
use crate::transcript::{IdentityLog, MeasurementLog, Vca};
use crate::transfer::{Sizes, Transfers};
use crate::transport::{Framing, Message};
use crate::version::Version;

mod answer;
mod clear;
mod establish;
mod identify;
mod measure;
mod negotiate;
mod secured;

/// The only slot with a certificate chain.
const SLOT: u8 = 0;

/// Requests that are answered in some state.
const SUPPORTED: [u8; 16] = [
    code::GET_VERSION,
    code::GET_CAPABILITIES,
    code::NEGOTIATE_ALGORITHMS,
    code::GET_DIGESTS,
    code::GET_CERTIFICATE,
    code::CHALLENGE,
    code::GET_MEASUREMENTS,
    code::KEY_EXCHANGE,
    code::FINISH,
    code::HEARTBEAT,
    code::KEY_UPDATE,
    code::END_SESSION,
    code::CHUNK_SEND,
    code::CHUNK_GET,
    code::VENDOR_DEFINED_REQUEST,
    code::RESPOND_IF_READY,
];

/// What the responder speaks for.
pub trait Device {
    /// The chain from the maker's root to the attestation key.
    fn certificate_chain(&self) -> &CertificateChain;

    /// Signs a message, which already names its purpose, with the attestation key: ECDSA on P-384
    /// with SHA-384, r and s of 48 bytes each, big-endian. `None` where the key is out of use.
    fn sign(&self, message: &[u8; crate::SIGNED_SIZE]) -> Option<[u8; 96]>;

    /// Signs a message of which there is only the SHA-384 digest, in the same form. Version 1.1
    /// asks for it.
    fn sign_digest(&self, digest: &[u8; 48]) -> Option<[u8; 96]>;

    /// The measurements, by ascending index.
    fn measurements(&self) -> Vec<Block>;

    /// Seconds between heartbeats that a session shall have; 0 for none.
    fn heartbeat_period(&self) -> u8 {
        0
    }

    /// The payload that answers a vendor's request, in a session or not. `None` where the request
    /// is nothing that the device knows.
    fn vendor_defined(&self, _request: &VendorDefined, _in_session: bool) -> Option<Vec<u8>> {
        None
    }
}

/// What a request has changed besides the connection.
pub enum Event {
    /// A session is established.
    SessionEstablished {
        /// The session's id.
        id: u32,
        /// Its export master secret, of which this is the only copy.
        export_secret: ExportMasterSecret,
    },
    /// The established session is over: by END_SESSION, a forged record, or GET_VERSION.
    SessionEnded {
        /// The session's id.
        id: u32,
    },
}

/// The answer to a request.
pub struct Reply {
    /// What goes back to the requester.
    pub message: Message,
    /// What has happened.
    pub event: Option<Event>,
}

/// The responder of one device on one transport.
pub struct Responder<D, R> {
    device: D,
    rng: R,
    framing: Framing,
    state: State,
    /// Large messages in clear.
    transfers: Transfers,
    sessions: u16,
}

/// How far the connection is.
enum State {
    /// Nothing is agreed.
    Idle,
    /// VERSION is sent.
    Versions { vca: Vca },
    /// CAPABILITIES is sent, and the version fixed.
    Capabilities { vca: Vca, peer: Peer },
    /// ALGORITHMS is sent, and there is no common hash or signature.
    Incompatible { peer: Peer },
    /// ALGORITHMS is sent.
    Connected(Box<Connection>),
}

/// What the requester has said of itself.
#[derive(Clone, Copy)]
struct Peer {
    version: Version,
    flags: Flags,
    /// What it takes.
    sizes: Sizes,
}

impl Peer {
    /// Whether both sides can do this.
    fn agrees(&self, flags: Flags) -> bool {
        suite::responder_capabilities(self.version).flags.intersection(self.flags).contains(flags)
    }
}

/// A negotiated connection.
struct Connection {
    vca: Vca,
    peer: Peer,
    settled: Settled,
    measurements: MeasurementLog,
    identity: IdentityLog,
    session: Session,
    /// Large messages in the session.
    transfers: Transfers,
}

/// How far the connection's session is.
enum Session {
    None,
    /// KEY_EXCHANGE_RSP is sent.
    Handshake(Box<establish::Handshake>),
    /// FINISH_RSP is sent.
    Established(Box<Established>),
}

/// An established session.
struct Established {
    secured: SecuredSession,
    traffic: TrafficSecrets,
    measurements: MeasurementLog,
    /// The KEY_UPDATE whose new key is not verified yet.
    update: Option<KeyUpdate>,
}

impl<D: Device, R: CryptoRng> Responder<D, R> {
    /// A responder that nobody has spoken to.
    pub fn new(device: D, rng: R, framing: Framing) -> Responder<D, R> {
        let transfers = Transfers::default();
        Responder { device, rng, framing, state: State::Idle, transfers, sessions: 0 }
    }

    /// What it speaks for.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// Forgets connection and session, keys included.
    pub fn reset(&mut self) {
        self.state = State::Idle;
        self.transfers.abandon();
    }

    /// Forgets the session, keys included, and gives its id if it was established. The connection
    /// goes on.
    pub fn end_session(&mut self) -> Option<u32> {
        let ended = self.session();
        if let State::Connected(connection) = &mut self.state {
            connection.session = Session::None;
            connection.transfers.abandon();
        }
        ended
    }

    /// The id of the session that is established.
    pub fn session(&self) -> Option<u32> {
        match &self.state {
            State::Connected(connection) => match &connection.session {
                Session::Established(established) => Some(established.secured.id()),
                Session::None | Session::Handshake(_) => None,
            },
            _ => None,
        }
    }

    /// Answers a request, whatever it is.
    pub fn respond(&mut self, request: &Message) -> Reply {
        let version = self.version();
        let answer = match request {
            Message::Clear(bytes) => self.clear(bytes),
            Message::Secured(bytes) => self.secured(bytes),
        };
        answer.unwrap_or_else(|refusal| Reply::clear(refusal.in_version(version).encode(version)))
    }

    /// The version of an ERROR.
    fn version(&self) -> Version {
        self.peer().map_or(Version::V1_0, |peer| peer.version)
    }

    /// What the requester has said of itself.
    fn peer(&self) -> Option<Peer> {
        match &self.state {
            State::Idle | State::Versions { .. } => None,
            State::Capabilities { peer, .. } | State::Incompatible { peer } => Some(*peer),
            State::Connected(connection) => Some(connection.peer),
        }
    }
}

impl Reply {
    fn clear(bytes: Vec<u8>) -> Reply {
        Reply { message: Message::Clear(bytes), event: None }
    }
}

#[cfg(test)]
mod tests;
