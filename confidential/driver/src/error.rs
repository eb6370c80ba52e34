//! What a call to the driver can fail with, and whether a new attestation may help.

use ravelin_gpu_abi::command::Reply;

use crate::session::Lost;
use crate::{attest, discover, layout};

/// Why the driver did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The rings do not fit.
    #[error(transparent)]
    Layout(#[from] layout::Error),
    /// There is no GPU.
    #[error(transparent)]
    Discover(#[from] discover::Error),
    /// The GPU was not attested.
    #[error(transparent)]
    Attest(#[from] attest::Error),
    /// The session has ended and its keys are gone.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// There is no session: none was begun, or an earlier call has lost it.
    #[error("There is no session with the GPU; attest it first")]
    NoSession,
    /// The GPU refuses an HBM range. The session goes on.
    #[error(
        "The GPU refuses {length} bytes at HBM address {hbm_address:#x}; see its protected range"
    )]
    OutOfRange {
        /// First byte of the record refused.
        hbm_address: u64,
        /// Bytes of the record refused.
        length: usize,
    },
    /// A kernel was not run. Those before it were, and the session goes on.
    #[error("Command {index} was refused by the GPU: {reply:?}")]
    Launch {
        /// Place of the command in its batch.
        index: usize,
        /// What the GPU replied; `None` for a word that this driver does not know.
        reply: Option<Reply>,
    },
}

impl Error {
    /// Whether the session is gone, so that [`attest`](crate::Gpu::attest) is the way on.
    pub fn session_is_lost(&self) -> bool {
        matches!(self, Error::Lost(_) | Error::NoSession)
    }

    /// A stable code, for scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Layout(_) => "bad-layout",
            Error::Discover(_) => "no-gpu",
            Error::Attest(error) => error.code(),
            Error::Lost(lost) => lost.code(),
            Error::NoSession => "no-session",
            Error::OutOfRange { .. } => "out-of-range",
            Error::Launch { .. } => "launch-refused",
        }
    }
}
