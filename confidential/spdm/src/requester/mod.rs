//! The requester: the driver's side.
//!
//! One straight line from GET_VERSION to signed measurements inside a session. Each answer is
//! either what the line asks for or the end of it: an error drops all keys, and only
//! [`Requester::start`] leads out. Nothing weaker than what was asked for is taken.
//!
//! | file | answers |
//! | --- | --- |
//! | `negotiate` | VERSION, CAPABILITIES, ALGORITHMS |
//! | `identify` | DIGESTS, CERTIFICATE |
//! | `establish` | KEY_EXCHANGE_RSP, FINISH_RSP |
//! | `measure` | MEASUREMENTS |
//!
//! Whether the chain is to be believed is decided by the caller's
//! [`ChainVerifier`](crate::ChainVerifier) before a key is agreed; whether the measurements are,
//! by whoever judges the [`Evidence`].

use alloc::boxed::Box;
use alloc::vec::Vec;

use rand_core::CryptoRng;
use ravelin_channel::ExportMasterSecret;

use crate::certificate_chain::{CertificateChain, ChainRefused, ChainVerifier};
use crate::measurements::{MeasurementTranscript, TranscriptError};
use crate::message::capabilities::Flags;
use crate::message::end_session::{EndSession, EndSessionAck};
use crate::message::error::{ErrorCode, ErrorResponse};
use crate::message::version::GetVersion;
use crate::message::{Codec, Header, code, decode, decode_padded};
use crate::session::{SecuredSession, SessionError};
use crate::transport::{Framing, Message};
use crate::version::Version;
use crate::wire::DecodeError;

mod establish;
mod identify;
mod measure;
mod negotiate;

/// What the caller decides.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The transport's framing, such as [`doe::FRAMING`](crate::transport::doe::FRAMING).
    pub framing: Framing,
    /// Slot of the certificate chain to prove, 0 to 7.
    pub slot: u8,
    /// The nonce of whoever will judge the evidence; it must not have been used before.
    pub verifier_nonce: [u8; 32],
}

/// Why there is no session. Whatever the reason, the attempt is over and its keys are wiped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The answer is malformed, or another one than is due.
    #[error("Responder's answer is malformed")]
    Malformed(#[from] DecodeError),
    /// The responder answers with ERROR.
    #[error("Responder refuses with {code:?}, data {data:#04x}")]
    Refused {
        /// Its error code.
        code: ErrorCode,
        /// Its error data.
        data: u8,
    },
    /// An answer in clear where only a secured one will do.
    #[error("Responder answers in clear inside a session")]
    NotSecured,
    /// A secured answer where there is no session.
    #[error("Responder answers in a session that does not exist")]
    NotClear,
    /// The responder does not speak this version.
    #[error("Responder does not speak SPDM 1.2")]
    NoCommonVersion,
    /// The responder cannot do something that is needed.
    #[error("Responder lacks capabilities {missing:?}")]
    MissingCapabilities {
        /// What it cannot do.
        missing: Flags,
    },
    /// The responder has settled on something that was not offered.
    #[error("Responder picks {found:#x} as {field}, which was not offered")]
    WrongAlgorithm {
        /// The specification's name of the field.
        field: &'static str,
        /// Its value.
        found: u32,
    },
    /// There is no chain in the slot.
    #[error("Responder has no certificate chain in slot {slot}")]
    NoChain {
        /// The slot.
        slot: u8,
    },
    /// Portions of the chain do not fit together.
    #[error("Portions of the certificate chain do not fit together at byte {offset}")]
    ChainPortion {
        /// Where.
        offset: usize,
    },
    /// The chain is not the one whose digest was told.
    #[error("Certificate chain has another digest than DIGESTS says")]
    ChainDigest,
    /// The caller does not believe the chain.
    #[error("Certificate chain is not acceptable")]
    ChainRefused(#[from] ChainRefused),
    /// The responder's Diffie-Hellman share is no point of the curve.
    #[error("Responder's key share is no point on secp384r1")]
    ExchangeData,
    /// The responder wants what was not offered: a proof of the requester's identity, or a
    /// heartbeat.
    #[error("Responder's {field} is {found:#04x}; zero was agreed")]
    NotAgreed {
        /// The specification's name of the field.
        field: &'static str,
        /// Its value.
        found: u8,
    },
    /// The responder picks a version of secured messages that was not offered, or none.
    #[error("Responder picks no version of secured messages that was offered")]
    SecuredVersion,
    /// KEY_EXCHANGE_RSP is not signed by the chain's leaf over this transcript.
    #[error("Key exchange is not signed by the certified key")]
    BadSignature,
    /// The responder does not have the session's keys.
    #[error("Responder does not prove that it has the session's keys")]
    BadVerifyData,
    /// A record of the session failed.
    #[error("Session failed")]
    Session(#[from] SessionError),
    /// The measurements are not signed as they should be.
    #[error("Measurements are not evidence")]
    Measurements(#[from] TranscriptError),
    /// The measurements are other ones than those that the key exchange was signed over.
    #[error("Measurements differ from those that the key exchange vouches for")]
    SummaryMismatch,
    /// No answer is due: not started, done, or failed before.
    #[error("No answer is due; start anew")]
    NotStarted,
}

/// What to do next.
pub enum Step {
    /// Send this request, and give the answer to [`Requester::receive`].
    Send(Message),
    /// The session is established.
    Done(Box<Established>),
}

/// A session, and what was learned on the way to it.
pub struct Established {
    /// For the keys of the channel.
    pub export_secret: ExportMasterSecret,
    /// The session itself.
    pub session: Session,
    /// What the responder has proved.
    pub evidence: Evidence,
}

/// What the responder has proved of itself: all that is needed to judge it, here or elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The chain whose leaf has signed the key exchange and the measurements.
    pub chain: CertificateChain,
    /// The signed measurements, whose nonce is [`bound_nonce`](crate::measurements::bound_nonce)
    /// of the two fields below.
    pub measurements: MeasurementTranscript,
    /// The nonce of whoever judges.
    pub verifier_nonce: [u8; 32],
    /// The requester's Diffie-Hellman share in this session.
    pub exchange_key: [u8; 96],
}

/// An established session, to be ended in good order.
pub struct Session {
    version: Version,
    secured: SecuredSession,
}

/// The requester of one responder.
pub struct Requester<R, V> {
    rng: R,
    verifier: V,
    config: Config,
    state: State,
}

/// Which answer is due, and what its judgement needs.
enum State {
    /// None: not started, done, or failed.
    Idle,
    Version(negotiate::AwaitVersion),
    Capabilities(negotiate::AwaitCapabilities),
    Algorithms(negotiate::AwaitAlgorithms),
    Digests(identify::AwaitDigests),
    Certificate(identify::AwaitCertificate),
    KeyExchange(Box<establish::AwaitKeyExchange>),
    Finish(Box<establish::AwaitFinish>),
    Measurements(Box<measure::AwaitMeasurements>),
}

impl<R: CryptoRng, V: ChainVerifier> Requester<R, V> {
    /// A requester that has not spoken yet.
    pub fn new(rng: R, verifier: V, config: Config) -> Requester<R, V> {
        Requester { rng, verifier, config, state: State::Idle }
    }

    /// The first request. Whatever was before is forgotten, here and at the responder.
    pub fn start(&mut self) -> Message {
        let request = GetVersion.encode(Version::V1_0);
        self.state = State::Version(negotiate::AwaitVersion { request: request.clone() });
        Message::Clear(request)
    }

    /// Takes the answer to the last request.
    pub fn receive(&mut self, answer: &Message) -> Result<Step, Error> {
        let config = &self.config;
        let alignment = config.framing.alignment;
        // Taken out, so that an error leaves nothing behind.
        let (request, next) = match core::mem::replace(&mut self.state, State::Idle) {
            State::Idle => return Err(Error::NotStarted),
            State::Version(state) => {
                let (request, next) = state.receive(clear(answer, alignment)?, alignment)?;
                (Message::Clear(request), State::Capabilities(next))
            }
            State::Capabilities(state) => {
                let (request, next) = state.receive(clear(answer, alignment)?, alignment)?;
                (Message::Clear(request), State::Algorithms(next))
            }
            State::Algorithms(state) => {
                let (request, next) = state.receive(clear(answer, alignment)?, alignment)?;
                (Message::Clear(request), State::Digests(next))
            }
            State::Digests(state) => {
                let answer = clear(answer, alignment)?;
                let (request, next) = state.receive(config, answer)?;
                (Message::Clear(request), State::Certificate(next))
            }
            State::Certificate(state) => {
                let answer = clear(answer, alignment)?;
                match state.receive(config, answer)? {
                    identify::Progress::More(request, next) => {
                        (Message::Clear(request), State::Certificate(next))
                    }
                    identify::Progress::Chain { connection, chain } => {
                        let key = self.verifier.leaf_key(&chain)?;
                        let (request, next) =
                            establish::key_exchange(&mut self.rng, config, connection, chain, key);
                        (Message::Clear(request), State::KeyExchange(Box::new(next)))
                    }
                }
            }
            State::KeyExchange(state) => {
                let (request, next) = state.receive(config, clear(answer, alignment)?)?;
                (Message::Secured(request), State::Finish(Box::new(next)))
            }
            State::Finish(state) => {
                let (request, next) = state.receive(config, answer)?;
                (Message::Secured(request), State::Measurements(Box::new(next)))
            }
            State::Measurements(state) => {
                return state.receive(config, answer).map(|done| Step::Done(Box::new(done)));
            }
        };
        self.state = next;
        Ok(Step::Send(request))
    }
}

impl Session {
    /// The session's id.
    pub fn id(&self) -> u32 {
        self.secured.id()
    }

    /// The request that ends the session; its answer goes to [`Session::confirm_end`].
    pub fn end(&mut self) -> Result<Message, Error> {
        let request = EndSession { clear_negotiated_state: false }.encode(self.version);
        Ok(Message::Secured(self.secured.seal(&request)?))
    }

    /// Takes the answer to END_SESSION; the keys are wiped either way.
    pub fn confirm_end(mut self, answer: &Message) -> Result<(), Error> {
        let answer = inside(&mut self.secured, answer)?;
        decode::<EndSessionAck>(&answer, self.version, ())?;
        Ok(())
    }
}

/// An answer in clear that is not an ERROR.
fn clear(answer: &Message, alignment: usize) -> Result<&[u8], Error> {
    let Message::Clear(bytes) = answer else { return Err(Error::NotClear) };
    refuse_error(bytes, alignment)?;
    Ok(bytes)
}

/// The answer in a secured message, unless it is an ERROR. A responder that has lost the session
/// can say so in clear only.
fn inside(secured: &mut SecuredSession, answer: &Message) -> Result<Vec<u8>, Error> {
    match answer {
        Message::Clear(bytes) => {
            refuse_error(bytes, usize::MAX)?;
            Err(Error::NotSecured)
        }
        Message::Secured(record) => {
            let mut bytes = secured.open(record)?;
            refuse_error(&bytes, 1)?;
            Ok(core::mem::take(&mut *bytes))
        }
    }
}

/// An ERROR of any version becomes [`Error::Refused`].
fn refuse_error(bytes: &[u8], alignment: usize) -> Result<(), Error> {
    let header = Header::peek(bytes)?;
    if header.code != code::ERROR {
        return Ok(());
    }
    let version = Version::negotiable(header.version).unwrap_or(Version::V1_0);
    let (error, _) = decode_padded::<ErrorResponse>(bytes, version, (), alignment)?;
    Err(Error::Refused { code: error.code, data: error.data })
}

#[cfg(test)]
mod tests;
