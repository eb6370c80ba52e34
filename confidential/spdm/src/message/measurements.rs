//! GET_MEASUREMENTS and MEASUREMENTS as messages. What the blocks say and what the signature is
//! worth: [`measurements`](crate::measurements).

use alloc::vec::Vec;

use super::certificate::slot_of_half;
use super::key_exchange::{SIGNATURE_SIZE, read_opaque};
use super::{Codec, Header, code, open};
use crate::measurements::Block;
use crate::version::Version;
use crate::wire::{DecodeError, Reader, put_u16_prefixed, value};

/// Attribute: the response shall be signed.
const SIGNATURE_REQUESTED: u8 = 1 << 0;
/// Attribute: raw bits rather than digests, where the responder has both.
const RAW_BIT_STREAM_REQUESTED: u8 = 1 << 1;

/// Measurements have changed since the first of the requests that are signed together.
pub const CONTENT_CHANGED: u8 = 1;

/// Bytes of the requester's context, which the responder gives back (from version 1.3 on).
pub const CONTEXT_SIZE: usize = 8;

/// Which measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Only how many there are.
    Count,
    /// The one with this index, 1 to 254.
    One(u8),
    /// All.
    All,
}

impl Operation {
    fn from_byte(byte: u8) -> Operation {
        match byte {
            0 => Operation::Count,
            0xff => Operation::All,
            index => Operation::One(index),
        }
    }

    fn byte(self) -> u8 {
        match self {
            Operation::Count => 0,
            Operation::One(index) => index,
            Operation::All => 0xff,
        }
    }
}

/// What a signed response is asked for with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignatureRequest {
    /// Makes the signature fresh.
    pub nonce: [u8; 32],
    /// The slot whose key signs.
    pub slot: u8,
}

/// Asks for measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetMeasurements {
    /// Which ones.
    pub operation: Operation,
    /// Whether raw bits are preferred to digests.
    pub raw: bool,
    /// Whether, and with what, the response is signed.
    pub signature: Option<SignatureRequest>,
    /// The requester's own, from version 1.3 on.
    pub context: [u8; CONTEXT_SIZE],
}

/// The measurements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasurementsResponse {
    /// Number of measurements there are, in answer to [`Operation::Count`]; 0 otherwise.
    pub count: u8,
    /// The slot whose key signs.
    pub slot: u8,
    /// Whether the measurements have changed since the first of the requests that are signed
    /// together, two bits: 0 for not looked, [`CONTENT_CHANGED`], 2 for not changed (from version
    /// 1.2 on).
    pub content_changed: u8,
    /// The blocks asked for.
    pub blocks: Vec<Block>,
    /// Random.
    pub nonce: [u8; 32],
    /// The responder's own.
    pub opaque: Vec<u8>,
    /// The request's, from version 1.3 on.
    pub context: [u8; CONTEXT_SIZE],
    /// Over everything before, see [`transcript`](crate::transcript).
    pub signature: Option<[u8; SIGNATURE_SIZE]>,
}

/// Appends a requester's context, where the version has one.
pub(super) fn put_context(out: &mut Vec<u8>, version: Version, context: &[u8; CONTEXT_SIZE]) {
    if version >= Version::V1_3 {
        out.extend_from_slice(context);
    }
}

/// A requester's context; zeros where the version has none.
pub(super) fn read_context(
    reader: &mut Reader<'_>,
    header: Header,
) -> Result<[u8; CONTEXT_SIZE], DecodeError> {
    if header.version >= Version::V1_3 as u8 { reader.array() } else { Ok([0; CONTEXT_SIZE]) }
}

impl Codec for GetMeasurements {
    const CODE: u8 = code::GET_MEASUREMENTS;
    type Context = ();

    fn encode(&self, version: Version) -> Vec<u8> {
        let signed = if self.signature.is_some() { SIGNATURE_REQUESTED } else { 0 };
        let raw = if self.raw { RAW_BIT_STREAM_REQUESTED } else { 0 };
        let mut out = open(version, Self::CODE, signed | raw, self.operation.byte());
        if let Some(signature) = &self.signature {
            out.extend_from_slice(&signature.nonce);
            out.push(signature.slot);
        }
        put_context(&mut out, version, &self.context);
        out
    }

    fn read(reader: &mut Reader<'_>, header: Header, (): ()) -> Result<Self, DecodeError> {
        let attributes = header.param1;
        let signature = if attributes & SIGNATURE_REQUESTED != 0 {
            Some(SignatureRequest { nonce: reader.array()?, slot: slot_of_half(reader.u8()?)? })
        } else {
            None
        };
        Ok(GetMeasurements {
            operation: Operation::from_byte(header.param2),
            raw: attributes & RAW_BIT_STREAM_REQUESTED != 0,
            signature,
            context: read_context(reader, header)?,
        })
    }
}

impl Codec for MeasurementsResponse {
    const CODE: u8 = code::MEASUREMENTS;
    /// Whether a signature was asked for.
    type Context = bool;

    fn encode(&self, version: Version) -> Vec<u8> {
        let changed = if version >= Version::V1_2 { self.content_changed & 3 } else { 0 };
        let slot = self.slot | changed << 4;
        let mut out = open(version, Self::CODE, self.count, slot);
        out.push(self.blocks.len() as u8);
        let mut record = Vec::new();
        self.blocks.iter().for_each(|block| block.put(&mut record));
        let [a, b, c, _] = (record.len() as u32).to_le_bytes();
        out.extend_from_slice(&[a, b, c]);
        out.extend_from_slice(&record);
        out.extend_from_slice(&self.nonce);
        put_u16_prefixed(&mut out, &self.opaque);
        put_context(&mut out, version, &self.context);
        self.signature.iter().for_each(|signature| out.extend_from_slice(signature));
        out
    }

    fn read(reader: &mut Reader<'_>, header: Header, signed: bool) -> Result<Self, DecodeError> {
        let number = reader.u8()?;
        let length = reader.u24()?;
        let mut record = Reader::new(reader.bytes(length as usize)?);
        let mut blocks: Vec<Block> = Vec::new();
        for _ in 0..number {
            let block = Block::read(&mut record)?;
            // Two blocks of one index would let a reader choose which one to believe.
            if blocks.iter().any(|other| other.index == block.index) {
                return Err(value("Index", block.index));
            }
            blocks.push(block);
        }
        record.finish(1)?;
        let nonce = reader.array()?;
        let opaque = read_opaque(reader)?;
        let context = read_context(reader, header)?;
        let looked = header.version >= Version::V1_2 as u8;
        Ok(MeasurementsResponse {
            count: header.param1,
            slot: slot_of_half(header.param2)?,
            content_changed: if looked { header.param2 >> 4 & 3 } else { 0 },
            blocks,
            nonce,
            opaque,
            context,
            signature: if signed { Some(reader.array()?) } else { None },
        })
    }
}
