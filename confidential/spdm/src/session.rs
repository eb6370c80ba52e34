//! Secured messages (DSP0277): the records of a session.
//!
//! A record is the session's id, a sequence number as far as the transport transmits it, the length
//! of the rest, and the rest: the message with its length, encrypted, and a tag. All that is in
//! clear is bound by the tag. Sequence numbers count from zero for each key and direction, so a
//! record that is repeated, missing or out of place does not decrypt.
//!
//! What goes on inside a session is the business of `requester` and `responder`; that a session
//! whose record fails is over, too.

use alloc::vec::Vec;

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};
use zeroize::Zeroizing;

use crate::key_schedule::DirectionKeys;
use crate::transport::Framing;
use crate::wire::{DecodeError, Reader};

const TAG_SIZE: usize = 16;

/// Records under one key: far above what a session's control messages need, and as many as NIST SP
/// 800-38D allows a key of any kind.
const MAX_SEQUENCE: u64 = 1 << 32;

/// Why a record is not sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The record's framing is malformed.
    #[error("Record is malformed")]
    Malformed(#[from] DecodeError),
    /// The record names another session.
    #[error("Record is of session {found:#010x}, which does not exist")]
    UnknownSession {
        /// The record's session id.
        found: u32,
    },
    /// The record is not the next one that the peer has sealed.
    #[error("Record does not decrypt; establish a new session")]
    Forged,
    /// The record carries no SPDM message, but another one that the transport knows.
    #[error("Record carries a message of type {found:#04x}, which is not SPDM's")]
    OtherType {
        /// Its type.
        found: u8,
    },
    /// The message does not fit a record.
    #[error("Message of {length} bytes does not fit a record; shorten it")]
    TooLong {
        /// Bytes of the message.
        length: usize,
    },
    /// The key has sealed all it may.
    #[error("The session's key is used up; establish a new session")]
    Exhausted,
}

/// A session's two directions, seen from one end.
pub(crate) struct SecuredSession {
    id: u32,
    framing: Framing,
    sending: RecordKeys,
    receiving: RecordKeys,
    /// The peer's last keys, until it has proved that it has the new ones.
    superseded: Option<RecordKeys>,
}

/// Which of the peer's keys a record is under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Under {
    /// The keys that are in force.
    Current,
    /// The last ones, where the peer has not proved yet that it has the new ones.
    Superseded,
}

struct RecordKeys {
    cipher: Aes256Gcm,
    iv: Zeroizing<[u8; 12]>,
    sequence: u64,
}

impl SecuredSession {
    pub(crate) fn new(
        id: u32,
        framing: Framing,
        sending: &DirectionKeys,
        receiving: &DirectionKeys,
    ) -> SecuredSession {
        SecuredSession {
            id,
            framing,
            sending: RecordKeys::new(sending),
            receiving: RecordKeys::new(receiving),
            superseded: None,
        }
    }

    /// From here on records are sealed with other keys.
    pub(crate) fn update_sending(&mut self, keys: &DirectionKeys) {
        self.sending = RecordKeys::new(keys);
    }

    /// The peer will use other keys. Until [`SecuredSession::forget_superseded`], it may not have
    /// begun to.
    pub(crate) fn update_receiving(&mut self, keys: &DirectionKeys) {
        self.superseded = Some(core::mem::replace(&mut self.receiving, RecordKeys::new(keys)));
    }

    /// The peer has used its new keys.
    pub(crate) fn forget_superseded(&mut self) {
        self.superseded = None;
    }

    /// The peer will not use new keys after all.
    pub(crate) fn reinstate_superseded(&mut self) {
        if let Some(keys) = self.superseded.take() {
            self.receiving = keys;
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// The next phase's session: other keys, sequence numbers from zero.
    pub(crate) fn with_keys(
        &self,
        sending: &DirectionKeys,
        receiving: &DirectionKeys,
    ) -> SecuredSession {
        SecuredSession::new(self.id, self.framing, sending, receiving)
    }

    /// The record that carries a message.
    pub(crate) fn seal(&mut self, message: &[u8]) -> Result<Vec<u8>, SessionError> {
        let too_long = || SessionError::TooLong { length: message.len() };
        let inner_type = self.framing.inner_type;
        let data_length = usize::from(inner_type.is_some()) + message.len();
        let length = u16::try_from(2 + data_length + TAG_SIZE).map_err(|_| too_long())?;
        let data_length = u16::try_from(data_length).map_err(|_| too_long())?;
        let sequence = self.sending.next()?;

        let mut record = self.id.to_le_bytes().to_vec();
        record.extend(sequence.to_le_bytes().iter().take(self.framing.sequence_size));
        record.extend_from_slice(&length.to_le_bytes());
        let mut body = Vec::with_capacity(length.into());
        body.extend_from_slice(&data_length.to_le_bytes());
        body.extend(inner_type);
        body.extend_from_slice(message);

        let nonce = self.sending.nonce(sequence);
        let tag = self
            .sending
            .cipher
            .encrypt_inout_detached(&nonce.into(), &record, body.as_mut_slice().into())
            .map_err(|_| too_long())?;
        record.extend_from_slice(&body);
        record.extend_from_slice(&tag);
        Ok(record)
    }

    /// The message in a record, which must be the next one.
    pub(crate) fn open(&mut self, record: &[u8]) -> Result<Zeroizing<Vec<u8>>, SessionError> {
        self.receiving.open(self.id, self.framing, record)
    }

    /// The message in a record, which must be the next one under either of the peer's keys.
    pub(crate) fn open_either(
        &mut self,
        record: &[u8],
    ) -> Result<(Zeroizing<Vec<u8>>, Under), SessionError> {
        let Some(superseded) = &mut self.superseded else {
            return Ok((self.open(record)?, Under::Current));
        };
        let sequence = self.receiving.sequence;
        match self.receiving.open(self.id, self.framing, record) {
            Ok(message) => Ok((message, Under::Current)),
            Err(SessionError::Forged) => {
                let message = superseded.open(self.id, self.framing, record)?;
                // The record was another key's, and no try at this one.
                self.receiving.sequence = sequence;
                Ok((message, Under::Superseded))
            }
            Err(error) => Err(error),
        }
    }
}

impl RecordKeys {
    fn new(keys: &DirectionKeys) -> RecordKeys {
        RecordKeys {
            cipher: Aes256Gcm::new((&keys.key).into()),
            iv: Zeroizing::new(keys.iv),
            sequence: 0,
        }
    }

    /// Takes a sequence number, for good: the record may fail, the number is not used again.
    fn next(&mut self) -> Result<u64, SessionError> {
        let sequence = self.sequence;
        if sequence >= MAX_SEQUENCE {
            return Err(SessionError::Exhausted);
        }
        self.sequence += 1;
        Ok(sequence)
    }

    fn open(
        &mut self,
        id: u32,
        framing: Framing,
        record: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SessionError> {
        let mut reader = Reader::new(record);
        let found = reader.u32()?;
        if found != id {
            return Err(SessionError::UnknownSession { found });
        }
        let transmitted = reader.bytes(framing.sequence_size)?;
        let length = reader.u16()?;
        let header_size = record.len() - reader.rest().len();
        let mut rest = Reader::new(reader.bytes(length.into())?);
        reader.finish(framing.alignment)?;
        let body_size = rest
            .rest()
            .len()
            .checked_sub(TAG_SIZE)
            .ok_or_else(|| DecodeError::Truncated { missing: TAG_SIZE - rest.rest().len() })?;
        let mut body = Zeroizing::new(rest.bytes(body_size)?.to_vec());
        let tag: [u8; TAG_SIZE] = rest.array()?;

        let sequence = self.sequence;
        if sequence.to_le_bytes().get(..transmitted.len()) != Some(transmitted) {
            return Err(SessionError::Forged);
        }
        self.next()?;
        let header = record.get(..header_size).unwrap_or_default();
        let nonce = self.nonce(sequence);
        self.cipher
            .decrypt_inout_detached(&nonce.into(), header, body.as_mut_slice().into(), &tag.into())
            .map_err(|_| SessionError::Forged)?;

        message_in(&body, framing.inner_type)
    }

    /// The IV with the sequence number, little-endian, exclusive-ored into its first bytes.
    fn nonce(&self, sequence: u64) -> [u8; 12] {
        let mut nonce = *self.iv;
        nonce.iter_mut().zip(sequence.to_le_bytes()).for_each(|(byte, number)| *byte ^= number);
        nonce
    }
}

/// The message in a record's plaintext. Random bytes may follow it, to hide its length (DSP0277,
/// "Random Data"): the tag has vouched for them, and nobody reads them.
fn message_in(body: &[u8], inner_type: Option<u8>) -> Result<Zeroizing<Vec<u8>>, SessionError> {
    // Whoever sealed a record that is malformed inside has lost the thread as much as a forger.
    let forged = |_| SessionError::Forged;
    let mut reader = Reader::new(body);
    let length = reader.u16().map_err(forged)?;
    let mut data = Reader::new(reader.bytes(length.into()).map_err(forged)?);
    if let Some(expected) = inner_type {
        let found = data.u8().map_err(forged)?;
        if found != expected {
            return Err(SessionError::OtherType { found });
        }
    }
    Ok(Zeroizing::new(data.rest().to_vec()))
}

/// The session that a record names, before anything of it is believed.
pub(crate) fn peek_session(record: &[u8]) -> Result<u32, DecodeError> {
    Reader::new(record).u32()
}

#[cfg(test)]
mod tests;
