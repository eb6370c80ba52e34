//! The guest's end of its conversation with the AMD-SP.
//!
//! Messages are counted for each key: the guest's have odd numbers, the answer to each is the next even
//! one. A number is the cipher's nonce, so no number is used twice: a question is sealed once, and only
//! the same sealed page may be sent again. Whatever goes wrong, the key is wiped: somebody between the
//! two ends interferes, or the ends have come apart.

use crate::header::MessageType;
use crate::{NoAnswer, Page, Request, Response, Vmpck, sealed};

pub use crate::sealed::Error as SealError;

/// MSG_VERSION of what is asked.
const VERSION: u8 = 1;

/// Why there is no answer. But for [`Error::Refused`] the key is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The AMD-SP itself says no. The conversation can go on.
    #[error("the AMD-SP refuses the request, with status {0:#x}")]
    Refused(u32),
    /// What came is not the answer to what was asked.
    #[error("the answer is not the AMD-SP's; the guest's key to it is wiped")]
    Sealed(#[from] SealError),
    /// An authentic message that is not what was asked for.
    #[error("the AMD-SP answers with a message of type {0}; the guest's key to it is wiped")]
    OtherType(u8),
    /// An authentic answer that makes no sense.
    #[error("the AMD-SP's answer makes no sense; the guest's key to it is wiped")]
    Malformed,
    /// A question before the answer to the last one, or an answer without a question.
    #[error("the conversation with the AMD-SP is out of order; the guest's key to it is wiped")]
    OutOfOrder,
    /// No number is left.
    #[error("the guest's key to the AMD-SP has sealed all messages that it may, and is wiped")]
    Exhausted,
    /// The key was wiped before.
    #[error("the guest has no key to the AMD-SP any more")]
    Dead,
}

/// The guest's end, with one of its keys.
pub struct GuestChannel {
    state: State,
}

enum State {
    /// Nothing is open. The next question has this number.
    Ready { key: Vmpck, next: u64 },
    /// A question of this number is open, and this is the type of its answer.
    Waiting { key: Vmpck, asked: u64, answer: MessageType },
    /// The key is wiped.
    Dead,
}

impl GuestChannel {
    /// The end of a guest that has asked nothing yet under this key.
    pub fn new(key: Vmpck) -> GuestChannel {
        GuestChannel { state: State::Ready { key, next: 1 } }
    }

    /// Seals a question into a page. It may be sent more than once, as it is.
    ///
    /// # Errors
    /// There is a question open, or no number left, or no key.
    pub fn ask<R: Request>(&mut self, request: &R, page: &mut Page) -> Result<(), Error> {
        match core::mem::replace(&mut self.state, State::Dead) {
            // The answer's number must exist, and the number of a question after it.
            State::Ready { next, .. } if next.checked_add(2).is_none() => Err(Error::Exhausted),
            State::Ready { key, next } => {
                sealed::seal(&key, next, R::TYPE as u8, VERSION, &request.encode(), page);
                let answer = <R::Response as Response>::TYPE;
                self.state = State::Waiting { key, asked: next, answer };
                Ok(())
            }
            State::Waiting { .. } => Err(Error::OutOfOrder),
            State::Dead => Err(Error::Dead),
        }
    }

    /// Opens the answer to the question. `page` must be a private copy.
    ///
    /// # Errors
    /// Anything but the answer. Only after [`Error::Refused`] can the guest ask again.
    pub fn receive<R: Response>(&mut self, page: &Page) -> Result<R, Error> {
        let (key, asked, answer) = match core::mem::replace(&mut self.state, State::Dead) {
            State::Waiting { key, asked, answer } => (key, asked, answer),
            State::Ready { .. } => return Err(Error::OutOfOrder),
            State::Dead => return Err(Error::Dead),
        };
        // `ask` has seen to it that both numbers exist.
        let (header, payload) = sealed::open(&key, asked.saturating_add(1), page)?;
        if header.kind != answer as u8 || answer != R::TYPE {
            return Err(Error::OtherType(header.kind));
        }
        let answer = R::decode(payload.as_slice());
        if answer.as_ref().err() != Some(&NoAnswer::Malformed) {
            self.state = State::Ready { key, next: asked.saturating_add(2) };
        }
        answer.map_err(|error| match error {
            NoAnswer::Refused(status) => Error::Refused(status),
            NoAnswer::Malformed => Error::Malformed,
        })
    }

    /// Wipes the key: the host did not bring an answer, and whether the question got through is not
    /// known.
    pub fn abandon(&mut self) {
        self.state = State::Dead;
    }
}

#[cfg(test)]
mod tests;
