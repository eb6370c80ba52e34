//! The responder: the GPU's side.
//!
//! [`Responder::respond`] takes a request and gives the response, which for every request that is
//! malformed, unknown or not due is the ERROR that the specification asks for, with the state as
//! it was. There is one connection and at most one session. GET_VERSION begins both anew.
//!
//! | file | requests |
//! | --- | --- |
//! | `negotiate` | GET_VERSION, GET_CAPABILITIES, NEGOTIATE_ALGORITHMS |
//! | `identify` | GET_DIGESTS, GET_CERTIFICATE |
//! | `measure` | GET_MEASUREMENTS |
//! | `establish` | KEY_EXCHANGE, FINISH |
//! | `secured` | whatever comes in a record, END_SESSION |
//!
//! Keys and measurements belong to the [`Device`]; what the session is good for, to whoever takes
//! the [`Event`].

use alloc::boxed::Box;
use alloc::vec::Vec;

use rand_core::CryptoRng;
use ravelin_channel::ExportMasterSecret;

use crate::certificate_chain::CertificateChain;
use crate::measurements::Block;
use crate::message::error::{ErrorCode, ErrorResponse};
use crate::message::{Codec, Header, code};
use crate::session::SecuredSession;
use crate::suite;
use crate::transcript::{MeasurementLog, Vca};
use crate::transport::{Framing, Message};
use crate::version::Version;

mod establish;
mod identify;
mod measure;
mod negotiate;
mod secured;

/// The only slot with a certificate chain.
const SLOT: u8 = 0;

/// Requests that are answered in some state.
const SUPPORTED: [u8; 9] = [
    code::GET_VERSION,
    code::GET_CAPABILITIES,
    code::NEGOTIATE_ALGORITHMS,
    code::GET_DIGESTS,
    code::GET_CERTIFICATE,
    code::GET_MEASUREMENTS,
    code::KEY_EXCHANGE,
    code::FINISH,
    code::END_SESSION,
];

/// What the responder speaks for.
pub trait Device {
    /// The chain from the maker's root to the attestation key.
    fn certificate_chain(&self) -> &CertificateChain;

    /// Signs a message, which already names its purpose, with the attestation key: ECDSA on P-384
    /// with SHA-384, r and s of 48 bytes each, big-endian. `None` where the key is out of use.
    fn sign(&self, message: &[u8; crate::SIGNED_SIZE]) -> Option<[u8; 96]>;

    /// The measurements, by ascending index.
    fn measurements(&self) -> Vec<Block>;
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
    /// ALGORITHMS is sent.
    Connected(Box<Connection>),
}

/// What the requester has said of itself.
#[derive(Clone, Copy)]
struct Peer {
    version: Version,
    flags: crate::message::capabilities::Flags,
    /// Most bytes of a response.
    data_transfer_size: u32,
}

/// A negotiated connection.
struct Connection {
    vca: Vca,
    peer: Peer,
    measurements: MeasurementLog,
    session: Session,
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
    measurements: MeasurementLog,
}

impl<D: Device, R: CryptoRng> Responder<D, R> {
    /// A responder that nobody has spoken to.
    pub fn new(device: D, rng: R, framing: Framing) -> Responder<D, R> {
        Responder { device, rng, framing, state: State::Idle, sessions: 0 }
    }

    /// What it speaks for.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// Forgets connection and session, keys included.
    pub fn reset(&mut self) {
        self.state = State::Idle;
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
        answer.unwrap_or_else(|refusal| Reply::clear(refusal.encode(version)))
    }

    /// The version of an ERROR.
    fn version(&self) -> Version {
        match &self.state {
            State::Idle | State::Versions { .. } => Version::V1_0,
            State::Capabilities { peer, .. } => peer.version,
            State::Connected(connection) => connection.peer.version,
        }
    }

    /// A request in clear.
    fn clear(&mut self, bytes: &[u8]) -> Result<Reply, ErrorResponse> {
        let code = self.screen(bytes)?;
        let alignment = self.framing.alignment;
        if code == code::GET_VERSION {
            let ended = self.session().map(|id| Event::SessionEnded { id });
            let (response, vca) = negotiate::version(bytes, alignment)?;
            self.state = State::Versions { vca };
            return Ok(Reply { event: ended, ..Reply::clear(response) });
        }
        let response = match (&mut self.state, code) {
            (State::Versions { vca }, code::GET_CAPABILITIES) => {
                let (response, vca, peer) = negotiate::capabilities(vca, bytes, alignment)?;
                self.state = State::Capabilities { vca, peer };
                response
            }
            (State::Capabilities { vca, peer }, code::NEGOTIATE_ALGORITHMS) => {
                let peer = *peer;
                let (response, vca) = negotiate::algorithms(vca, peer, bytes, alignment)?;
                self.state = State::Connected(Box::new(Connection {
                    vca,
                    peer,
                    measurements: MeasurementLog::default(),
                    session: Session::None,
                }));
                response
            }
            (State::Connected(connection), _) => {
                let Connection { vca, peer, measurements, session } = connection.as_mut();
                match (code, &session) {
                    (code::KEY_EXCHANGE, Session::None) => {
                        measurements.clear();
                        // Zero and all ones are reserved.
                        let number = self.sessions % (u16::MAX - 1) + 1;
                        let (response, handshake) = establish::key_exchange(
                            &self.device,
                            &mut self.rng,
                            self.framing,
                            (vca, *peer),
                            number,
                            bytes,
                        )?;
                        *session = Session::Handshake(Box::new(handshake));
                        self.sessions = number;
                        response
                    }
                    (code::KEY_EXCHANGE, _) => {
                        return Err(ErrorCode::SessionLimitExceeded.into());
                    }
                    (code::FINISH | code::END_SESSION, _) => {
                        return Err(ErrorCode::SessionRequired.into());
                    }
                    // Between KEY_EXCHANGE and FINISH nothing else is said.
                    (_, Session::Handshake(_)) => return Err(ErrorCode::UnexpectedRequest.into()),
                    (_, Session::None | Session::Established(_)) => answer(
                        &self.device,
                        &mut self.rng,
                        (vca, *peer),
                        measurements,
                        bytes,
                        alignment,
                    )?,
                }
            }
            _ => return Err(ErrorCode::UnexpectedRequest.into()),
        };
        Ok(Reply::clear(response))
    }

    /// What can be said of a clear request without knowing its fields: its code, or why not.
    fn screen(&self, bytes: &[u8]) -> Result<u8, ErrorResponse> {
        if bytes.len() > suite::DATA_TRANSFER_SIZE as usize {
            return Err(ErrorCode::RequestTooLarge.into());
        }
        let header = Header::peek(bytes)?;
        if !SUPPORTED.contains(&header.code) {
            return Err(ErrorResponse::unsupported(header.code));
        }
        let negotiated = match &self.state {
            State::Idle | State::Versions { .. } => None,
            State::Capabilities { peer, .. } => Some(peer.version),
            State::Connected(connection) => Some(connection.peer.version),
        };
        let expected =
            if header.code == code::GET_VERSION { Some(Version::V1_0) } else { negotiated };
        if expected.is_some_and(|version| version as u8 != header.version) {
            return Err(ErrorCode::VersionMismatch.into());
        }
        Ok(header.code)
    }
}

impl Reply {
    fn clear(bytes: Vec<u8>) -> Reply {
        Reply { message: Message::Clear(bytes), event: None }
    }
}

/// Requests that are answered alike inside and outside of a session.
fn answer<D: Device>(
    device: &D,
    rng: &mut impl CryptoRng,
    (vca, peer): (&Vca, Peer),
    measurements: &mut MeasurementLog,
    request: &[u8],
    alignment: usize,
) -> Result<Vec<u8>, ErrorResponse> {
    let code = Header::peek(request)?.code;
    if code == code::GET_MEASUREMENTS {
        return measure::measurements(device, rng, (vca, peer), measurements, request, alignment);
    }
    let response = match code {
        code::GET_DIGESTS => identify::digests(device, peer, request, alignment),
        code::GET_CERTIFICATE => identify::certificate(device, peer, request, alignment),
        _ => Err(ErrorCode::UnexpectedRequest.into()),
    }?;
    measurements.clear();
    Ok(response)
}

/// The response, if the requester takes one of its length.
fn fitting(response: Vec<u8>, peer: Peer) -> Result<Vec<u8>, ErrorResponse> {
    if response.len() > peer.data_transfer_size as usize {
        return Err(ErrorResponse::response_too_large(response.len()));
    }
    Ok(response)
}

#[cfg(test)]
mod tests;
