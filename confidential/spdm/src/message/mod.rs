//! The messages of DSP0274, one file a pair of request and response.
//!
//! Each type is a message's fields; [`Codec`] turns it into bytes and back, strictly: a length that
//! does not fit, a byte too many or too few is an error. Reserved fields are written as zero and
//! ignored when read, as the specification has it: whoever reads them has them in the transcript.
//! Whether a well-formed message is acceptable now is the business of `requester` and `responder`.

use alloc::vec::Vec;

use crate::version::Version;
use crate::wire::{DecodeError, Reader};

pub mod algorithms;
pub mod capabilities;
pub mod certificate;
pub mod challenge;
pub mod chunk;
pub mod digests;
pub mod end_session;
pub mod error;
pub mod finish;
pub mod heartbeat;
pub mod key_exchange;
pub mod key_update;
pub mod measurements;
pub mod opaque;
pub mod respond_if_ready;
pub mod vendor;
pub mod version;

#[cfg(test)]
mod tests;

/// Request and response codes (DSP0274, tables "SPDM request codes" and "SPDM response codes").
pub mod code {
    #![allow(missing_docs, reason = "the names are the specification's own")]
    pub const DIGESTS: u8 = 0x01;
    pub const CERTIFICATE: u8 = 0x02;
    pub const CHALLENGE_AUTH: u8 = 0x03;
    pub const VERSION: u8 = 0x04;
    pub const CHUNK_SEND_ACK: u8 = 0x05;
    pub const CHUNK_RESPONSE: u8 = 0x06;
    pub const MEASUREMENTS: u8 = 0x60;
    pub const CAPABILITIES: u8 = 0x61;
    pub const ALGORITHMS: u8 = 0x63;
    pub const KEY_EXCHANGE_RSP: u8 = 0x64;
    pub const FINISH_RSP: u8 = 0x65;
    pub const HEARTBEAT_ACK: u8 = 0x68;
    pub const KEY_UPDATE_ACK: u8 = 0x69;
    pub const END_SESSION_ACK: u8 = 0x6c;
    pub const VENDOR_DEFINED_RESPONSE: u8 = 0x7e;
    pub const ERROR: u8 = 0x7f;
    pub const GET_DIGESTS: u8 = 0x81;
    pub const GET_CERTIFICATE: u8 = 0x82;
    pub const CHALLENGE: u8 = 0x83;
    pub const GET_VERSION: u8 = 0x84;
    pub const CHUNK_SEND: u8 = 0x85;
    pub const CHUNK_GET: u8 = 0x86;
    pub const GET_MEASUREMENTS: u8 = 0xe0;
    pub const GET_CAPABILITIES: u8 = 0xe1;
    pub const NEGOTIATE_ALGORITHMS: u8 = 0xe3;
    pub const KEY_EXCHANGE: u8 = 0xe4;
    pub const FINISH: u8 = 0xe5;
    pub const HEARTBEAT: u8 = 0xe8;
    pub const KEY_UPDATE: u8 = 0xe9;
    pub const END_SESSION: u8 = 0xec;
    pub const VENDOR_DEFINED_REQUEST: u8 = 0xfe;
    pub const RESPOND_IF_READY: u8 = 0xff;
}

/// The four bytes that open every message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Major and minor version, a nibble each.
    pub version: u8,
    /// One of [`code`].
    pub code: u8,
    /// First parameter; its meaning depends on the code.
    pub param1: u8,
    /// Second parameter; its meaning depends on the code.
    pub param2: u8,
}

impl Header {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Header, DecodeError> {
        let [version, code, param1, param2] = reader.array()?;
        Ok(Header { version, code, param1, param2 })
    }

    /// The header of these bytes.
    pub fn peek(bytes: &[u8]) -> Result<Header, DecodeError> {
        Header::read(&mut Reader::new(bytes))
    }
}

/// Starts a message.
pub(crate) fn open(version: Version, code: u8, param1: u8, param2: u8) -> Vec<u8> {
    alloc::vec![version as u8, code, param1, param2]
}

/// A message as bytes and back.
pub trait Codec: Sized {
    /// The message's code.
    const CODE: u8;
    /// What a reader must know besides the bytes: which optional fields were asked for.
    type Context: Copy;

    /// The message in the layout of this version.
    fn encode(&self, version: Version) -> Vec<u8>;

    /// The message behind a header whose version and code are right.
    #[doc(hidden)]
    fn read(
        reader: &mut Reader<'_>,
        header: Header,
        context: Self::Context,
    ) -> Result<Self, DecodeError>;
}

/// Makes a message of a type that says all by its code: a header whose parameters are reserved.
macro_rules! header_only {
    ($message:ident, $code:expr) => {
        impl $crate::message::Codec for $message {
            const CODE: u8 = $code;
            type Context = ();

            fn encode(&self, version: $crate::version::Version) -> alloc::vec::Vec<u8> {
                $crate::message::open(version, Self::CODE, 0, 0)
            }

            fn read(
                _: &mut $crate::wire::Reader<'_>,
                _: $crate::message::Header,
                (): (),
            ) -> Result<$message, $crate::wire::DecodeError> {
                Ok($message)
            }
        }
    };
}
use header_only;

/// The message in exactly these bytes.
pub fn decode<M: Codec>(
    bytes: &[u8],
    version: Version,
    context: M::Context,
) -> Result<M, DecodeError> {
    decode_padded(bytes, version, context, 1).map(|(message, _)| message)
}

/// The message in these bytes and the bytes that are the message: transports like PCIe DOE fill up
/// to whole dwords, and what they filled up with belongs in no transcript.
pub(crate) fn decode_padded<M: Codec>(
    bytes: &[u8],
    version: Version,
    context: M::Context,
    alignment: usize,
) -> Result<(M, &[u8]), DecodeError> {
    let mut reader = Reader::new(bytes);
    let header = Header::read(&mut reader)?;
    if header.version != version as u8 {
        return Err(DecodeError::Version { found: header.version });
    }
    if header.code != M::CODE {
        return Err(DecodeError::Code { found: header.code, expected: M::CODE });
    }
    let message = M::read(&mut reader, header, context)?;
    let length = bytes.len() - reader.rest().len();
    reader.finish(alignment)?;
    Ok((message, bytes.get(..length).unwrap_or(bytes)))
}
