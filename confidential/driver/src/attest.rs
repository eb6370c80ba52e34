//! The room `attest`: SPDM with the GPU, its evidence judged, a session begun. Work in progress:
//! plain mode only.

use alloc::string::String;

/// What to do with a GPU in plain mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainMode {
    /// Refuse it, with the code `mode-off`.
    Refuse,
    /// Work with it: nothing is attested and nothing is protected.
    Accept,
}

/// Why a GPU is not trusted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The verdict on the evidence.
    #[error("The GPU is refused: {code}")]
    Refused {
        /// A stable code.
        code: String,
    },
}

impl Error {
    /// A stable code.
    pub fn code(&self) -> &'static str {
        "refused"
    }
}
