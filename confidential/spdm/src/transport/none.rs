//! No transport at all: what the emulators' socket calls `none`. Messages go as they are.
//!
//! Nothing then tells a secured message from one in clear, and the emulators, whose sessions want
//! another transport, need not know. Here the ends of a [`Wire`] listen for the session's id while
//! KEY_EXCHANGE passes in clear: what begins with it is a record of that session.

use alloc::vec::Vec;

use super::{Framing, Message};
use crate::message::code;
use crate::version::Version;

/// Nothing is filled up, and whoever has the wire keeps the order: no sequence number.
pub const FRAMING: Framing = Framing { alignment: 1, sequence_size: 0, inner_type: None };

/// One end of a wire without a transport. It has to see all messages, either way.
#[derive(Clone, Debug, Default)]
pub struct Wire {
    /// ReqSessionID of the last KEY_EXCHANGE.
    asked: Option<[u8; 2]>,
    /// The session's id as records begin with it.
    session: Option<[u8; 4]>,
}

impl Wire {
    /// The bytes that carry a message.
    pub fn encode(&mut self, message: &Message) -> Vec<u8> {
        if let Message::Clear(bytes) = message {
            self.listen(bytes);
        }
        message.as_bytes().to_vec()
    }

    /// The message in these bytes.
    pub fn decode(&mut self, bytes: &[u8]) -> Message {
        if self.session.is_some_and(|session| bytes.starts_with(&session)) {
            return Message::Secured(bytes.to_vec());
        }
        self.listen(bytes);
        Message::Clear(bytes.to_vec())
    }

    /// Learns from a message in clear which session there is.
    fn listen(&mut self, bytes: &[u8]) {
        let [_, code, _, _, rest @ ..] = bytes else { return };
        match (*code, rest) {
            (code::GET_VERSION, _) if bytes.first() == Some(&(Version::V1_0 as u8)) => {
                *self = Wire::default();
            }
            (code::KEY_EXCHANGE, [low, high, ..]) => self.asked = Some([*low, *high]),
            (code::KEY_EXCHANGE_RSP, [low, high, ..]) => {
                if let Some([asked_low, asked_high]) = self.asked.take() {
                    self.session = Some([asked_low, asked_high, *low, *high]);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY_EXCHANGE: [u8; 6] = [0x12, code::KEY_EXCHANGE, 0, 0, 1, 2];
    const KEY_EXCHANGE_RSP: [u8; 6] = [0x12, code::KEY_EXCHANGE_RSP, 0, 0, 3, 4];
    const RECORD: [u8; 6] = [1, 2, 3, 4, 0, 0];

    fn clear(bytes: &[u8]) -> Message {
        Message::Clear(bytes.to_vec())
    }

    #[test]
    fn a_record_is_known_by_the_session_that_was_agreed() {
        let (mut near, mut far) = (Wire::default(), Wire::default());
        assert_eq!(far.decode(&RECORD), clear(&RECORD));
        assert_eq!(far.decode(&near.encode(&clear(&KEY_EXCHANGE))), clear(&KEY_EXCHANGE));
        assert_eq!(near.decode(&far.encode(&clear(&KEY_EXCHANGE_RSP))), clear(&KEY_EXCHANGE_RSP));
        let record = Message::Secured(RECORD.to_vec());
        assert_eq!(far.decode(&near.encode(&record)), record);
        assert_eq!(near.decode(&far.encode(&record)), record);
        assert_eq!(far.decode(&[1, 2, 3, 5, 0, 0]), clear(&[1, 2, 3, 5, 0, 0]));
    }

    #[test]
    fn get_version_ends_what_records_belong_to() {
        let mut wire = Wire::default();
        wire.decode(&KEY_EXCHANGE);
        wire.encode(&clear(&KEY_EXCHANGE_RSP));
        wire.decode(&[0x10, code::GET_VERSION, 0, 0]);
        assert_eq!(wire.decode(&RECORD), clear(&RECORD));
    }

    #[test]
    fn an_answer_without_a_question_opens_no_session() {
        let mut wire = Wire::default();
        wire.decode(&KEY_EXCHANGE_RSP);
        assert_eq!(wire.decode(&[0, 0, 3, 4]), clear(&[0, 0, 3, 4]));
        wire.decode(&[]);
        wire.decode(&[0x12, code::KEY_EXCHANGE, 0, 0, 1]);
        wire.decode(&KEY_EXCHANGE_RSP);
        assert_eq!(wire.decode(&RECORD), clear(&RECORD));
    }
}
