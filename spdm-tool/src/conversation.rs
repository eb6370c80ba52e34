//! A whole conversation: from the greeting over a session with signed measurements, and whatever
//! else is to be asked, to its end.

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use getrandom::SysRng;
use p384::ecdsa::VerifyingKey;
use rand_core::{Rng, UnwrapErr};
use ravelin_spdm::measurements::{Block, TranscriptError};
use ravelin_spdm::message::capabilities::Flags;
use ravelin_spdm::message::measurements::{MeasurementsResponse, SignatureRequest};
use ravelin_spdm::requester::{self, Answer, Ask, Config, Progress, Requester, Session, Step};
use ravelin_spdm::version::Version;
use ravelin_spdm::{CertificateChain, ChainRefused, ChainVerifier, Message};

use crate::connection::{self, Carried, Connection};
use crate::question::{Before, InSession, Measurements, Versions};
use crate::trust::Root;

/// Beyond this, a responder that is not ready is not waited for.
const MOST_WAITING: Duration = Duration::from_secs(60);

/// Why there is no session, or no end of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection does not carry one.
    #[error(transparent)]
    Connection(#[from] connection::Error),
    /// The requester does not accept what it is told.
    #[error(transparent)]
    Spdm(#[from] requester::Error),
    /// The measurements are not signed by the leaf.
    #[error("the measurements are not signed by the chain's leaf")]
    Measurements(#[from] TranscriptError),
    /// A responder that may be ready some day.
    #[error("the responder is not ready and asks for {} s: try again later", .0.as_secs())]
    NotReady(Duration),
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The versions to offer.
    pub versions: Versions,
    /// Slot of the certificate chain to prove.
    pub slot: u8,
    /// What to ask before the key exchange. A challenge comes first.
    pub before: Vec<Before>,
    /// What to ask in the session, in this order.
    pub asks: Vec<InSession>,
}

/// Who hears what is said, as it is said.
pub trait Listener {
    /// What the transport carries, discovery and all.
    fn carried(&mut self, carried: &Carried);
    /// A message, in the order of the wire.
    fn message(&mut self, direction: Direction, message: &Message);
    /// A message that is, or was, in the record before.
    fn opened(&mut self, direction: Direction, message: &[u8]);
}

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the requester.
    Request,
    /// From the responder.
    Response,
}

/// What the responder has proved.
pub struct Learned {
    /// The version agreed on.
    pub version: Version,
    /// The session's id.
    pub session: u32,
    /// Seconds between heartbeats that the responder wants; 0 for none.
    pub heartbeat_period: u8,
    /// The chain that the root vouches for.
    pub chain: CertificateChain,
    /// What it says of itself, signed.
    pub measurements: Vec<Block>,
    /// What was asked besides, in order.
    pub answers: Vec<Answered>,
}

/// A question that was answered.
pub struct Answered {
    /// Whether it was asked in the session.
    pub in_session: bool,
    /// The question, as the command line spells it.
    pub question: String,
    /// The measurements, where it was about them.
    pub measurements: Option<MeasurementsResponse>,
}

/// Holds a conversation, to the end of the session.
///
/// # Errors
/// Each of [`Error`]; the connection is of no more use then.
pub fn hold<S: Read + Write>(
    connection: &mut Connection<S>,
    request: &Request,
    root: &Root,
    listener: &mut dyn Listener,
) -> Result<Learned, Error> {
    connection.greet()?.iter().for_each(|carried| listener.carried(carried));
    let mut rng = UnwrapErr(SysRng);
    let mut verifier_nonce = [0; 32];
    rng.fill_bytes(&mut verifier_nonce);
    let framing = connection.transport().framing();
    let config = Config { framing, slot: request.slot, verifier_nonce };
    let mut proved = Proved { root, key: None };
    let mut requester = Requester::new(rng, &mut proved, config)
        .with_versions(request.versions.0.iter().copied())
        .with_features(Flags::HBEAT | Flags::KEY_UPD | Flags::CHUNK);
    for before in &request.before {
        requester = match *before {
            Before::Challenge => requester.with_challenge(),
            Before::Measurements(Measurements { operation, signed }) => {
                requester.with_measurements_before(operation, signed)
            }
        };
    }
    let mut message = requester.start();
    let established = loop {
        wait(requester.wait())?;
        let answer = exchange(connection, &message, requester.sealed(), listener)?;
        let step = requester.receive(&answer);
        opened(requester.opened(), listener);
        match step? {
            Step::Send(next) => message = next,
            Step::Done(established) => break established,
        }
    };
    drop(requester);
    let requester::Established { mut session, evidence, before, .. } = *established;
    let mut learned = Learned {
        version: session.version(),
        session: session.id(),
        heartbeat_period: session.heartbeat_period(),
        measurements: match proved.key {
            Some(key) => evidence.measurements.verify(&key)?.blocks,
            None => return Err(TranscriptError::BadSignature.into()),
        },
        chain: evidence.chain,
        answers: answered_before(&request.before, before),
    };
    for ask in &request.asks {
        let question = question(*ask, request.slot, &mut rng);
        let measurements = match hear(connection, &mut session, question, listener)? {
            Answer::Measurements(measurements) => Some(measurements),
            _ => None,
        };
        let question = ask.to_string();
        learned.answers.push(Answered { in_session: true, question, measurements });
    }
    hear(connection, &mut session, Ask::End, listener)?;
    Ok(learned)
}

/// What was asked in clear, a challenge first, with what was told.
fn answered_before(questions: &[Before], told: Vec<MeasurementsResponse>) -> Vec<Answered> {
    let challenge = questions.iter().filter(|before| **before == Before::Challenge).take(1);
    let challenge = challenge.map(|before| (before, None));
    let asked = questions.iter().filter(|before| matches!(before, Before::Measurements(_)));
    challenge
        .chain(asked.zip(told.into_iter().map(Some)))
        .map(|(before, measurements)| Answered {
            in_session: false,
            question: before.to_string(),
            measurements,
        })
        .collect()
}

/// The question for the session.
fn question(ask: InSession, slot: u8, rng: &mut UnwrapErr<SysRng>) -> Ask {
    match ask {
        InSession::Heartbeat => Ask::Heartbeat,
        InSession::UpdateKeys { all } => Ask::UpdateKeys { all },
        InSession::Measurements(Measurements { operation, signed }) => {
            let signature = signed.then(|| {
                let mut nonce = [0; 32];
                rng.fill_bytes(&mut nonce);
                SignatureRequest { nonce, slot }
            });
            Ask::Measurements { operation, signature }
        }
    }
}

/// Asks in the session, as many messages as it takes.
fn hear<S: Read + Write>(
    connection: &mut Connection<S>,
    session: &mut Session,
    ask: Ask,
    listener: &mut dyn Listener,
) -> Result<Answer, Error> {
    let mut message = session.ask(ask)?;
    loop {
        wait(session.wait())?;
        let answer = exchange(connection, &message, session.sealed(), listener)?;
        let progress = session.receive(&answer);
        opened(session.opened(), listener);
        match progress? {
            Progress::Send(next) => message = next,
            Progress::Done(answer) => return Ok(answer),
        }
    }
}

fn wait(time: Duration) -> Result<(), Error> {
    if time > MOST_WAITING {
        return Err(Error::NotReady(time));
    }
    thread::sleep(time);
    Ok(())
}

fn opened(answer: Option<&[u8]>, listener: &mut dyn Listener) {
    if let Some(answer) = answer {
        listener.opened(Direction::Response, answer);
    }
}

fn exchange<S: Read + Write>(
    connection: &mut Connection<S>,
    message: &Message,
    sealed: Option<&[u8]>,
    listener: &mut dyn Listener,
) -> Result<Message, connection::Error> {
    listener.message(Direction::Request, message);
    if let Some(request) = sealed {
        listener.opened(Direction::Request, request);
    }
    let (answer, carried) = connection.exchange(message)?;
    listener.carried(&carried);
    listener.message(Direction::Response, &answer);
    Ok(answer)
}

/// The root, and the key that it has vouched for.
struct Proved<'a> {
    root: &'a Root,
    key: Option<VerifyingKey>,
}

impl ChainVerifier for &mut Proved<'_> {
    fn leaf_key(&mut self, chain: &CertificateChain) -> Result<VerifyingKey, ChainRefused> {
        let key = self.root.judge(chain).map_err(|code| ChainRefused { code: code.as_str() })?;
        self.key = Some(key);
        Ok(key)
    }
}
