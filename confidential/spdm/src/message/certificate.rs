//! GET_CERTIFICATE and CERTIFICATE: a slot's certificate chain, portion by portion.

use alloc::vec::Vec;

use super::{Codec, Header, code, open};
use crate::version::Version;
use crate::wire::{DecodeError, Reader, value};

/// Asks for a portion of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetCertificate {
    /// 0 to 7.
    pub slot: u8,
    /// Ask how many bytes the slot holds at most, and for no portion (from version 1.3 on).
    pub slot_size: bool,
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

/// Attribute: the slot's size is asked for.
const SLOT_SIZE_REQUESTED: u8 = 1 << 0;

/// A slot number that fills a byte.
pub(super) fn slot(byte: u8) -> Result<u8, DecodeError> {
    if byte < 8 { Ok(byte) } else { Err(value("SlotID", byte)) }
}

/// A slot number in the low half of a byte, the high half reserved.
pub(super) fn slot_of_half(byte: u8) -> Result<u8, DecodeError> {
    slot(byte & 0xf)
}

impl Codec for GetCertificate {
    const CODE: u8 = code::GET_CERTIFICATE;
    type Context = ();

    fn encode(&self, version: Version) -> Vec<u8> {
        let attributes = if self.slot_size { SLOT_SIZE_REQUESTED } else { 0 };
        let mut out = open(version, Self::CODE, self.slot, attributes);
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        out
    }

    fn read(reader: &mut Reader<'_>, header: Header, (): ()) -> Result<Self, DecodeError> {
        let attributes = if header.version >= Version::V1_3 as u8 { header.param2 } else { 0 };
        Ok(GetCertificate {
            slot: slot_of_half(header.param1)?,
            slot_size: attributes & SLOT_SIZE_REQUESTED != 0,
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
        let length = reader.u16()?;
        let remainder = reader.u16()?;
        let portion = reader.bytes(length.into())?.to_vec();
        Ok(Certificate { slot: slot_of_half(header.param1)?, portion, remainder })
    }
}
