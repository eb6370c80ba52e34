//! CHUNK_SEND, CHUNK_SEND_ACK, CHUNK_GET and CHUNK_RESPONSE: messages that are too long for one
//! piece (from version 1.2 on).
//!
//! Layout only. Which chunk is due, and what becomes of them: [`transfer`](crate::transfer).

use alloc::vec::Vec;

use super::{Codec, Header, code, open};
use crate::version::Version;
use crate::wire::{DecodeError, Reader, value};

/// Attribute of a chunk: the last one.
const LAST_CHUNK: u8 = 1 << 0;
/// Attribute of CHUNK_SEND_ACK: the large request is refused before it is whole.
const EARLY_ERROR: u8 = 1 << 0;

/// A chunk of a large message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Whether it is the last one.
    pub last: bool,
    /// Which large message it is of.
    pub handle: u8,
    /// Counts from 0.
    pub sequence: u16,
    /// Bytes of the whole message; in the first chunk, and only there.
    pub message_size: Option<u32>,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A chunk of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkSend(pub Chunk);

/// A chunk of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkResponse(pub Chunk);

/// A chunk of a request was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkSendAck {
    /// Whether the large request is refused before it is whole.
    pub early_error: bool,
    /// The request's.
    pub handle: u8,
    /// The request's.
    pub sequence: u16,
    /// The response to the large request, after its last chunk; the ERROR, after an early error;
    /// empty otherwise.
    pub response: Vec<u8>,
}

/// Asks for a chunk of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkGet {
    /// As ERROR said.
    pub handle: u8,
    /// Which chunk.
    pub sequence: u16,
}

impl Chunk {
    /// Bytes in front of the chunk's own, in the first one and in the others.
    pub(crate) const OVERHEAD: (usize, usize) = (16, 12);

    fn encode(&self, version: Version, code: u8) -> Vec<u8> {
        let mut out = open(version, code, if self.last { LAST_CHUNK } else { 0 }, self.handle);
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&(self.bytes.len() as u32).to_le_bytes());
        self.message_size.iter().for_each(|size| out.extend_from_slice(&size.to_le_bytes()));
        out.extend_from_slice(&self.bytes);
        out
    }

    fn read(reader: &mut Reader<'_>, header: Header) -> Result<Chunk, DecodeError> {
        let sequence = reader.u16()?;
        reader.skip(2)?;
        let size = reader.u32()?;
        if size == 0 {
            return Err(value("ChunkSize", size));
        }
        let message_size = if sequence == 0 { Some(reader.u32()?) } else { None };
        Ok(Chunk {
            last: header.param1 & LAST_CHUNK != 0,
            handle: header.param2,
            sequence,
            message_size,
            bytes: reader.bytes(size as usize)?.to_vec(),
        })
    }
}

impl Codec for ChunkSend {
    const CODE: u8 = code::CHUNK_SEND;
    type Context = ();

    fn encode(&self, version: Version) -> Vec<u8> {
        self.0.encode(version, Self::CODE)
    }

    fn read(reader: &mut Reader<'_>, header: Header, (): ()) -> Result<Self, DecodeError> {
        Chunk::read(reader, header).map(ChunkSend)
    }
}

impl Codec for ChunkResponse {
    const CODE: u8 = code::CHUNK_RESPONSE;
    type Context = ();

    fn encode(&self, version: Version) -> Vec<u8> {
        self.0.encode(version, Self::CODE)
    }

    fn read(reader: &mut Reader<'_>, header: Header, (): ()) -> Result<Self, DecodeError> {
        Chunk::read(reader, header).map(ChunkResponse)
    }
}

impl ChunkSendAck {
    /// Bytes in front of the response.
    pub(crate) const OVERHEAD: usize = 6;
}

impl Codec for ChunkSendAck {
    const CODE: u8 = code::CHUNK_SEND_ACK;
    type Context = ();

    fn encode(&self, version: Version) -> Vec<u8> {
        let attributes = if self.early_error { EARLY_ERROR } else { 0 };
        let mut out = open(version, Self::CODE, attributes, self.handle);
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.response);
        out
    }

    fn read(reader: &mut Reader<'_>, header: Header, (): ()) -> Result<Self, DecodeError> {
        let sequence = reader.u16()?;
        let response = reader.rest();
        reader.bytes(response.len())?;
        Ok(ChunkSendAck {
            early_error: header.param1 & EARLY_ERROR != 0,
            handle: header.param2,
            sequence,
            response: response.to_vec(),
        })
    }
}

impl Codec for ChunkGet {
    const CODE: u8 = code::CHUNK_GET;
    type Context = ();

    fn encode(&self, version: Version) -> Vec<u8> {
        let mut out = open(version, Self::CODE, 0, self.handle);
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out
    }

    fn read(reader: &mut Reader<'_>, header: Header, (): ()) -> Result<ChunkGet, DecodeError> {
        Ok(ChunkGet { handle: header.param2, sequence: reader.u16()? })
    }
}
