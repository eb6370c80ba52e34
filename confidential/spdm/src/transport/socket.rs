//! The frames in which the DMTF's emulators (spdm-emu, spdm-rs) speak over a TCP connection.
//!
//! A frame is a command, what carries SPDM, and the size of the payload, three big-endian words;
//! then the payload, which is what that transport carries: a data object, an MCTP message. Bytes
//! in, frames out: the connection is the embedder's.

use alloc::vec::Vec;

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
pub enum Command {
    /// A request or response is the payload.
    Normal,
    /// A greeting is the payload.
    Test,
    /// The conversation goes on in another connection.
    Continue,
    /// The conversation is over.
    Shutdown,
    /// The answer to what is not understood.
    Unknown,
    /// A word that the emulators do not know.
    Other(u32),
}

/// What carries SPDM inside of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportType {
    /// Nothing: see [`none`](super::none).
    None,
    /// See [`mctp`](super::mctp).
    Mctp,
    /// See [`doe`](super::doe).
    PciDoe,
    /// SPDM over TCP (DSP0287), which is not spoken here.
    Tcp,
    /// A word that the emulators do not know.
    Other(u32),
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is for.
    pub command: Command,
    /// What carries SPDM in its payload.
    pub transport: TransportType,
    /// At most `u32::MAX` bytes.
    pub payload: Vec<u8>,
}

/// The peer announces a payload that is longer than what is taken. There is no telling where the
/// next frame begins, unless all of it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Frame announces {size} bytes, above {most}; close the connection")]
pub struct TooLong {
    /// Bytes announced.
    pub size: u32,
    /// Most bytes that are taken.
    pub most: usize,
}

/// The frames in a stream of bytes.
#[derive(Debug)]
pub struct Decoder {
    most: usize,
    buffer: Vec<u8>,
}

const COMMANDS: [(u32, Command); 5] = [
    (0x0001, Command::Normal),
    (0xdead, Command::Test),
    (0xfffd, Command::Continue),
    (0xfffe, Command::Shutdown),
    (0xffff, Command::Unknown),
];

const TRANSPORTS: [(u32, TransportType); 4] = [
    (0, TransportType::None),
    (1, TransportType::Mctp),
    (2, TransportType::PciDoe),
    (3, TransportType::Tcp),
];

impl Command {
    /// The command that this word is.
    pub fn from_word(word: u32) -> Command {
        COMMANDS
            .into_iter()
            .find(|(known, _)| *known == word)
            .map_or(Command::Other(word), |(_, command)| command)
    }

    /// The word of this command.
    pub fn word(self) -> u32 {
        match self {
            Command::Other(word) => word,
            known => {
                COMMANDS.into_iter().find(|(_, of)| *of == known).map_or(0xffff, |(word, _)| word)
            }
        }
    }
}

impl TransportType {
    /// The transport that this word is.
    pub fn from_word(word: u32) -> TransportType {
        TRANSPORTS
            .into_iter()
            .find(|(known, _)| *known == word)
            .map_or(TransportType::Other(word), |(_, transport)| transport)
    }

    /// The word of this transport.
    pub fn word(self) -> u32 {
        match self {
            TransportType::Other(word) => word,
            known => {
                TRANSPORTS.into_iter().find(|(_, of)| *of == known).map_or(0, |(word, _)| word)
            }
        }
    }
}

impl Frame {
    /// Header and payload, to be written in one go: written in two, Nagle's algorithm and delayed
    /// acknowledgements make each frame wait. A payload that no frame can announce is cut off.
    pub fn encode(&self) -> Vec<u8> {
        let size = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(HEADER_SIZE + self.payload.len());
        for word in [self.command.word(), self.transport.word(), size] {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        bytes.extend(self.payload.iter().take(size as usize));
        bytes
    }
}

impl Decoder {
    /// For frames with at most so many bytes of payload.
    pub fn new(most: usize) -> Decoder {
        Decoder { most, buffer: Vec::new() }
    }

    /// Takes bytes as they come from the connection.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame that has come whole; an error for one that is announced too long, before it
    /// has come.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, TooLong> {
        let Some((header, rest)) = self.buffer.split_first_chunk::<HEADER_SIZE>() else {
            return Ok(None);
        };
        let [c0, c1, c2, c3, t0, t1, t2, t3, s0, s1, s2, s3] = *header;
        let size = u32::from_be_bytes([s0, s1, s2, s3]);
        let too_long = TooLong { size, most: self.most };
        let length = usize::try_from(size).map_err(|_| too_long)?;
        if length > self.most {
            return Err(too_long);
        }
        let Some(payload) = rest.get(..length) else { return Ok(None) };
        let frame = Frame {
            command: Command::from_word(u32::from_be_bytes([c0, c1, c2, c3])),
            transport: TransportType::from_word(u32::from_be_bytes([t0, t1, t2, t3])),
            payload: payload.to_vec(),
        };
        self.buffer.drain(..HEADER_SIZE + length);
        Ok(Some(frame))
    }

    /// Whether a frame has begun that is not whole: a connection that ends here ends too early.
    pub fn is_mid_frame(&self) -> bool {
        !self.buffer.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_frame_is_laid_out_as_the_emulators_do() {
        let frame = Frame {
            command: Command::Test,
            transport: TransportType::PciDoe,
            payload: CLIENT_HELLO.to_vec(),
        };
        let bytes = frame.encode();
        assert_eq!(bytes[..HEADER_SIZE], [0, 0, 0xde, 0xad, 0, 0, 0, 2, 0, 0, 0, 14]);
        assert_eq!(&bytes[HEADER_SIZE..], b"Client Hello!\0");
        let mut decoder = Decoder::new(14);
        decoder.push(&bytes);
        assert_eq!(decoder.next_frame(), Ok(Some(frame)));
        assert_eq!(decoder.next_frame(), Ok(None));
        assert!(!decoder.is_mid_frame());
    }

    #[test]
    fn each_word_has_its_meaning_and_each_meaning_its_word() {
        for word in (0..=4).chain([0xdead, 0xfffc, 0xfffd, 0xfffe, 0xffff, 0x1_0001, u32::MAX]) {
            assert_eq!(Command::from_word(word).word(), word);
            assert_eq!(TransportType::from_word(word).word(), word);
        }
        assert_eq!(Command::from_word(1), Command::Normal);
        assert_eq!(Command::from_word(0xfffe), Command::Shutdown);
        assert_eq!(Command::from_word(2), Command::Other(2));
        assert_eq!(TransportType::from_word(1), TransportType::Mctp);
        assert_eq!(TransportType::from_word(4), TransportType::Other(4));
    }

    #[test]
    fn a_frame_that_is_announced_too_long_is_refused_before_it_has_come() {
        let mut decoder = Decoder::new(100);
        decoder.push(&[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 101]);
        assert_eq!(decoder.next_frame(), Err(TooLong { size: 101, most: 100 }));
        assert_eq!(decoder.next_frame(), Err(TooLong { size: 101, most: 100 }));
    }

    proptest! {
        #[test]
        fn frames_survive_however_the_stream_is_cut(
            frames in prop::collection::vec(
                (any::<u32>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..40)),
                0..5,
            ),
            piece in 1usize..20,
        ) {
            let frames: Vec<_> = frames
                .into_iter()
                .map(|(command, transport, payload)| Frame {
                    command: Command::from_word(command),
                    transport: TransportType::from_word(transport),
                    payload,
                })
                .collect();
            let stream: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
            let mut decoder = Decoder::new(40);
            let mut found = Vec::new();
            for piece in stream.chunks(piece) {
                decoder.push(piece);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    found.push(frame);
                }
            }
            prop_assert_eq!(found, frames);
            prop_assert!(!decoder.is_mid_frame());
        }
    }
}
