//! The responder's side of the emulators' socket framing: bytes in, frames out.
//!
//! Whatever comes is answered, and the next frame is found behind it. A payload that is too long
//! is read over rather than kept, so a connection never holds more than [`MAX_PAYLOAD`] bytes of it.

use ravelin_spdm::transport::socket::{Command, HEADER_SIZE, Header, SERVER_HELLO, encode};

use super::SpdmPort;

/// Most bytes of a frame's payload: more than any transport needs for the longest record.
pub const MAX_PAYLOAD: usize = 0x1_1000;

/// One connection of a requester to a port.
pub struct SpdmSocket {
    port: SpdmPort,
    pub(super) state: State,
}

/// Where in a frame the connection is.
pub(super) enum State {
    Header { bytes: [u8; HEADER_SIZE], filled: usize },
    Payload { header: Header, bytes: Vec<u8> },
    TooLong { header: Header, left: usize },
}

/// The answer to a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// What goes back, to be written in one piece.
    pub frame: Vec<u8>,
    /// What the transport carried, if the frame was about that.
    pub carried: Option<Carried>,
    /// Whether the requester has said that it goes: the connection is to be closed.
    pub last: bool,
}

/// What the transport carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// To SEC2.
    pub request: Vec<u8>,
    /// From SEC2.
    pub response: Vec<u8>,
}

impl SpdmSocket {
    /// A connection on which nothing was said.
    pub fn new(port: SpdmPort) -> SpdmSocket {
        SpdmSocket { port, state: State::start() }
    }

    /// Takes bytes off the front of `input`, up to the end of a frame, and gives the frame's answer.
    /// `None` where its end is yet to come; `input` is then empty.
    pub fn receive(&mut self, input: &mut &[u8]) -> Option<Served> {
        loop {
            match &mut self.state {
                State::Header { bytes, filled } => {
                    let (_, free) = bytes.split_at_mut_checked(*filled)?;
                    let taken = take(input, free.len());
                    free.iter_mut().zip(taken).for_each(|(to, from)| *to = *from);
                    *filled += taken.len();
                    if *filled < HEADER_SIZE {
                        return None;
                    }
                    let header = Header::decode(bytes);
                    let size = header.size as usize;
                    self.state = match size > MAX_PAYLOAD {
                        true => State::TooLong { header, left: size },
                        // Memory for what has come, not for what is announced.
                        false => State::Payload { header, bytes: Vec::new() },
                    };
                }
                State::Payload { header, bytes } => {
                    bytes.extend_from_slice(take(input, header.size as usize - bytes.len()));
                    if bytes.len() < header.size as usize {
                        return None;
                    }
                    let (header, payload) = (*header, std::mem::take(bytes));
                    self.state = State::start();
                    return Some(self.answer(header, Some(payload)));
                }
                State::TooLong { header, left } => {
                    *left -= take(input, *left).len();
                    if *left > 0 {
                        return None;
                    }
                    let header = *header;
                    self.state = State::start();
                    return Some(self.answer(header, None));
                }
            }
        }
    }

    /// Answers a frame whose payload is `None` where it was too long.
    fn answer(&mut self, header: Header, payload: Option<Vec<u8>>) -> Served {
        let ours = header.transport == self.port.transport().number();
        match Command::from_number(header.command).filter(|_| ours) {
            Some(Command::Normal) => match payload {
                Some(request) => {
                    let response = self.port.exchange(&request);
                    let served = self.frame(Command::Normal, &response);
                    Served { carried: Some(Carried { request, response }), ..served }
                }
                None => {
                    let response = self.port.refuse_too_long();
                    self.frame(Command::Normal, &response)
                }
            },
            Some(Command::Test) => self.frame(Command::Test, SERVER_HELLO),
            // The emulators' requester goes away after either, and means to come back after this.
            Some(Command::Continue) => self.frame(Command::Continue, &[]),
            Some(Command::Shutdown) => Served { last: true, ..self.frame(Command::Shutdown, &[]) },
            Some(Command::Unknown) | None => self.frame(Command::Unknown, &[]),
        }
    }

    fn frame(&self, command: Command, payload: &[u8]) -> Served {
        // Fails for gigabytes only.
        let frame = encode(command, self.port.transport(), payload).unwrap_or_default();
        Served { frame, carried: None, last: false }
    }
}

impl State {
    fn start() -> State {
        State::Header { bytes: [0; HEADER_SIZE], filled: 0 }
    }
}

/// At most so many bytes off the front.
fn take<'a>(input: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(most.min(input.len()));
    *input = rest;
    taken
}
