//! One face for all transports, for those who learn only when they run which it is.

use alloc::vec::Vec;

use super::{Framing, Message, doe, mctp, none};
use crate::wire::DecodeError;

/// A transport by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// PCIe data objects.
    Doe,
    /// MCTP messages.
    Mctp,
    /// Nothing.
    None,
}

/// One end of a transport. It has to carry all messages of the connection, either way.
#[derive(Clone, Debug)]
pub struct Carrier {
    transport: Transport,
    wire: none::Wire,
}

impl Transport {
    /// What the transport fixes about messages.
    pub fn framing(self) -> Framing {
        match self {
            Transport::Doe => doe::FRAMING,
            Transport::Mctp => mctp::FRAMING,
            Transport::None => none::FRAMING,
        }
    }
}

impl Carrier {
    /// The end of a transport that has carried nothing yet.
    pub fn new(transport: Transport) -> Carrier {
        Carrier { transport, wire: none::Wire::default() }
    }

    /// Which transport it is.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// What carries the message.
    pub fn encode(&mut self, message: &Message) -> Result<Vec<u8>, DecodeError> {
        match self.transport {
            Transport::Doe => doe::encode_message(message),
            Transport::Mctp => Ok(mctp::encode_message(message)),
            Transport::None => Ok(self.wire.encode(message)),
        }
    }

    /// The message that is carried.
    pub fn decode(&mut self, payload: &[u8]) -> Result<Message, DecodeError> {
        match self.transport {
            Transport::Doe => doe::decode_message(payload),
            Transport::Mctp => mctp::decode_message(payload),
            Transport::None => Ok(self.wire.decode(payload)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transport_carries_both_kinds() {
        for transport in [Transport::Doe, Transport::Mctp, Transport::None] {
            let (mut near, mut far) = (Carrier::new(transport), Carrier::new(transport));
            let messages = [
                Message::Clear(alloc::vec![0x12, 0xe4, 0, 0, 7, 7, 0, 0]),
                Message::Clear(alloc::vec![0x12, 0x64, 0, 0, 1, 0, 0, 0]),
                Message::Secured(alloc::vec![7, 7, 1, 0, 9, 9, 9, 9]),
            ];
            for message in messages {
                let payload = near.encode(&message).unwrap();
                assert_eq!(far.decode(&payload), Ok(message));
            }
        }
    }
}
