//! What lies between a message and the bus: one file a transport.
//!
//! A transport tells messages in clear from secured ones, and carries both as they are. It says in
//! its [`Framing`] what DSP0277 leaves to it.

use alloc::vec::Vec;

pub mod carrier;
pub mod doe;
pub mod mctp;
pub mod none;
pub mod socket;

/// A message as a transport carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// An SPDM message in clear.
    Clear(Vec<u8>),
    /// A secured message.
    Secured(Vec<u8>),
}

impl Message {
    /// The bytes of either.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Message::Clear(bytes) | Message::Secured(bytes) => bytes,
        }
    }
}

/// What a transport fixes about the messages that it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    /// A message is filled up with zeros to a multiple of this.
    pub alignment: usize,
    /// How many bytes of a record's sequence number are transmitted, at most 8.
    pub sequence_size: usize,
    /// A byte in front of the message inside of a record, which tells the message's type.
    pub inner_type: Option<u8>,
}
