//! What ends the line from GET_VERSION to measurements, or a question in the session.

use crate::certificate_chain::ChainRefused;
use crate::measurements::TranscriptError;
use crate::message::capabilities::Flags;
use crate::message::error::{ErrorCode, ErrorResponse};
use crate::message::{Header, code, decode_padded};
use crate::session::SessionError;
use crate::version::Version;
use crate::wire::DecodeError;

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
    /// The responder does not speak a version that is wanted.
    #[error("Responder speaks no version of SPDM that is wanted")]
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
    /// The responder wants or says something else than was agreed, such as a proof of the
    /// requester's identity.
    #[error("Responder's {field} is {found:#04x}, which was not agreed")]
    NotAgreed {
        /// The specification's name of the field.
        field: &'static str,
        /// Its value.
        found: u8,
    },
    /// The responder picks a version of secured messages that was not offered, or none.
    #[error("Responder picks no version of secured messages that was offered")]
    SecuredVersion,
    /// A request is longer than what the responder takes.
    #[error("Responder takes no request of {length} bytes")]
    RequestTooLong {
        /// Its length.
        length: usize,
    },
    /// A chunk of a large message is not the one that is due.
    #[error("Responder's chunk is not the one that is due")]
    Chunk,
    /// CHALLENGE_AUTH is not signed by the chain's leaf over this transcript.
    #[error("Challenge is not answered by the certified key")]
    ChallengeFailed,
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

/// An ERROR of any version becomes [`Error::Refused`].
pub(super) fn refuse_error(bytes: &[u8], alignment: usize) -> Result<(), Error> {
    let header = Header::peek(bytes)?;
    if header.code != code::ERROR {
        return Ok(());
    }
    let version = Version::negotiable(header.version).unwrap_or(Version::V1_0);
    let (error, _) = decode_padded::<ErrorResponse>(bytes, version, (), alignment)?;
    Err(Error::Refused { code: error.code, data: error.data })
}
