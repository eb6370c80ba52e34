//! The frames in which the DMTF's emulators (spdm-emu, spdm-rs) speak over a TCP connection.
//!
//! A frame is a command, what carries SPDM, and the size of the payload, three big-endian words;
//! then the payload, which is what that transport carries: a data object, an MCTP message. Bytes
//! in, frames out: the connection, and how much of a payload to take, are the embedder's.

use alloc::vec::Vec;

use super::carrier::Transport;
use crate::wire::{DecodeError, value};

/// Port on which the emulators listen.
pub const DEFAULT_PORT: u16 = 2323;

/// Bytes of a frame in front of its payload.
pub const HEADER_SIZE: usize = 12;

/// What a requester may open with, in a frame of [`Command::Test`].
pub const CLIENT_HELLO: &[u8] = b"Client Hello!\0";

/// What answers it.
pub const SERVER_HELLO: &[u8] = b"Server Hello!\0";

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Command {
    /// A request or response is the payload.
    Normal = 0x0001,
    /// A greeting is the payload.
    Test = 0xdead,
    /// The conversation goes on in another connection.
    Continue = 0xfffd,
    /// The conversation is over.
    Shutdown = 0xfffe,
    /// The answer to what is not understood.
    Unknown = 0xffff,
}

/// What stands in front of a payload, understood or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// A [`Command`]'s number.
    pub command: u32,
    /// A [`Transport`]'s number.
    pub transport: u32,
    /// Bytes of the payload.
    pub size: u32,
}

impl Command {
    /// All that the emulators know.
    pub const ALL: [Command; 5] =
        [Command::Normal, Command::Test, Command::Continue, Command::Shutdown, Command::Unknown];

    /// The command with this number.
    pub fn from_number(number: u32) -> Option<Command> {
        Command::ALL.into_iter().find(|command| command.number() == number)
    }

    /// The command's number.
    pub fn number(self) -> u32 {
        self as u32
    }
}

impl Transport {
    /// The transport with this number in frames. The emulators' 3, TCP, is not spoken here.
    pub fn from_number(number: u32) -> Option<Transport> {
        [Transport::None, Transport::Mctp, Transport::Doe]
            .into_iter()
            .find(|transport| transport.number() == number)
    }

    /// The transport's number in frames.
    pub fn number(self) -> u32 {
        match self {
            Transport::None => 0,
            Transport::Mctp => 1,
            Transport::Doe => 2,
        }
    }
}

impl Header {
    /// The header in these bytes; every value has a meaning or is somebody else's.
    pub fn decode(bytes: &[u8; HEADER_SIZE]) -> Header {
        let [c0, c1, c2, c3, t0, t1, t2, t3, s0, s1, s2, s3] = *bytes;
        Header {
            command: u32::from_be_bytes([c0, c1, c2, c3]),
            transport: u32::from_be_bytes([t0, t1, t2, t3]),
            size: u32::from_be_bytes([s0, s1, s2, s3]),
        }
    }

    /// The bytes of the header.
    pub fn encode(&self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        let words = [self.command, self.transport, self.size].map(u32::to_be_bytes);
        bytes.iter_mut().zip(words.as_flattened()).for_each(|(to, from)| *to = *from);
        bytes
    }
}

/// A frame in one piece, to be written in one go: written in two, Nagle's algorithm and delayed
/// acknowledgements make each frame wait.
pub fn encode(
    command: Command,
    transport: Transport,
    payload: &[u8],
) -> Result<Vec<u8>, DecodeError> {
    let size =
        u32::try_from(payload.len()).map_err(|_| value("Payload size", payload.len() as u64))?;
    let header = Header { command: command.number(), transport: transport.number(), size };
    Ok([header.encode().as_slice(), payload].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_laid_out_as_the_emulators_do() {
        let frame = encode(Command::Test, Transport::Doe, CLIENT_HELLO).unwrap();
        let header = [0, 0, 0xde, 0xad, 0, 0, 0, 2, 0, 0, 0, 14];
        assert_eq!(frame, [&header, b"Client Hello!\0".as_slice()].concat());
        let decoded = Header { command: 0xdead, transport: 2, size: 14 };
        assert_eq!(Header::decode(&header), decoded);
        assert_eq!(decoded.encode(), header);
    }

    #[test]
    fn numbers_are_the_emulators() {
        let known = [1, 0xdead, 0xfffd, 0xfffe, 0xffff];
        assert_eq!(Command::ALL.map(Command::number), known);
        for number in (0..=0x1_0001).chain([u32::MAX]) {
            let command = Command::from_number(number).map(Command::number);
            assert_eq!(command, known.contains(&number).then_some(number));
        }
        assert_eq!(Transport::from_number(0), Some(Transport::None));
        assert_eq!(Transport::from_number(1), Some(Transport::Mctp));
        assert_eq!(Transport::from_number(2), Some(Transport::Doe));
        assert_eq!(Transport::from_number(3), None);
    }
}
