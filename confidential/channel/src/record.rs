//! Sealing and opening of records.
//!
//! A record is a ciphertext and a tag. The tag binds the bytes and everything that says what they
//! are for: channel, direction, generation, sequence number, and the caller's [`Binding`]. Both
//! ends know all of these without being told; nothing that arrives is believed before the tag is
//! right. On any failure the key is wiped and the end is dead: an attacker has one guess in a
//! session, and nobody sends on a channel whose ends have come apart.

use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::inout::InOutBuf;
use zeroize::Zeroize;

use crate::schedule::Schedule;
use crate::sequence::{Limits, MAX_RECORD_LENGTH, Sequence, iv};
use crate::{Direction, ExportMasterSecret};

/// Bytes of a tag.
pub const TAG_SIZE: usize = 16;

/// What the tag binds besides the bytes: the fields of the descriptor that carries the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Where in HBM the bytes go to or come from.
    pub hbm_address: u64,
    /// Number of bytes copied or carried. Need not be the record's own length: a request to copy
    /// out asks for bytes and carries none.
    pub length: u32,
    /// What became of a request.
    pub outcome: u32,
}

/// What the sealer adds to a ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Number of the record on its channel and direction, from 1.
    pub sequence: u64,
    /// AES-GCM tag.
    pub tag: [u8; TAG_SIZE],
}

/// Why a record was not sealed or opened. Whatever the reason, that end of the channel is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The record is not the one that was sealed for this place, or was changed on the way.
    #[error("Record {sequence} is not authentic; establish a new session")]
    Forged {
        /// Number of the record.
        sequence: u64,
    },
    /// Another record than the next one: a replay, a gap, or records that changed places.
    #[error("Record {found} arrived where {expected} is next; establish a new session")]
    OutOfSequence {
        /// The only acceptable number.
        expected: u64,
        /// The number that arrived.
        found: u64,
    },
    /// The channel has sealed all records that its keys may.
    #[error("No key may seal record {sequence}; establish a new session")]
    Exhausted {
        /// Number of the record that is one too many.
        sequence: u64,
    },
    /// More bytes than a record may have.
    #[error("A record of {length} bytes is longer than {MAX_RECORD_LENGTH}; split it")]
    TooLong {
        /// Number of bytes.
        length: usize,
    },
    /// Input and output buffers of different lengths.
    #[error("{plaintext} bytes do not fit a buffer of {ciphertext}; make both the same length")]
    BufferLength {
        /// Bytes to seal.
        plaintext: usize,
        /// Bytes of the buffer for the ciphertext.
        ciphertext: usize,
    },
    /// HKDF refused a length, or an earlier generation was asked for: a fault of this crate.
    #[error("The key schedule cannot give this key; report this as a fault of ravelin-channel")]
    KeySchedule,
    /// An earlier failure has wiped the key.
    #[error("The channel is dead after an earlier failure; establish a new session")]
    Dead,
}

/// The end that seals.
pub struct Sealer(End);

/// The end that opens.
pub struct Opener(End);

impl Sealer {
    /// The sealing end of a channel and direction.
    pub fn new(master: &ExportMasterSecret, channel: u32, direction: Direction) -> Sealer {
        Sealer(End::new(master, channel, direction, Limits::STANDARD))
    }

    /// Number of the next record, from 1.
    pub fn sequence(&self) -> u64 {
        self.0.sequence.next()
    }

    /// Whether an earlier failure has wiped the key.
    pub fn is_dead(&self) -> bool {
        self.0.is_dead()
    }

    /// Seals `plaintext` into `ciphertext`, a private buffer of the same length: the cipher reads
    /// its output again for the tag, and must find there what it wrote.
    pub fn seal(
        &mut self,
        binding: &Binding,
        plaintext: &[u8],
        ciphertext: &mut [u8],
    ) -> Result<Sealed, Error> {
        let lengths =
            Error::BufferLength { plaintext: plaintext.len(), ciphertext: ciphertext.len() };
        match InOutBuf::new(plaintext, ciphertext) {
            Ok(buffer) => self.0.seal(binding, buffer),
            Err(_) => Err(self.0.die(lengths)),
        }
    }

    /// Seals a private buffer in place. On failure the buffer is wiped.
    pub fn seal_in_place(&mut self, binding: &Binding, buffer: &mut [u8]) -> Result<Sealed, Error> {
        let sealed = self.0.seal(binding, InOutBuf::from(&mut *buffer));
        if sealed.is_err() {
            buffer.zeroize();
        }
        sealed
    }
}

impl Opener {
    /// The opening end of a channel and direction.
    pub fn new(master: &ExportMasterSecret, channel: u32, direction: Direction) -> Opener {
        Opener(End::new(master, channel, direction, Limits::STANDARD))
    }

    /// Number of the only record that is acceptable next, from 1.
    pub fn sequence(&self) -> u64 {
        self.0.sequence.next()
    }

    /// Whether an earlier failure has wiped the key.
    pub fn is_dead(&self) -> bool {
        self.0.is_dead()
    }

    /// Opens a record in place, in a private copy of what arrived: the cipher reads its input once
    /// for the tag and once to decrypt. On failure the buffer is wiped.
    pub fn open_in_place(
        &mut self,
        sequence: u64,
        binding: &Binding,
        tag: &[u8; TAG_SIZE],
        buffer: &mut [u8],
    ) -> Result<(), Error> {
        let opened = self.0.open(sequence, binding, tag, InOutBuf::from(&mut *buffer));
        if opened.is_err() {
            buffer.zeroize();
        }
        opened
    }
}

/// What both ends are made of.
struct End {
    channel: u32,
    direction: Direction,
    limits: Limits,
    sequence: Sequence,
    state: State,
}

#[expect(clippy::large_enum_variant, reason = "there is no allocator to box the keys with")]
enum State {
    Live(Schedule),
    Dead,
}

impl End {
    fn new(master: &ExportMasterSecret, channel: u32, direction: Direction, limits: Limits) -> End {
        // HKDF refuses only lengths that the schedule never asks for; were it to, the end is dead.
        let state = Schedule::new(master, channel, direction).map_or(State::Dead, State::Live);
        End { channel, direction, limits, sequence: Sequence::new(), state }
    }

    fn is_dead(&self) -> bool {
        matches!(self.state, State::Dead)
    }

    /// Wipes the key.
    fn die(&mut self, error: Error) -> Error {
        if self.is_dead() {
            return Error::Dead;
        }
        self.state = State::Dead;
        error
    }

    fn seal(&mut self, binding: &Binding, buffer: InOutBuf<'_, '_, u8>) -> Result<Sealed, Error> {
        self.try_seal(binding, buffer).map_err(|error| self.die(error))
    }

    fn try_seal(
        &mut self,
        binding: &Binding,
        buffer: InOutBuf<'_, '_, u8>,
    ) -> Result<Sealed, Error> {
        let State::Live(schedule) = &mut self.state else { return Err(Error::Dead) };
        let length = buffer.len();
        let sequence = self.sequence.next();
        let generation = admit(&self.limits, sequence, length)?;
        let key = schedule.key(generation)?;
        let bound = associated_data(self.channel, self.direction, generation, sequence, binding);
        let iv = iv(&key.fixed_field, sequence);
        let tag = key
            .cipher
            .encrypt_inout_detached(&iv.into(), &bound, buffer)
            .map_err(|_| Error::TooLong { length })?;
        self.sequence.advance();
        Ok(Sealed { sequence, tag: tag.into() })
    }

    fn open(
        &mut self,
        sequence: u64,
        binding: &Binding,
        tag: &[u8; TAG_SIZE],
        buffer: InOutBuf<'_, '_, u8>,
    ) -> Result<(), Error> {
        self.try_open(sequence, binding, tag, buffer).map_err(|error| self.die(error))
    }

    fn try_open(
        &mut self,
        sequence: u64,
        binding: &Binding,
        tag: &[u8; TAG_SIZE],
        buffer: InOutBuf<'_, '_, u8>,
    ) -> Result<(), Error> {
        let State::Live(schedule) = &mut self.state else { return Err(Error::Dead) };
        self.sequence.expect(sequence)?;
        let generation = admit(&self.limits, sequence, buffer.len())?;
        let key = schedule.key(generation)?;
        let bound = associated_data(self.channel, self.direction, generation, sequence, binding);
        let iv = iv(&key.fixed_field, sequence);
        key.cipher
            .decrypt_inout_detached(&iv.into(), &bound, buffer, tag.into())
            .map_err(|_| Error::Forged { sequence })?;
        self.sequence.advance();
        Ok(())
    }
}

/// The generation for a record, where limits allow it at all.
fn admit(limits: &Limits, sequence: u64, length: usize) -> Result<u32, Error> {
    if length > MAX_RECORD_LENGTH {
        return Err(Error::TooLong { length });
    }
    limits.generation(sequence)
}

/// Everything that the tag binds besides the bytes, in fields of fixed width.
fn associated_data(
    channel: u32,
    direction: Direction,
    generation: u32,
    sequence: u64,
    binding: &Binding,
) -> [u8; 36] {
    let mut bytes = [0; 36];
    bytes[0..4].copy_from_slice(&channel.to_le_bytes());
    bytes[4..8].copy_from_slice(&(direction as u32).to_le_bytes());
    bytes[8..12].copy_from_slice(&generation.to_le_bytes());
    bytes[12..20].copy_from_slice(&sequence.to_le_bytes());
    bytes[20..28].copy_from_slice(&binding.hbm_address.to_le_bytes());
    bytes[28..32].copy_from_slice(&binding.length.to_le_bytes());
    bytes[32..36].copy_from_slice(&binding.outcome.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests;
