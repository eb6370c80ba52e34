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
    /// The record names a session that does not exist (deprecated in version 1.2).
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
    /// The responder awaits the answer to a request of its own. Nobody here makes requests of the
    /// requester, so that only others say it.
    RequestInFlight = 0x08,
    /// The answer to a request of the responder's has the wrong code.
    InvalidResponseCode = 0x09,
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
    /// The response comes in chunks; its handle is the extended error data.
    LargeResponse = 0x0f,
    /// The message was lost, such as a chunk of it.
    MessageLost = 0x10,
    /// A policy forbids it.
    InvalidPolicy = 0x11,
    /// The version is not the negotiated one, or not supported.
    VersionMismatch = 0x41,
    /// The response will be ready later; when, and how to ask for it, is the extended error data.
    ResponseNotReady = 0x42,
    /// Start again with GET_VERSION.
    RequestResynch = 0x43,
    /// It was tried and failed.
    OperationFailed = 0x44,
    /// There is no request of the responder's.
    NoPendingRequests = 0x45,
    /// The vendor's own; whose it is, is the extended error data.
    VendorDefined = 0xff,
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
            InvalidResponseCode,
            SessionLimitExceeded,
            SessionRequired,
            ResetRequired,
            ResponseTooLarge,
            RequestTooLarge,
            LargeResponse,
            MessageLost,
            InvalidPolicy,
            VersionMismatch,
            ResponseNotReady,
            RequestResynch,
            OperationFailed,
            NoPendingRequests,
            VendorDefined,
        ]
        .into_iter()
        .find(|code| *code as u8 == byte)
    }

    /// What says the same in a version that may not have the code yet.
    fn in_version(self, version: Version) -> ErrorCode {
        match self {
            ErrorCode::SessionRequired if version <= Version::V1_1 => ErrorCode::UnexpectedRequest,
            ErrorCode::RequestTooLarge if version <= Version::V1_1 => ErrorCode::InvalidRequest,
            ErrorCode::ResponseTooLarge if version <= Version::V1_1 => ErrorCode::Unspecified,
            code => code,
        }
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

    pub(crate) fn large_response(handle: u8) -> ErrorResponse {
        ErrorResponse {
            extended: alloc::vec![handle],
            ..ErrorResponse::new(ErrorCode::LargeResponse)
        }
    }

    /// The ERROR as this version says it.
    pub(crate) fn in_version(self, version: Version) -> ErrorResponse {
        let code = self.code.in_version(version);
        if code == self.code { self } else { ErrorResponse::new(code) }
    }
}

/// Extended error data of [`ErrorCode::ResponseNotReady`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotReady {
    /// RDTExponent: the response will be ready in 2^n microseconds.
    pub exponent: u8,
    /// Code of the request that it is the response to.
    pub request: u8,
    /// To be given back in RESPOND_IF_READY.
    pub token: u8,
    /// RDTM: after so many times the first one it may be forgotten.
    pub multiplier: u8,
}

impl NotReady {
    /// What the ERROR says of its response.
    pub fn of(error: &ErrorResponse) -> Option<NotReady> {
        let [exponent, request, token, multiplier, ..] = *error.extended.as_slice() else {
            return None;
        };
        (error.code == ErrorCode::ResponseNotReady).then_some(NotReady {
            exponent,
            request,
            token,
            multiplier,
        })
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
