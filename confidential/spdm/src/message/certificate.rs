//! GET_CERTIFICATE and CERTIFICATE: a slot's certificate chain, portion by portion.

use alloc::vec::Vec;

use super::{Codec, Header, code, open};
use crate::version::Version;
use crate::wire::{DecodeError, Reader, value, zero};

/// Asks for a portion of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetCertificate {
    /// 0 to 7.
    pub slot: u8,
    /// First byte of the portion.
    pub offset: u16,
    /// Most bytes of the portion.
    pub length: u16,
}

/// A portion of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The slot asked for.
    pub slot: u8,
    /// The bytes, no more than asked for.
    pub portion: Vec<u8>,
    /// Number of bytes of the chain behind the portion.
    pub remainder: u16,
}

/// A slot number in the low half of a byte, the high half reserved.
pub(super) fn slot(byte: u8) -> Result<u8, DecodeError> {
    if byte < 8 { Ok(byte) } else { Err(value("SlotID", byte)) }
}

impl Codec for GetCertificate {
    const CODE: u8 = code::GET_CERTIFICATE;
    type Context = ();

    fn encode(&self, version: Version) -> Vec<u8> {
        let mut out = open(version, Self::CODE, self.slot, 0);
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        out
    }

    fn read(reader: &mut Reader<'_>, header: Header, (): ()) -> Result<Self, DecodeError> {
        zero(header.param2)?;
        Ok(GetCertificate {
            slot: slot(header.param1)?,
            offset: reader.u16()?,
            length: reader.u16()?,
        })
    }
}

impl Codec for Certificate {
    const CODE: u8 = code::CERTIFICATE;
    type Context = ();

    fn encode(&self, version: Version) -> Vec<u8> {
        let mut out = open(version, Self::CODE, self.slot, 0);
        out.extend_from_slice(&(self.portion.len() as u16).to_le_bytes());
        out.extend_from_slice(&self.remainder.to_le_bytes());
        out.extend_from_slice(&self.portion);
        out
    }

    fn read(reader: &mut Reader<'_>, header: Header, (): ()) -> Result<Self, DecodeError> {
        zero(header.param2)?;
        let length = reader.u16()?;
        let remainder = reader.u16()?;
        let portion = reader.bytes(length.into())?.to_vec();
        Ok(Certificate { slot: slot(header.param1)?, portion, remainder })
    }
}
