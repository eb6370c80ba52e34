//! MCTP: the message type in front of each message (DSP0275, DSP0276).
//!
//! A message is one byte that tells its type, and the bytes of the message. What splits it into
//! packets, and finds the endpoint, is the bus's business.

use alloc::vec::Vec;

use super::{Framing, Message};
use crate::wire::{DecodeError, Reader, value};

/// Message type "SPDM" (DSP0239); the bit above it, for an integrity check, is zero.
pub const SPDM: u8 = 0x05;

/// Message type "Secured Messages".
pub const SECURED_SPDM: u8 = 0x06;

/// MCTP fills nothing up; packets may be lost, so a record carries 16 bits of its sequence number,
/// and what is inside it begins with a message type again (DSP0276, "Application Data").
pub const FRAMING: Framing = Framing { alignment: 1, sequence_size: 2, inner_type: Some(SPDM) };

/// The MCTP message that carries a message.
pub fn encode_message(message: &Message) -> Vec<u8> {
    let message_type = match message {
        Message::Clear(_) => SPDM,
        Message::Secured(_) => SECURED_SPDM,
    };
    [&[message_type], message.as_bytes()].concat()
}

/// The message in an MCTP message.
pub fn decode_message(bytes: &[u8]) -> Result<Message, DecodeError> {
    let mut reader = Reader::new(bytes);
    match reader.u8()? {
        SPDM => Ok(Message::Clear(reader.rest().to_vec())),
        SECURED_SPDM => Ok(Message::Secured(reader.rest().to_vec())),
        other => Err(value("Message Type", other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_its_type_and_its_bytes() {
        for (message, bytes) in [
            (Message::Clear(alloc::vec![0x10, 0x84, 0, 0]), [5, 0x10, 0x84, 0, 0]),
            (Message::Secured(alloc::vec![1, 2, 3, 4]), [6, 1, 2, 3, 4]),
        ] {
            assert_eq!(encode_message(&message), bytes);
            assert_eq!(decode_message(&bytes), Ok(message));
        }
    }

    #[test]
    fn another_type_or_none_is_refused() {
        for other in (0..=0xff).filter(|other| ![SPDM, SECURED_SPDM].contains(other)) {
            assert_eq!(decode_message(&[other, 0x10]), Err(value("Message Type", other)));
        }
        assert_eq!(decode_message(&[]), Err(DecodeError::Truncated { missing: 1 }));
    }
}
