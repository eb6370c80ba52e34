//! Reading and writing little-endian fields, with every length checked.
//!
//! What the fields mean, and which values they may have, is each message's own business.

use alloc::vec::Vec;

/// Why bytes are not the message that they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before the message does.
    #[error("Message ends {missing} bytes early; send it whole")]
    Truncated {
        /// How many bytes are missing for the field at hand.
        missing: usize,
    },
    /// The bytes go on behind the message.
    #[error("{extra} bytes follow the message; send it alone")]
    Trailing {
        /// How many bytes follow.
        extra: usize,
    },
    /// The transport has filled up a message with something else than zeros.
    #[error("Padding has value {found:#04x}; send zero")]
    Reserved {
        /// Its value.
        found: u8,
    },
    /// The message is of another version than the connection.
    #[error("Message has version {found:#04x}; use the negotiated one")]
    Version {
        /// The header's version.
        found: u8,
    },
    /// Another message than the one that is due.
    #[error("Message has code {found:#04x} where {expected:#04x} is due")]
    Code {
        /// The header's code.
        found: u8,
        /// The code that is due.
        expected: u8,
    },
    /// A field has a value which its specification does not allow.
    #[error("{field} has value {found:#x}, which its specification does not allow")]
    Value {
        /// The specification's name of the field.
        field: &'static str,
        /// The value.
        found: u64,
    },
}

/// A field's value is not allowed.
pub(crate) fn value(field: &'static str, found: impl Into<u64>) -> DecodeError {
    DecodeError::Value { field, found: found.into() }
}

/// Bytes, read from the front.
#[derive(Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    /// What is not read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (bytes, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or_else(|| DecodeError::Truncated { missing: count - self.rest.len() })?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (bytes, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or_else(|| DecodeError::Truncated { missing: N - self.rest.len() })?;
        self.rest = rest;
        Ok(*bytes)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u24(&mut self) -> Result<u32, DecodeError> {
        let [a, b, c] = self.array()?;
        Ok(u32::from_le_bytes([a, b, c, 0]))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    /// Reserved bytes, which a receiver ignores (DSP0274, "Reserved and unassigned values").
    pub(crate) fn skip(&mut self, count: usize) -> Result<(), DecodeError> {
        self.bytes(count).map(|_| ())
    }

    /// The end, behind which there are fewer than `alignment` bytes of padding, all zero.
    pub(crate) fn finish(self, alignment: usize) -> Result<(), DecodeError> {
        if self.rest.len() >= alignment.max(1) {
            return Err(DecodeError::Trailing { extra: self.rest.len() });
        }
        self.rest.iter().try_for_each(|byte| zero(*byte))
    }
}

/// A byte of padding.
fn zero(byte: u8) -> Result<(), DecodeError> {
    if byte == 0 { Ok(()) } else { Err(DecodeError::Reserved { found: byte }) }
}

/// A list's bytes with their length in front, 16 bits. The lengths that this crate writes are
/// bounded far below; one that is not is cut off, and the peer refuses the message.
pub(crate) fn put_u16_prefixed(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend(bytes.iter().take(usize::from(length)));
}
