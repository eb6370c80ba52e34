//! ERROR: why the responder does not answer a request.

use alloc::vec::Vec;

use super::{Codec, Header, code, open};
use crate::version::Version;
use crate::wire::{DecodeError, Reader, value};

/// Error codes (DSP0274, table "Error code and error data").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ErrorCode {
    /// One or more request fields are invalid.
    InvalidRequest = 0x01,
    /// The record names a session that does not exist.
    InvalidSession = 0x02,
    /// Try again later.
    Busy = 0x03,
    /// The request is not due now.
    UnexpectedRequest = 0x04,
    /// Anything else.
    Unspecified = 0x05,
    /// The record cannot be decrypted, or verify data is wrong.
    DecryptError = 0x06,
    /// The request is not supported; its code is the error data.
    UnsupportedRequest = 0x07,
    /// Another request is under way.
    RequestInFlight = 0x08,
    /// There are as many sessions as there may be.
    SessionLimitExceeded = 0x0a,
    /// The request must be inside a session.
    SessionRequired = 0x0b,
    /// The device must be reset first.
    ResetRequired = 0x0c,
    /// The response does not fit; its size is the extended error data.
    ResponseTooLarge = 0x0d,
    /// The request does not fit.
    RequestTooLarge = 0x0e,
    /// The version is not the negotiated one, or not supported.
    VersionMismatch = 0x41,
    /// The response will be ready later.
    ResponseNotReady = 0x42,
    /// Start again with GET_VERSION.
    RequestResynch = 0x43,
}

impl ErrorCode {
    fn from_byte(byte: u8) -> Option<ErrorCode> {
        use ErrorCode::*;
        [
            InvalidRequest,
            InvalidSession,
            Busy,
            UnexpectedRequest,
            Unspecified,
            DecryptError,
            UnsupportedRequest,
            RequestInFlight,
            SessionLimitExceeded,
            SessionRequired,
            ResetRequired,
            ResponseTooLarge,
            RequestTooLarge,
            VersionMismatch,
            ResponseNotReady,
            RequestResynch,
        ]
        .into_iter()
        .find(|code| *code as u8 == byte)
    }
}

/// Most bytes of extended error data.
const MAX_EXTENDED: usize = 32;

/// The ERROR message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorResponse {
    /// What is wrong.
    pub code: ErrorCode,
    /// Depends on the code.
    pub data: u8,
    /// Depends on the code.
    pub extended: Vec<u8>,
}

impl ErrorResponse {
    /// Every ERROR that is not about a request's code.
    pub(crate) fn new(code: ErrorCode) -> ErrorResponse {
        ErrorResponse { code, data: 0, extended: Vec::new() }
    }

    pub(crate) fn unsupported(request: u8) -> ErrorResponse {
        ErrorResponse { data: request, ..ErrorResponse::new(ErrorCode::UnsupportedRequest) }
    }

    pub(crate) fn response_too_large(size: usize) -> ErrorResponse {
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        ErrorResponse {
            extended: size.to_le_bytes().to_vec(),
            ..ErrorResponse::new(ErrorCode::ResponseTooLarge)
        }
    }
}

impl From<ErrorCode> for ErrorResponse {
    fn from(code: ErrorCode) -> ErrorResponse {
        ErrorResponse::new(code)
    }
}

impl From<DecodeError> for ErrorResponse {
    fn from(error: DecodeError) -> ErrorResponse {
        ErrorResponse::new(match error {
            DecodeError::Version { .. } => ErrorCode::VersionMismatch,
            _ => ErrorCode::InvalidRequest,
        })
    }
}

impl Codec for ErrorResponse {
    const CODE: u8 = code::ERROR;
    type Context = ();

    fn encode(&self, version: Version) -> Vec<u8> {
        let mut out = open(version, Self::CODE, self.code as u8, self.data);
        out.extend_from_slice(&self.extended);
        out
    }

    fn read(reader: &mut Reader<'_>, header: Header, (): ()) -> Result<Self, DecodeError> {
        let code = ErrorCode::from_byte(header.param1).ok_or(value("ErrorCode", header.param1))?;
        let extended = reader.rest();
        if extended.len() > MAX_EXTENDED {
            return Err(DecodeError::Trailing { extra: extended.len() - MAX_EXTENDED });
        }
        reader.bytes(extended.len())?;
        Ok(ErrorResponse { code, data: header.param2, extended: extended.to_vec() })
    }
}
