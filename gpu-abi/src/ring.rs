//! The ring that an engine and the driver share in guest memory.
//!
//! One shape for all engines. An entry is a *request* descriptor, a *response* descriptor, and a
//! slot for the bytes of either. Entry `n % entries` carries sequence number `n`, counted from 1
//! for each engine and session. The driver writes slot and request; the engine takes every request
//! whose sequence number is the next one, obeys it, writes slot and response.
//!
//! Every descriptor, with or without bytes, carries an AES-GCM tag over its own fields, so neither
//! side obeys or believes anything in this memory that the other one did not write for this place.
//! In plain mode the tag is zero and the same layout carries plaintext.
//!
//! | engine | request bytes | response bytes |
//! | --- | --- | --- |
//! | `Command` | a [`Command`](crate::command::Command) | a [`Reply`](crate::command::Reply) |
//! | `CopyIn` | what goes to `hbm_address` | none |
//! | `CopyOut` | none | what stands at `hbm_address` |

/// Bytes of a [`Descriptor`] in memory.
pub const DESCRIPTOR_SIZE: usize = 64;
/// Bytes of an entry's two descriptors: request, then response.
pub const ENTRY_SIZE: usize = 2 * DESCRIPTOR_SIZE;
/// Most entries of a ring.
pub const MAX_ENTRIES: u32 = 256;
/// Most bytes of a slot.
pub const MAX_SLOT_SIZE: u32 = 1 << 20;
/// Bytes of an AES-GCM tag.
pub const TAG_SIZE: usize = 16;

/// What became of a request; bound into the response's tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Outcome {
    /// Done. Requests carry it too, for want of anything better to say.
    Done = 0,
    /// The request was authentic but asks for an HBM range that its engine may not touch.
    OutOfRange = 1,
    /// The request was authentic but its bytes are no command.
    Malformed = 2,
}

impl Outcome {
    /// The outcome of this value.
    pub fn from_value(value: u32) -> Option<Outcome> {
        Some(match value {
            0 => Outcome::Done,
            1 => Outcome::OutOfRange,
            2 => Outcome::Malformed,
            _ => return None,
        })
    }
}

/// A request or a response: 64 bytes, little-endian.
///
/// | bytes | field |
/// | --- | --- |
/// | 0..8 | `sequence` |
/// | 8..16 | `hbm_address` |
/// | 16..20 | `length` |
/// | 20..24 | `engine` |
/// | 24..28 | `outcome` |
/// | 28..32 | zero |
/// | 32..48 | `tag` |
/// | 48..64 | zero |
///
/// The sequence number is written last and read first: it says that the rest is there. A CopyOut
/// request's `length` is the number of bytes asked for, though the request itself carries none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Number of the request in its engine's session, from 1. Zero is an entry never used.
    pub sequence: u64,
    /// Where in HBM the bytes go to or come from. Zero where it has no meaning.
    pub hbm_address: u64,
    /// Number of bytes copied or carried.
    pub length: u32,
    /// Number of the engine that the ring belongs to.
    pub engine: u32,
    /// An [`Outcome`], raw.
    pub outcome: u32,
    /// AES-GCM tag over the fields above and the bytes that the descriptor carries.
    pub tag: [u8; TAG_SIZE],
}

impl Descriptor {
    /// The descriptor as it stands in memory.
    pub fn encode(&self) -> [u8; DESCRIPTOR_SIZE] {
        let mut bytes = [0; DESCRIPTOR_SIZE];
        bytes[0..8].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.hbm_address.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.length.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.engine.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.outcome.to_le_bytes());
        bytes[32..48].copy_from_slice(&self.tag);
        bytes
    }

    /// The descriptor in these bytes, which the caller has copied out of shared memory. `None`
    /// where bytes that must be zero are not: nothing in shared memory stays unchecked.
    pub fn decode(bytes: &[u8; DESCRIPTOR_SIZE]) -> Option<Descriptor> {
        if bytes[28..32].iter().chain(&bytes[48..64]).any(|byte| *byte != 0) {
            return None;
        }
        Some(Descriptor {
            sequence: u64_at(bytes, 0),
            hbm_address: u64_at(bytes, 8),
            length: u32_at(bytes, 16),
            engine: u32_at(bytes, 20),
            outcome: u32_at(bytes, 24),
            tag: core::array::from_fn(|index| bytes[32 + index]),
        })
    }
}

/// Offset of an entry's request descriptor from the ring's address.
pub fn request_offset(sequence: u64, entries: u32) -> u64 {
    (sequence % u64::from(entries)) * ENTRY_SIZE as u64
}

/// Offset of an entry's response descriptor from the ring's address.
pub fn response_offset(sequence: u64, entries: u32) -> u64 {
    request_offset(sequence, entries) + DESCRIPTOR_SIZE as u64
}

/// Offset of an entry's slot from the first slot's address.
pub fn slot_offset(sequence: u64, entries: u32, slot_size: u32) -> u64 {
    (sequence % u64::from(entries)) * u64::from(slot_size)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(core::array::from_fn(|index| bytes[at + index]))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(core::array::from_fn(|index| bytes[at + index]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: Descriptor = Descriptor {
        sequence: 0x0102_0304_0506_0708,
        hbm_address: 0x1112_1314_1516_1718,
        length: 0x2122_2324,
        engine: 2,
        outcome: 1,
        tag: *b"0123456789abcdef",
    };

    #[test]
    fn a_descriptor_survives_memory() {
        assert_eq!(Descriptor::decode(&EXAMPLE.encode()), Some(EXAMPLE));
    }

    #[test]
    fn every_byte_of_a_descriptor_counts() {
        for at in 0..DESCRIPTOR_SIZE {
            let mut bytes = EXAMPLE.encode();
            bytes[at] ^= 1;
            assert_ne!(Descriptor::decode(&bytes), Some(EXAMPLE), "byte {at} is not looked at");
        }
    }
}
