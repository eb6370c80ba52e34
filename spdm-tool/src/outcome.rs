//! What came of a conversation: an exit code for scripts, a stable code beneath it, and the JSON.

use std::process::ExitCode;

use ravelin_spdm::measurements::{Block, Value};
use ravelin_spdm::requester;
use ravelin_spdm::version::Version;
use serde::Serialize;

use crate::connection::{self, name};
use crate::conversation::{self, Answered, Learned};

/// The JSON's schema.
pub const SCHEMA: &str = "ravelin.spdm/1";

/// The table that `--help` ends with.
pub const TABLE: &str = "\
Exit status:
  0  a session was established and ended, under a key that the pinned root vouches for
  2  refused: the responder's chain, algorithms, signatures or measurements are not acceptable
  3  could not talk: no connection, no answer, an answer that is malformed or an error, bad arguments

The result has a stable code besides. Refused: unknown-root, bad-signature, certificate-expired,
certificate-not-yet-valid, certificate-profile, malformed-evidence, missing-capabilities,
wrong-algorithm, no-chain, chain-inconsistent, bad-challenge, bad-key-share, not-agreed,
bad-key-exchange, bad-measurements, refused. Could not talk: no-connection, no-answer, not-spdm,
other-transport, no-common-version, responder-error, responder-not-ready, request-too-long,
malformed-answer, session-lost.";

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Result {
    /// The session was established and ended, under a trusted key.
    Trusted,
    /// What the responder showed is not acceptable.
    Refused(&'static str),
    /// There was no conversation to judge.
    CouldNotTalk(&'static str),
}

impl Result {
    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Result::Trusted => "ok",
            Result::Refused(code) | Result::CouldNotTalk(code) => code,
        }
    }

    /// The process's exit code.
    pub fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Result::Trusted => 0,
            Result::Refused(_) => 2,
            Result::CouldNotTalk(_) => 3,
        })
    }
}

impl From<&conversation::Error> for Result {
    fn from(error: &conversation::Error) -> Result {
        match error {
            conversation::Error::Connection(error) => of_connection(error),
            conversation::Error::Spdm(error) => of_requester(error),
            conversation::Error::Measurements(_) => Result::Refused("bad-measurements"),
            conversation::Error::NotReady(_) => Result::CouldNotTalk("responder-not-ready"),
        }
    }
}

fn of_connection(error: &connection::Error) -> Result {
    use connection::Error;
    Result::CouldNotTalk(match error {
        Error::Connect { .. } => "no-connection",
        Error::Lost { .. } => "no-answer",
        Error::OtherTransport(_) => "other-transport",
        Error::TooLong { .. }
        | Error::OtherCommand { .. }
        | Error::Payload(_)
        | Error::NoObjectType(_)
        | Error::EndlessDiscovery => "not-spdm",
    })
}

fn of_requester(error: &requester::Error) -> Result {
    use requester::Error;
    match error {
        Error::ChainRefused(refused) => Result::Refused(refused.code),
        Error::MissingCapabilities { .. } => Result::Refused("missing-capabilities"),
        Error::WrongAlgorithm { .. } => Result::Refused("wrong-algorithm"),
        Error::NoChain { .. } => Result::Refused("no-chain"),
        Error::ChainPortion { .. } | Error::ChainDigest => Result::Refused("chain-inconsistent"),
        Error::ChallengeFailed => Result::Refused("bad-challenge"),
        Error::ExchangeData => Result::Refused("bad-key-share"),
        Error::NotAgreed { .. } | Error::SecuredVersion => Result::Refused("not-agreed"),
        Error::BadSignature | Error::BadVerifyData => Result::Refused("bad-key-exchange"),
        Error::Measurements(_) | Error::SummaryMismatch => Result::Refused("bad-measurements"),
        Error::NoCommonVersion => Result::CouldNotTalk("no-common-version"),
        Error::Refused { .. } => Result::CouldNotTalk("responder-error"),
        Error::RequestTooLong { .. } => Result::CouldNotTalk("request-too-long"),
        Error::Malformed(_) | Error::Chunk | Error::NotClear | Error::NotSecured => {
            Result::CouldNotTalk("malformed-answer")
        }
        Error::Session(_) => Result::CouldNotTalk("session-lost"),
        // Whatever else the requester does not take.
        _ => Result::Refused("refused"),
    }
}

/// The whole, as `--json` prints it.
#[derive(Serialize)]
pub struct Report {
    schema: &'static str,
    /// "ok" or a code.
    result: &'static str,
    trusted: bool,
    address: String,
    transport: &'static str,
    /// Messages sent and received, the mailbox's discovery not counted.
    messages: usize,
    /// What went wrong, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    #[serde(flatten)]
    learned: Option<Session>,
}

/// What a session has shown.
#[derive(Serialize)]
struct Session {
    /// The SPDM version agreed on.
    version: String,
    session: u32,
    /// Seconds between heartbeats that the responder wants; 0 for none.
    heartbeat_period: u8,
    /// Lengths of the certificates, from the root to the leaf.
    certificates: Vec<usize>,
    /// SHA-384 of the chain's root.
    root: String,
    measurements: Vec<Measurement>,
    /// What was asked besides, in order.
    answers: Vec<Answer>,
}

/// A question and its answer.
#[derive(Serialize)]
struct Answer {
    /// "before" or "in-session".
    when: &'static str,
    /// As the command line spells it.
    question: String,
    /// How many measurements there are, where that was the question.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    measurements: Option<Vec<Measurement>>,
}

#[derive(Serialize)]
struct Measurement {
    index: u8,
    #[serde(rename = "type")]
    value_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<String>,
}

impl Report {
    /// The report on a conversation.
    pub fn new(
        address: &str,
        transport: ravelin_spdm::transport::carrier::Transport,
        messages: usize,
        result: Result,
        problem: Option<String>,
        learned: Option<&Learned>,
    ) -> Report {
        Report {
            schema: SCHEMA,
            result: result.code(),
            trusted: result == Result::Trusted,
            address: address.to_owned(),
            transport: name(transport),
            messages,
            problem,
            learned: learned.map(Session::new),
        }
    }
}

impl Session {
    fn new(learned: &Learned) -> Session {
        Session {
            version: version(learned.version),
            session: learned.session,
            heartbeat_period: learned.heartbeat_period,
            certificates: learned.chain.certificates().map(<[u8]>::len).collect(),
            root: hex::encode(learned.chain.root_digest()),
            measurements: learned.measurements.iter().map(Measurement::new).collect(),
            answers: learned.answers.iter().map(Answer::new).collect(),
        }
    }
}

impl Answer {
    fn new(answered: &Answered) -> Answer {
        let told = answered.measurements.as_ref();
        Answer {
            when: if answered.in_session { "in-session" } else { "before" },
            question: answered.question.clone(),
            count: told.filter(|told| told.blocks.is_empty()).map(|told| told.count),
            measurements: told.map(|told| told.blocks.iter().map(Measurement::new).collect()),
        }
    }
}

/// A version as people write it.
pub fn version(version: Version) -> String {
    format!("{}.{}", version as u8 >> 4, version as u8 & 0xf)
}

impl Measurement {
    fn new(block: &Block) -> Measurement {
        let (digest, raw) = match &block.value {
            Value::Digest(digest) => (Some(hex::encode(digest)), None),
            Value::Raw(bytes) => (None, Some(hex::encode(bytes))),
        };
        let value_type = crate::explain::value_type(block.value_type as u8).to_owned();
        Measurement { index: block.index, value_type, digest, raw }
    }
}
