//! What lies between the line of requests and the wire: large messages, and responses that are not
//! ready at once. The line itself sees whole messages only.

use alloc::vec::Vec;
use core::time::Duration;

use super::Error;
use crate::message::chunk::{ChunkGet, ChunkResponse, ChunkSend, ChunkSendAck};
use crate::message::error::{ErrorCode, ErrorResponse, NotReady};
use crate::message::respond_if_ready::RespondIfReady;
use crate::message::{Codec, Header, code, decode_padded};
use crate::suite;
use crate::transfer::{Cutter, Gatherer, Misfit, Sizes};
use crate::version::Version;
use crate::wire::value;

/// How often a response is asked for again that is not ready.
const MOST_RETRIES: u8 = 16;

/// The longest time that the responder may ask for: 2^30 us, a quarter of an hour.
const MOST_EXPONENT: u8 = 30;

/// The way to one responder.
pub(super) struct Link {
    version: Version,
    /// What the responder takes.
    sizes: Sizes,
    /// Whether both sides know chunks.
    chunks: bool,
    /// Counts the large requests.
    handle: u8,
    /// Code of the request whose response is due.
    request: u8,
    /// Whether the responder may ask for time: not before all is agreed.
    patient: bool,
    /// How often the response in question was not ready.
    retries: u8,
    wait: Duration,
    state: State,
}

enum State {
    /// A whole answer is due.
    Whole,
    /// A request is under way in chunks.
    Sending(Cutter),
    /// A response is fetched.
    Fetching { handle: u8, gathered: Option<Gatherer> },
}

/// What an answer is.
pub(super) enum Received {
    /// A part; this request brings the next one.
    Next(Vec<u8>),
    /// All of it; and whether the transport may have filled it up.
    Whole { message: Vec<u8>, padded: bool },
}

impl Link {
    /// Before anything is agreed.
    pub(super) fn new() -> Link {
        Link {
            version: Version::V1_0,
            sizes: Sizes { transfer: usize::MAX, message: usize::MAX },
            chunks: false,
            handle: 0,
            request: code::GET_VERSION,
            patient: false,
            retries: 0,
            wait: Duration::ZERO,
            state: State::Whole,
        }
    }

    pub(super) fn agree_version(&mut self, version: Version) {
        self.version = version;
    }

    pub(super) fn agree_sizes(&mut self, sizes: Sizes, chunks: bool) {
        (self.sizes, self.chunks) = (sizes, chunks);
    }

    /// From here on responses may take longer.
    pub(super) fn agree_all(&mut self) {
        self.patient = true;
    }

    /// The version that was agreed.
    pub(super) fn version(&self) -> Option<Version> {
        Some(self.version).filter(|version| *version != Version::V1_0)
    }

    /// How long to wait before what is sent next.
    pub(super) fn wait(&self) -> Duration {
        self.wait
    }

    /// The request, or its first chunk.
    pub(super) fn send(&mut self, request: Vec<u8>) -> Result<Vec<u8>, Error> {
        (self.retries, self.wait) = (0, Duration::ZERO);
        self.request = Header::peek(&request)?.code;
        self.state = State::Whole;
        let length = request.len();
        if length <= self.sizes.transfer {
            return Ok(request);
        }
        if !self.chunks || length > self.sizes.message {
            return Err(Error::RequestTooLong { length });
        }
        self.handle = self.handle.wrapping_add(1);
        let mut cutter = Cutter::new(self.handle, request, self.sizes.transfer);
        let first = ChunkSend(cutter.next()).encode(self.version);
        self.state = State::Sending(cutter);
        Ok(first)
    }

    /// Takes an answer.
    pub(super) fn receive(&mut self, answer: &[u8], alignment: usize) -> Result<Received, Error> {
        self.wait = Duration::ZERO;
        let is_error = Header::peek(answer)?.code == code::ERROR;
        match core::mem::replace(&mut self.state, State::Whole) {
            State::Sending(mut cutter) if !is_error => {
                let (handle, next) = cutter.position();
                let (ack, _) = decode_padded::<ChunkSendAck>(answer, self.version, (), alignment)?;
                if (ack.handle, ack.sequence.wrapping_add(1)) != (handle, next) {
                    return Err(Error::Chunk);
                }
                if ack.early_error || cutter.is_done() {
                    return self.judge(&ack.response, alignment);
                }
                let chunk = ChunkSend(cutter.next()).encode(self.version);
                self.state = State::Sending(cutter);
                Ok(Received::Next(chunk))
            }
            State::Fetching { handle, gathered } if !is_error => {
                let (ChunkResponse(chunk), _) = decode_padded(answer, self.version, (), alignment)?;
                if chunk.handle != handle {
                    return Err(Error::Chunk);
                }
                let gathered = match gathered {
                    Some(mut gathered) => gathered.add(chunk).map(|()| gathered),
                    None => Gatherer::start(chunk, suite::MAX_MESSAGE_SIZE as usize),
                };
                let gathered = gathered.map_err(|Misfit| Error::Chunk)?;
                if gathered.is_done() {
                    let message = gathered.into_message();
                    return Ok(Received::Whole { message, padded: false });
                }
                let (handle, sequence) = gathered.position();
                self.state = State::Fetching { handle, gathered: Some(gathered) };
                let request = ChunkGet { handle, sequence };
                Ok(Received::Next(request.encode(self.version)))
            }
            State::Whole | State::Sending(_) | State::Fetching { .. } => {
                self.judge(answer, alignment)
            }
        }
    }

    /// A message that is whole, unless it says where the message is to be had.
    fn judge(&mut self, answer: &[u8], alignment: usize) -> Result<Received, Error> {
        let whole = || Received::Whole { message: answer.to_vec(), padded: alignment > 1 };
        if Header::peek(answer)?.code != code::ERROR {
            return Ok(whole());
        }
        let Ok((error, _)) = decode_padded::<ErrorResponse>(answer, self.version, (), alignment)
        else {
            return Ok(whole());
        };
        if let (ErrorCode::LargeResponse, [handle, ..]) = (error.code, error.extended.as_slice())
            && self.chunks
        {
            let handle = *handle;
            self.state = State::Fetching { handle, gathered: None };
            let request = ChunkGet { handle, sequence: 0 };
            return Ok(Received::Next(request.encode(self.version)));
        }
        match NotReady::of(&error) {
            Some(later) if self.patient && self.retries < MOST_RETRIES => self.retry(later),
            _ => Ok(whole()),
        }
    }

    /// The request that asks again, and when to send it.
    fn retry(&mut self, later: NotReady) -> Result<Received, Error> {
        for (field, found, right) in [
            ("RequestCode", later.request, later.request == self.request),
            ("RDTExponent", later.exponent, later.exponent <= MOST_EXPONENT),
            // Otherwise the response is forgotten before it may be asked for.
            ("RDTM", later.multiplier, later.multiplier > 1),
        ] {
            if !right {
                return Err(value(field, found).into());
            }
        }
        self.retries += 1;
        self.wait = Duration::from_micros(1 << later.exponent);
        let request = RespondIfReady { request: later.request, token: later.token };
        Ok(Received::Next(request.encode(self.version)))
    }
}
