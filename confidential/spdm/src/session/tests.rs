//! Records as DSP0277 lays them out, and attacks on them.

use std::vec;

use super::*;
use crate::transport::{doe, mctp};

impl RecordKeys {
    fn twin(&self) -> RecordKeys {
        let RecordKeys { cipher, iv, sequence } = self;
        RecordKeys { cipher: cipher.clone(), iv: Zeroizing::new(**iv), sequence: *sequence }
    }
}

impl SecuredSession {
    /// The peer's end as it is if all has arrived: for those who write other messages into records.
    pub(crate) fn peer(&self) -> SecuredSession {
        let (sending, receiving) = (self.receiving.twin(), self.sending.twin());
        SecuredSession { id: self.id, framing: self.framing, sending, receiving, superseded: None }
    }

    /// The peer's end where it has not begun to use its new keys.
    pub(crate) fn peer_with_superseded_keys(&self) -> Option<SecuredSession> {
        let sending = self.superseded.as_ref()?.twin();
        Some(SecuredSession { sending, ..self.peer() })
    }

    /// A record with a message of another type.
    pub(crate) fn seal_type(&mut self, message_type: u8, message: &[u8]) -> Vec<u8> {
        let framing = self.framing;
        self.framing = Framing { inner_type: Some(message_type), ..framing };
        let record = self.seal(message).unwrap();
        self.framing = framing;
        record
    }

    /// What a record from the peer says, and under which keys.
    pub(crate) fn peek(&self, record: &[u8]) -> Option<(Vec<u8>, Under)> {
        let mut twin = SecuredSession {
            sending: self.sending.twin(),
            receiving: self.receiving.twin(),
            superseded: self.superseded.as_ref().map(RecordKeys::twin),
            ..*self
        };
        let (message, under) = twin.open_either(record).ok()?;
        Some((message.to_vec(), under))
    }
}

fn keys(byte: u8) -> DirectionKeys {
    DirectionKeys { key: [byte; 32], iv: [byte; 12] }
}

fn ends(framing: Framing) -> (SecuredSession, SecuredSession) {
    let id = 0x0001_1234;
    (
        SecuredSession::new(id, framing, &keys(1), &keys(2)),
        SecuredSession::new(id, framing, &keys(2), &keys(1)),
    )
}

#[test]
fn a_record_is_laid_out_as_the_specification_says() {
    let (mut sender, _) = ends(doe::FRAMING);
    let first = sender.seal(b"hello").unwrap();
    let second = sender.seal(b"hello").unwrap();
    for (sequence, record) in [first, second].into_iter().enumerate() {
        // Session id, then the length of what follows: 2 for a length, the message, the tag.
        assert_eq!(record[..6], [0x34, 0x12, 0x01, 0x00, 2 + 5 + 16, 0]);
        let mut nonce = [1; 12];
        nonce[0] ^= sequence as u8;
        let mut body = vec![5, 0];
        body.extend_from_slice(b"hello");
        let cipher = Aes256Gcm::new((&[1; 32]).into());
        let buffer = body.as_mut_slice().into();
        let tag = cipher.encrypt_inout_detached(&nonce.into(), &record[..6], buffer).unwrap();
        assert_eq!(record[6..], [body.as_slice(), &tag].concat());
    }
}

#[test]
fn a_transport_may_transmit_the_sequence_number() {
    let (mut sender, mut receiver) =
        ends(Framing { alignment: 1, sequence_size: 2, inner_type: None });
    for sequence in 0..3 {
        let record = sender.seal(b"hello").unwrap();
        assert_eq!(record[4..8], [sequence, 0, 2 + 5 + 16, 0]);
        assert_eq!(receiver.open(&record).unwrap().as_slice(), b"hello");
    }
    let mut record = sender.seal(b"hello").unwrap();
    record[4] += 1;
    assert_eq!(receiver.open(&record), Err(SessionError::Forged));
}

/// A record of one's own making around this plaintext.
fn record_of(framing: Framing, body: &[u8]) -> Vec<u8> {
    let mut record = vec![0x34, 0x12, 0x01, 0x00];
    record.resize(4 + framing.sequence_size, 0);
    record.extend_from_slice(&((body.len() + TAG_SIZE) as u16).to_le_bytes());
    let mut body = body.to_vec();
    let cipher = Aes256Gcm::new((&[1; 32]).into());
    let buffer = body.as_mut_slice().into();
    let tag = cipher.encrypt_inout_detached(&[1; 12].into(), &record, buffer).unwrap();
    [record.as_slice(), &body, &tag].concat()
}

#[test]
fn a_transport_may_put_a_type_before_the_message() {
    let (mut sender, mut receiver) = ends(mctp::FRAMING);
    let record = sender.seal(b"hello").unwrap();
    assert_eq!(record, record_of(mctp::FRAMING, b"\x06\0\x05hello"));
    assert_eq!(receiver.open(&record).unwrap().as_slice(), b"hello");
    for (body, error) in [
        (b"\x06\0\x01hello".as_slice(), SessionError::OtherType { found: 1 }),
        (b"\0\0", SessionError::Forged),
    ] {
        let record = record_of(mctp::FRAMING, body);
        assert_eq!(ends(mctp::FRAMING).1.open(&record), Err(error));
    }
}

#[test]
fn random_data_behind_the_message_is_read_over() {
    let record = record_of(doe::FRAMING, b"\x05\0hello, random");
    assert_eq!(ends(doe::FRAMING).1.open(&record).unwrap().as_slice(), b"hello");
    let record = record_of(doe::FRAMING, b"\x06\0hello");
    assert_eq!(ends(doe::FRAMING).1.open(&record), Err(SessionError::Forged));
}

#[test]
fn every_byte_of_a_record_counts() {
    let record = ends(doe::FRAMING).0.seal(b"hello").unwrap();
    for bit in 0..record.len() * 8 {
        let mut changed = record.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(ends(doe::FRAMING).1.open(&changed).is_err(), "bit {bit}");
    }
    assert!(ends(doe::FRAMING).1.open(&record).is_ok());
}

#[test]
fn replayed_reordered_and_reflected_records_do_not_open() {
    let (mut sender, mut receiver) = ends(doe::FRAMING);
    let records = [(); 3].map(|()| sender.seal(b"hello").unwrap());
    assert!(receiver.open(&records[0]).is_ok());
    assert_eq!(receiver.open(&records[0]), Err(SessionError::Forged));
    let (_, mut receiver) = ends(doe::FRAMING);
    assert_eq!(receiver.open(&records[1]), Err(SessionError::Forged));
    assert_eq!(sender.open(&records[0]), Err(SessionError::Forged));
}

#[test]
fn padding_of_the_transport_is_checked_and_bounded() {
    let record = ends(doe::FRAMING).0.seal(b"hello").unwrap();
    let padded = |padding: &[u8]| [record.as_slice(), padding].concat();
    assert!(ends(doe::FRAMING).1.open(&padded(&[0; 3])).is_ok());
    assert!(ends(doe::FRAMING).1.open(&padded(&[0; 4])).is_err());
    assert!(ends(doe::FRAMING).1.open(&padded(&[0, 1])).is_err());
}

#[test]
fn a_used_up_key_seals_and_opens_nothing() {
    let (mut sender, mut receiver) = ends(doe::FRAMING);
    sender.sending.sequence = MAX_SEQUENCE - 1;
    receiver.receiving.sequence = MAX_SEQUENCE - 1;
    let last = sender.seal(b"hello").unwrap();
    assert!(receiver.open(&last).is_ok());
    assert_eq!(sender.seal(b"hello"), Err(SessionError::Exhausted));
    assert_eq!(receiver.open(&last), Err(SessionError::Exhausted));
}

#[test]
fn a_message_that_does_not_fit_is_refused() {
    let (mut sender, _) = ends(doe::FRAMING);
    let longest = usize::from(u16::MAX) - 2 - 16;
    assert!(sender.seal(&vec![0; longest]).is_ok());
    let length = longest + 1;
    assert_eq!(sender.seal(&vec![0; length]), Err(SessionError::TooLong { length }));
}
