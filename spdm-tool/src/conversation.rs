//! A whole conversation: from the greeting over a session with signed measurements to its end.

use std::io::{Read, Write};

use getrandom::SysRng;
use p384::ecdsa::VerifyingKey;
use rand_core::{Rng, UnwrapErr};
use ravelin_spdm::measurements::{Block, TranscriptError};
use ravelin_spdm::requester::{self, Config, Requester, Step};
use ravelin_spdm::{CertificateChain, ChainRefused, ChainVerifier, Message};

use crate::connection::{self, Carried, Connection};
use crate::trust::Root;

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
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Slot of the certificate chain to prove.
    pub slot: u8,
}

/// Who hears what is said, as it is said.
pub trait Listener {
    /// What the transport carries, discovery and all.
    fn carried(&mut self, carried: &Carried);
    /// A message, in the order of the wire.
    fn message(&mut self, direction: Direction, message: &Message);
    /// A message that had been in a record.
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
    /// The version agreed on, as a message's first byte spells it.
    pub version: u8,
    /// The session's id.
    pub session: u32,
    /// The chain that the root vouches for.
    pub chain: CertificateChain,
    /// What it says of itself, signed.
    pub measurements: Vec<Block>,
}

/// Holds a conversation, to the end of the session.
///
/// # Errors
/// Each of [`Error`]; the connection is of no more use then.
pub fn hold<S: Read + Write>(
    connection: &mut Connection<S>,
    request: Request,
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
    let mut requester = Requester::new(rng, &mut proved, config);
    let mut message = requester.start();
    let established = loop {
        let answer = exchange(connection, &message, listener)?;
        match requester.receive(&answer)? {
            Step::Send(next) => message = next,
            Step::Done(established) => break established,
        }
    };
    drop(requester);
    let requester::Established { mut session, evidence, .. } = *established;
    listener.opened(Direction::Request, &evidence.measurements.request);
    listener.opened(Direction::Response, &evidence.measurements.response);
    let learned = Learned {
        version: evidence.measurements.request.first().copied().unwrap_or_default(),
        session: session.id(),
        measurements: match proved.key {
            Some(key) => evidence.measurements.verify(&key)?.blocks,
            None => return Err(TranscriptError::BadSignature.into()),
        },
        chain: evidence.chain,
    };
    let end = session.end()?;
    let answer = exchange(connection, &end, listener)?;
    session.confirm_end(&answer)?;
    Ok(learned)
}

fn exchange<S: Read + Write>(
    connection: &mut Connection<S>,
    message: &Message,
    listener: &mut dyn Listener,
) -> Result<Message, connection::Error> {
    listener.message(Direction::Request, message);
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
