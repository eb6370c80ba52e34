//! The requester: the driver's side.
//!
//! One straight line from GET_VERSION to signed measurements inside a session. Each answer is
//! either what the line asks for or the end of it: an error drops all keys, and only
//! [`Requester::start`] leads out. Nothing weaker than what was asked for is taken. What more may be
//! asked is [`Session`]'s.
//!
//! | file | answers |
//! | --- | --- |
//! | `negotiate` | VERSION, CAPABILITIES, ALGORITHMS |
//! | `identify` | DIGESTS, CERTIFICATE |
//! | `before` | CHALLENGE_AUTH and MEASUREMENTS in clear, if they are wanted |
//! | `establish` | KEY_EXCHANGE_RSP, FINISH_RSP |
//! | `measure` | MEASUREMENTS |
//! | `session` | whatever is asked in the session afterwards |
//! | `link` | chunks, and answers that are not ready |
//! | `error` | ERROR, and everything else that ends the line |
//!
//! Whether the chain is to be believed is decided by the caller's
//! [`ChainVerifier`](crate::ChainVerifier) before a key is agreed; whether the measurements are,
//! by whoever judges the [`Evidence`].

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use rand_core::CryptoRng;
use ravelin_channel::ExportMasterSecret;
use zeroize::Zeroizing;

use crate::certificate_chain::{CertificateChain, ChainVerifier};
use crate::measurements::MeasurementTranscript;
use crate::message::capabilities::Flags;
use crate::message::measurements::{MeasurementsResponse, Operation};
use crate::message::version::GetVersion;
use crate::message::{Codec, decode_padded};
use crate::session::SecuredSession;
use crate::transport::{Framing, Message};
use crate::version::Version;
use crate::wire::DecodeError;

mod before;
mod error;
mod establish;
mod identify;
mod link;
mod measure;
mod negotiate;
mod session;

pub use error::Error;
use error::refuse_error;
use link::{Link, Received};
pub use session::{Answer, Ask, Progress, Session};

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
    /// Answers in clear that were [asked for](Requester::with_measurements_before), in order.
    pub before: Vec<MeasurementsResponse>,
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

/// What is wanted besides the line from GET_VERSION to measurements in a session.
struct Wishes {
    versions: Vec<Version>,
    features: Flags,
    challenge: bool,
    /// Measurements in clear, and whether they are signed.
    measurements: Vec<(Operation, bool)>,
}

/// The requester of one responder.
pub struct Requester<R, V> {
    rng: R,
    verifier: V,
    config: Config,
    wishes: Wishes,
    link: Link,
    inside: Inside,
    state: State,
}

/// What is in the records that went last, for those who explain a conversation.
#[derive(Default)]
struct Inside {
    sealed: Option<Zeroizing<Vec<u8>>>,
    opened: Option<Zeroizing<Vec<u8>>>,
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
    Challenge(Box<before::AwaitChallenge>),
    Before(Box<before::AwaitBefore>),
    KeyExchange(Box<establish::AwaitKeyExchange>),
    Finish(Box<establish::AwaitFinish>),
    Measurements(Box<measure::AwaitMeasurements>),
}

/// The next request, in clear or not as the state says that waits for its answer.
type Turn = (Vec<u8>, State);

/// An answer as it came.
#[derive(Clone, Copy)]
struct Answered<'a> {
    bytes: &'a [u8],
    /// What the transport fills up to; 1 where it does not.
    alignment: usize,
}

impl<'a> Answered<'a> {
    /// The answer's fields, and its bytes without padding.
    fn decode<M: Codec>(
        self,
        version: Version,
        context: M::Context,
    ) -> Result<(M, &'a [u8]), DecodeError> {
        decode_padded(self.bytes, version, context, self.alignment)
    }
}

impl State {
    /// The session that the answer comes in.
    fn secured(&mut self) -> Option<&mut SecuredSession> {
        match self {
            State::Finish(state) => Some(&mut state.secured),
            State::Measurements(state) => Some(&mut state.secured),
            _ => None,
        }
    }

    /// A request as it goes on the wire.
    fn carry(&mut self, request: Vec<u8>) -> Result<Message, Error> {
        Ok(match self.secured() {
            Some(secured) => Message::Secured(secured.seal(&request)?),
            None => Message::Clear(request),
        })
    }
}

impl<R: CryptoRng, V: ChainVerifier> Requester<R, V> {
    /// A requester that has not spoken yet. It takes versions 1.2 and 1.3.
    pub fn new(rng: R, verifier: V, config: Config) -> Requester<R, V> {
        let wishes = Wishes {
            versions: Vec::from([Version::V1_2, Version::V1_3]),
            features: Flags::empty(),
            challenge: false,
            measurements: Vec::new(),
        };
        let (link, inside) = (Link::new(), Inside::default());
        Requester { rng, verifier, config, wishes, link, inside, state: State::Idle }
    }

    /// Takes these versions instead, the highest one that the responder speaks.
    pub fn with_versions(mut self, versions: impl IntoIterator<Item = Version>) -> Self {
        self.wishes.versions = versions.into_iter().collect();
        self
    }

    /// Says that it can do this besides: [`Flags::HBEAT`], [`Flags::KEY_UPD`], [`Flags::CHUNK`].
    pub fn with_features(mut self, features: Flags) -> Self {
        self.wishes.features = features;
        self
    }

    /// Challenges the responder before the key exchange.
    pub fn with_challenge(mut self) -> Self {
        self.wishes.challenge = true;
        self
    }

    /// Asks for measurements in clear before the key exchange, too. May be called repeatedly.
    pub fn with_measurements_before(mut self, operation: Operation, signed: bool) -> Self {
        self.wishes.measurements.push((operation, signed));
        self
    }

    /// The first request. Whatever was before is forgotten, here and at the responder.
    pub fn start(&mut self) -> Message {
        let request = GetVersion.encode(Version::V1_0);
        self.link = Link::new();
        self.inside = Inside::default();
        self.state = State::Version(negotiate::AwaitVersion { request: request.clone() });
        Message::Clear(request)
    }

    /// How long to wait before sending what [`Requester::receive`] gave last: nothing, unless the
    /// responder was not ready.
    pub fn wait(&self) -> Duration {
        self.link.wait()
    }

    /// The version that was agreed; `None` before.
    pub fn version(&self) -> Option<Version> {
        self.link.version()
    }

    /// What is in the record of the last request; `None` if that is in clear.
    pub fn sealed(&self) -> Option<&[u8]> {
        self.inside.sealed.as_deref().map(Vec::as_slice)
    }

    /// What was in the record of the last answer; `None` if that was in clear, or does not open.
    pub fn opened(&self) -> Option<&[u8]> {
        self.inside.opened.as_deref().map(Vec::as_slice)
    }

    /// Takes the answer to the last request.
    pub fn receive(&mut self, answer: &Message) -> Result<Step, Error> {
        self.inside.opened = None;
        // Taken out, so that an error leaves nothing behind.
        let mut state = core::mem::replace(&mut self.state, State::Idle);
        if matches!(state, State::Idle) {
            return Err(Error::NotStarted);
        }
        let alignment = match answer {
            Message::Clear(_) => self.config.framing.alignment,
            Message::Secured(_) => 1,
        };
        let bytes = match state.secured() {
            Some(secured) => {
                let bytes = inside(secured, answer)?;
                self.inside.opened = Some(Zeroizing::new(bytes.clone()));
                bytes
            }
            None => clear(answer)?,
        };
        let (request, mut next) = match self.link.receive(&bytes, alignment)? {
            Received::Next(request) => (request, state),
            Received::Whole { message, padded } => {
                let alignment = if padded { alignment } else { 1 };
                refuse_error(&message, alignment)?;
                let answered = Answered { bytes: &message, alignment };
                if let State::Measurements(state) = state {
                    let link = core::mem::replace(&mut self.link, Link::new());
                    let done = state.receive(&self.config, link, answered)?;
                    return Ok(Step::Done(Box::new(done)));
                }
                let (request, next) = self.turn(state, answered)?;
                (self.link.send(request)?, next)
            }
        };
        self.inside.sealed = next.secured().map(|_| Zeroizing::new(request.clone()));
        let message = next.carry(request)?;
        self.state = next;
        Ok(Step::Send(message))
    }

    /// Judges a whole answer that is no ERROR.
    fn turn(&mut self, state: State, answer: Answered<'_>) -> Result<Turn, Error> {
        let Requester { rng, verifier, config, wishes, link, .. } = self;
        match state {
            State::Idle | State::Measurements(_) => Err(Error::NotStarted),
            State::Version(state) => state.receive(wishes, link, answer),
            State::Capabilities(state) => state.receive(wishes, link, answer),
            State::Algorithms(state) => state.receive(link, answer),
            State::Digests(state) => state.receive(config, answer),
            State::Certificate(state) => match state.receive(config, answer)? {
                identify::Progress::More(request, next) => Ok((request, State::Certificate(next))),
                identify::Progress::Chain { connection, chain } => {
                    let key = verifier.leaf_key(&chain)?;
                    let known = before::Known { connection, chain, key, before: Vec::new() };
                    if wishes.challenge {
                        before::challenge(rng, config, known)
                    } else {
                        before::next(rng, config, wishes, known)
                    }
                }
            },
            State::Challenge(state) => {
                let known = state.receive(answer)?;
                before::next(rng, config, wishes, known)
            }
            State::Before(state) => {
                let known = state.receive(answer)?;
                before::next(rng, config, wishes, known)
            }
            State::KeyExchange(state) => state.receive(config, answer),
            State::Finish(state) => state.receive(config, answer),
        }
    }
}

/// An answer in clear.
fn clear(answer: &Message) -> Result<Vec<u8>, Error> {
    let Message::Clear(bytes) = answer else { return Err(Error::NotClear) };
    Ok(bytes.clone())
}

/// The answer in a secured message. A responder that has lost the session can say so in clear only.
fn inside(secured: &mut SecuredSession, answer: &Message) -> Result<Vec<u8>, Error> {
    match answer {
        Message::Clear(bytes) => {
            refuse_error(bytes, usize::MAX)?;
            Err(Error::NotSecured)
        }
        Message::Secured(record) => Ok(core::mem::take(&mut *secured.open(record)?)),
    }
}

#[cfg(test)]
mod tests;
