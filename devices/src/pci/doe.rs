//! The Data Object Exchange mailbox (PCI Express Base Specification 6.0, sections 6.30 and 7.9.24).
//!
//! Sans-I/O: a write of Go yields the whole data object, and [`Mailbox::complete`] takes the answer,
//! at once or later. What objects mean is for whoever answers them. Software that breaks the protocol finds the Error
//! bit set, and only Abort leads out. Interrupts are not offered.

use std::collections::VecDeque;
use std::mem;

/// DOE Capabilities, offset from the extended capability. Reads 0: no interrupt.
pub const CAPABILITIES: u16 = 0x04;
/// DOE Control: [`ABORT`], [`GO`]. Reads 0.
pub const CONTROL: u16 = 0x08;
/// DOE Status: [`BUSY`], [`ERROR`], [`READY`].
pub const STATUS: u16 = 0x0c;
/// DOE Write Data Mailbox: each dword written is the next one of an object.
pub const WRITE_MAILBOX: u16 = 0x10;
/// DOE Read Data Mailbox: reads the current dword of the answer; any write moves on to the next.
pub const READ_MAILBOX: u16 = 0x14;
/// First offset behind the registers.
pub const END: u16 = 0x18;

/// Control: drop everything and start over.
pub const ABORT: u32 = 1 << 0;
/// Control: the object is complete.
pub const GO: u32 = 1 << 31;
/// Status: an object is being worked on.
pub const BUSY: u32 = 1 << 0;
/// Status: the protocol was broken; [`ABORT`] clears it.
pub const ERROR: u32 = 1 << 2;
/// Status: an answer stands in the read mailbox.
pub const READY: u32 = 1 << 31;

/// Most dwords of a data object: its length field has 18 bits, and 0 stands for this.
pub const MAX_DWORDS: usize = 1 << 18;

/// A mailbox and what is in it.
#[derive(Debug)]
pub struct Mailbox {
    state: State,
    /// Objects handed out so far.
    requests: u64,
}

/// A data object that waits for its answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    number: u64,
    /// The whole object, header included: at least 8 bytes, a multiple of 4.
    pub object: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Takes an object; holds what has arrived of it.
    Receiving(Vec<u32>),
    /// Waits for the answer to the request of this number.
    Busy(u64),
    /// Gives an answer out; never empty.
    Answering(VecDeque<u32>),
    /// Waits for an abort.
    Error,
}

impl Mailbox {
    /// An empty mailbox.
    pub fn new() -> Self {
        Self { state: State::Receiving(Vec::new()), requests: 0 }
    }

    /// Reads a register. No read changes anything; what is no register reads 0.
    pub fn read(&self, register: u16) -> u32 {
        match (register, &self.state) {
            (STATUS, State::Busy(_)) => BUSY,
            (STATUS, State::Error) => ERROR,
            (STATUS, State::Answering(_)) => READY,
            (READ_MAILBOX, State::Answering(dwords)) => dwords.front().copied().unwrap_or(0),
            _ => 0,
        }
    }

    /// Writes a register. Where that completes an object, returns it, and the mailbox is busy until
    /// [`complete`](Self::complete) or an abort.
    pub fn write(&mut self, register: u16, value: u32) -> Option<Request> {
        match register {
            CONTROL if value & ABORT != 0 => {
                self.abort();
                None
            }
            CONTROL if value & GO != 0 => self.go(),
            WRITE_MAILBOX => {
                match &mut self.state {
                    State::Receiving(dwords) if dwords.len() < MAX_DWORDS => dwords.push(value),
                    _ => self.state = State::Error,
                }
                None
            }
            READ_MAILBOX => {
                self.advance();
                None
            }
            _ => None,
        }
    }

    /// Drops what has arrived, what is being worked on and what has not been read.
    pub fn abort(&mut self) {
        self.state = State::Receiving(Vec::new());
    }

    /// Answers the request of this number, [`Request::number`]. No bytes are no answer. Ignored
    /// where the request was aborted, even if there is another one now; an answer that is not whole
    /// dwords, or too many, is an error of the device.
    pub fn complete(&mut self, number: u64, answer: &[u8]) {
        if !matches!(self.state, State::Busy(busy) if busy == number) {
            return;
        }
        let (dwords, rest) = answer.as_chunks();
        self.state = if answer.is_empty() {
            State::Receiving(Vec::new())
        } else if rest.is_empty() && dwords.len() <= MAX_DWORDS {
            State::Answering(dwords.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
        } else {
            State::Error
        };
    }

    fn go(&mut self) -> Option<Request> {
        match mem::replace(&mut self.state, State::Error) {
            State::Receiving(dwords) if has_its_length(&dwords) => {
                self.requests += 1;
                self.state = State::Busy(self.requests);
                let object = dwords.into_iter().flat_map(u32::to_le_bytes).collect();
                Some(Request { number: self.requests, object })
            }
            _ => None,
        }
    }

    fn advance(&mut self) {
        match &mut self.state {
            State::Answering(dwords) => {
                dwords.pop_front();
                if dwords.is_empty() {
                    self.abort();
                }
            }
            _ => self.state = State::Error,
        }
    }
}

impl Request {
    /// Which request this is, for [`Mailbox::complete`].
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Default for Mailbox {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether a data object is as long as its second dword says.
fn has_its_length(dwords: &[u32]) -> bool {
    dwords.get(1).is_some_and(|length| {
        let length = (*length as usize) % MAX_DWORDS;
        dwords.len() == if length == 0 { MAX_DWORDS } else { length }
    })
}

#[cfg(test)]
mod tests;
