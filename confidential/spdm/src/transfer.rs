//! Large messages: how a message is cut into chunks, put together again, and kept meanwhile
//! (DSP0274, "Large SPDM message transfer mechanism").
//!
//! The responder's part is [`Transfers`]. The requester's is in `requester/link.rs`, of the same
//! two tools: a [`Cutter`] and a [`Gatherer`].

use alloc::vec::Vec;

use crate::message::Codec;
use crate::message::chunk::{Chunk, ChunkGet, ChunkResponse, ChunkSend, ChunkSendAck};
use crate::message::error::{ErrorCode, ErrorResponse};
use crate::version::Version;

/// Cuts a message.
pub(crate) struct Cutter {
    handle: u8,
    message: Vec<u8>,
    sent: usize,
    sequence: u16,
    /// Most bytes of a message that carries a chunk.
    transfer_size: usize,
}

impl Cutter {
    pub(crate) fn new(handle: u8, message: Vec<u8>, transfer_size: usize) -> Cutter {
        Cutter { handle, message, sent: 0, sequence: 0, transfer_size }
    }

    /// The next chunk; an empty one behind the last.
    pub(crate) fn next(&mut self) -> Chunk {
        let first = self.sequence == 0;
        let overhead = if first { Chunk::OVERHEAD.0 } else { Chunk::OVERHEAD.1 };
        let rest = self.message.get(self.sent..).unwrap_or_default();
        let length = rest.len().min(self.transfer_size.saturating_sub(overhead));
        let chunk = Chunk {
            last: length == rest.len(),
            handle: self.handle,
            sequence: self.sequence,
            message_size: first.then_some(self.message.len() as u32),
            bytes: rest.iter().take(length).copied().collect(),
        };
        self.sent += length;
        self.sequence = self.sequence.wrapping_add(1);
        chunk
    }

    /// Whether all of the message was cut off.
    pub(crate) fn is_done(&self) -> bool {
        self.sent == self.message.len()
    }

    /// Handle and number of the chunk that comes next.
    pub(crate) fn position(&self) -> (u8, u16) {
        (self.handle, self.sequence)
    }
}

/// A chunk that does not follow the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Misfit;

/// Puts a message together.
pub(crate) struct Gatherer {
    handle: u8,
    size: usize,
    message: Vec<u8>,
    sequence: u16,
}

impl Gatherer {
    /// Begins with a first chunk, if the message is not longer than `most`.
    pub(crate) fn start(chunk: Chunk, most: usize) -> Result<Gatherer, Misfit> {
        let size = chunk.message_size.ok_or(Misfit)? as usize;
        if size > most {
            return Err(Misfit);
        }
        let mut gatherer =
            Gatherer { handle: chunk.handle, size, message: Vec::new(), sequence: 0 };
        gatherer.add(chunk)?;
        Ok(gatherer)
    }

    /// Adds the chunk that comes next.
    pub(crate) fn add(&mut self, chunk: Chunk) -> Result<(), Misfit> {
        let length = self.message.len() + chunk.bytes.len();
        let fits = (chunk.handle, chunk.sequence) == (self.handle, self.sequence)
            && length <= self.size
            && chunk.last == (length == self.size);
        if !fits {
            return Err(Misfit);
        }
        self.message.extend_from_slice(&chunk.bytes);
        self.sequence = self.sequence.checked_add(1).ok_or(Misfit)?;
        Ok(())
    }

    /// Whether the message is whole.
    pub(crate) fn is_done(&self) -> bool {
        self.message.len() == self.size
    }

    /// Handle and number of the chunk that comes next.
    pub(crate) fn position(&self) -> (u8, u16) {
        (self.handle, self.sequence)
    }

    pub(crate) fn into_message(self) -> Vec<u8> {
        self.message
    }
}

/// What the peer takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Most bytes in one piece.
    pub(crate) transfer: usize,
    /// Most bytes in chunks; the same where there are none.
    pub(crate) message: usize,
}

/// The large messages of a responder, one at a time, in clear or in a session.
#[derive(Default)]
pub(crate) struct Transfers {
    /// Counts the large responses.
    handle: u8,
    state: State,
}

#[derive(Default)]
enum State {
    /// There is none.
    #[default]
    Idle,
    /// A response is fetched.
    Response(Cutter),
    /// A request arrives.
    Request(Gatherer),
}

/// What a chunk of a request leads to.
pub(crate) enum Arrival {
    /// To this acknowledgement.
    Ack(ChunkSendAck),
    /// To the whole request, whose response goes into this acknowledgement.
    Whole(Vec<u8>, ChunkSendAck),
}

impl Transfers {
    /// Any other request than the next one for a chunk ends a transfer.
    pub(crate) fn abandon(&mut self) {
        self.state = State::Idle;
    }

    /// The response, if `room` is enough for it. If not, the ERROR that says how to fetch it.
    pub(crate) fn fit(
        &mut self,
        version: Version,
        response: Vec<u8>,
        room: usize,
        sizes: Sizes,
    ) -> Vec<u8> {
        if response.len() <= room {
            return response;
        }
        if response.len() > sizes.message {
            return ErrorResponse::response_too_large(response.len())
                .in_version(version)
                .encode(version);
        }
        self.handle = self.handle.wrapping_add(1);
        self.state = State::Response(Cutter::new(self.handle, response, sizes.transfer));
        ErrorResponse::large_response(self.handle).encode(version)
    }

    /// Answers CHUNK_GET.
    pub(crate) fn get(&mut self, request: ChunkGet) -> Result<ChunkResponse, ErrorResponse> {
        let State::Response(cutter) = &mut self.state else {
            return Err(ErrorCode::UnexpectedRequest.into());
        };
        if (request.handle, request.sequence) != cutter.position() {
            return Err(ErrorCode::InvalidRequest.into());
        }
        let chunk = cutter.next();
        if cutter.is_done() {
            self.state = State::Idle;
        }
        Ok(ChunkResponse(chunk))
    }

    /// Answers CHUNK_SEND. A chunk that does not fit ends the transfer.
    pub(crate) fn send(&mut self, version: Version, request: ChunkSend, most: usize) -> Arrival {
        let ChunkSend(chunk) = request;
        let mut ack = ChunkSendAck {
            early_error: false,
            handle: chunk.handle,
            sequence: chunk.sequence,
            response: Vec::new(),
        };
        let gatherer = match core::mem::take(&mut self.state) {
            State::Request(mut gatherer) => gatherer.add(chunk).map(|()| gatherer),
            State::Idle | State::Response(_) => Gatherer::start(chunk, most),
        };
        match gatherer {
            Ok(gatherer) if gatherer.is_done() => Arrival::Whole(gatherer.into_message(), ack),
            Ok(gatherer) => {
                self.state = State::Request(gatherer);
                Arrival::Ack(ack)
            }
            Err(Misfit) => {
                ack.early_error = true;
                ack.response = ErrorResponse::new(ErrorCode::InvalidRequest).encode(version);
                Arrival::Ack(ack)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chunk(sequence: u16, bytes: &[u8], last: bool) -> Chunk {
        let message_size = (sequence == 0).then_some(6);
        Chunk { last, handle: 7, sequence, message_size, bytes: bytes.to_vec() }
    }

    #[test]
    fn chunks_that_do_not_follow_are_refused() {
        let begin = || Gatherer::start(chunk(0, &[1, 2, 3], false), 6).ok().unwrap();
        assert!(begin().add(chunk(1, &[4, 5, 6], true)).is_ok());
        for wrong in [
            chunk(0, &[4, 5, 6], true),
            chunk(2, &[4, 5, 6], true),
            chunk(1, &[4, 5, 6], false),
            chunk(1, &[4, 5], true),
            chunk(1, &[4, 5, 6, 7], true),
            Chunk { handle: 8, ..chunk(1, &[4, 5, 6], true) },
        ] {
            assert_eq!(begin().add(wrong), Err(Misfit));
        }
        assert!(Gatherer::start(chunk(1, &[1], false), 6).is_err());
        assert!(Gatherer::start(chunk(0, &[1], false), 5).is_err());
        assert!(Gatherer::start(chunk(0, &[1], true), 6).is_err());
    }

    proptest! {
        #[test]
        fn what_is_cut_is_put_together(
            message in prop::collection::vec(any::<u8>(), 43..2000),
            transfer_size in 42usize..200,
        ) {
            let mut cutter = Cutter::new(3, message.clone(), transfer_size);
            let mut gatherer: Option<Gatherer> = None;
            while !cutter.is_done() {
                let chunk = cutter.next();
                let length = ChunkResponse(chunk.clone()).encode(Version::V1_2).len();
                prop_assert!(length <= transfer_size);
                prop_assert!(length == transfer_size || chunk.last);
                match &mut gatherer {
                    Some(gatherer) => prop_assert_eq!(gatherer.add(chunk), Ok(())),
                    None => gatherer = Gatherer::start(chunk, 2000).ok(),
                }
            }
            prop_assert_eq!(gatherer.unwrap().into_message(), message);
        }
    }
}
