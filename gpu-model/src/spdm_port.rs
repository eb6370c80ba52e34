//! Ports on which SEC2 speaks SPDM besides the mailbox, as a management controller's bus would be.
//!
//! A port has a conversation of its own, so whoever speaks there disturbs no guest: its sessions
//! open no channel, and their keys go nowhere. What it presents, signs and measures is the same as
//! in the mailbox. A [`port`](SpdmPort) takes and gives what its [`Transport`] carries;
//! [`SpdmSocket`] puts a port behind the socket framing of the DMTF's emulators. Bytes in, bytes
//! out: the embedder has the socket.

use std::sync::Arc;

use ravelin_spdm::Message;
use ravelin_spdm::message::Codec;
use ravelin_spdm::message::error::{ErrorCode, ErrorResponse};
use ravelin_spdm::transport::carrier::{Carrier, Transport};
use ravelin_spdm::transport::doe::{self, ObjectType};
use ravelin_spdm::version::Version;

use crate::machine::Machine;
use crate::sec2;

mod socket;

pub use socket::{Carried, MAX_PAYLOAD, Served, SpdmSocket};

/// A port on which SEC2 speaks SPDM. It is closed when dropped.
pub struct SpdmPort {
    machine: Arc<Machine>,
    number: u64,
    carrier: Carrier,
}

impl SpdmPort {
    pub(crate) fn open(machine: Arc<Machine>, transport: Transport) -> SpdmPort {
        let number = machine.next_port();
        SpdmPort { machine, number, carrier: Carrier::new(transport) }
    }

    /// What carries the port's messages.
    pub fn transport(&self) -> Transport {
        self.carrier.transport()
    }

    /// Gives SEC2 what the transport carried and takes what it carries back. There always is an
    /// answer: to what is not even the transport's, the ERROR for an invalid request; while the GPU
    /// boots, the one for a busy device.
    pub fn exchange(&mut self, payload: &[u8]) -> Vec<u8> {
        if self.transport() == Transport::Doe
            && let Ok((ObjectType::Discovery, request)) = doe::decode(payload)
            && let Some(answer) = sec2::discover(request)
        {
            return answer;
        }
        // SEC2 knows best how to refuse what is no message: it has agreed on a version.
        let message = self.carrier.decode(payload).unwrap_or(Message::Clear(Vec::new()));
        self.answer(&message)
    }

    /// The answer to a message that is longer than any that is taken.
    fn refuse_too_long(&mut self) -> Vec<u8> {
        self.answer(&Message::Clear(vec![0; MAX_PAYLOAD + 1]))
    }

    fn answer(&mut self, message: &Message) -> Vec<u8> {
        let framing = self.transport().framing();
        let answer = self.machine.port_exchange(self.number, framing, message);
        let answer = answer.unwrap_or_else(|| refusal(ErrorCode::Busy));
        self.carrier.encode(&answer).unwrap_or_else(|_| {
            // Only a message that no transport carries is not carried.
            self.carrier.encode(&refusal(ErrorCode::Unspecified)).unwrap_or_default()
        })
    }
}

impl Drop for SpdmPort {
    fn drop(&mut self) {
        self.machine.close_port(self.number);
    }
}

/// An ERROR of the version in which all begins.
fn refusal(code: ErrorCode) -> Message {
    Message::Clear(ErrorResponse { code, data: 0, extended: Vec::new() }.encode(Version::V1_0))
}

#[cfg(test)]
mod tests;
