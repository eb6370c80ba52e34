//! The AMD-SP's end of its conversation with a guest.
//!
//! It counts what it has answered under one key. A message that is not the next question leaves it as it
//! was: the hypervisor can send what it likes, and must not be able to end a guest's conversation that
//! way. Status codes for the hypervisor are the caller's business.

use crate::header::Header;
use crate::{Page, Payload, Vmpck, sealed};

pub use crate::sealed::Error as SealError;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not the guest's next question.
    #[error("not the guest's next message")]
    Sealed(#[from] SealError),
    /// No number is left.
    #[error("the key has sealed all messages that it may")]
    Exhausted,
}

/// The AMD-SP's end, for one key.
pub struct FirmwareChannel {
    key: Vmpck,
    /// Number of the last answer; even.
    answered: u64,
}

impl FirmwareChannel {
    /// The end of an AMD-SP that has answered nothing yet under this key.
    pub fn new(key: Vmpck) -> FirmwareChannel {
        FirmwareChannel { key, answered: 0 }
    }

    /// Opens a question, has it answered and seals the answer: its type, its version, and what it says.
    /// `page` must be a private copy.
    ///
    /// # Errors
    /// It is not the guest's next question. Nothing has changed then.
    pub fn answer(
        &mut self,
        page: &Page,
        answer: impl FnOnce(&Header, &[u8]) -> (u8, Payload),
    ) -> Result<Page, Error> {
        let asked = self.answered.checked_add(1).ok_or(Error::Exhausted)?;
        let number = asked.checked_add(1).ok_or(Error::Exhausted)?;
        let (header, question) = sealed::open(&self.key, asked, page)?;
        let (kind, payload) = answer(&header, question.as_slice());
        let mut sealed = [0; size_of::<Page>()];
        sealed::seal(&self.key, number, kind, header.version, &payload, &mut sealed);
        self.answered = number;
        Ok(sealed)
    }
}
