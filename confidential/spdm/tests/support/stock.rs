//! The arithmetic of DSP0274 and DSP0277, written from the specifications and from nothing else: what
//! is signed, the key schedule, records.
#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};
use sha2::{Digest, Sha384};

/// DSP0274, "Signature generation": from 1.2 on the hash of four times the version, zeros up to 100
/// bytes with the context at their end, and the hash of the transcript; in 1.1 the transcript's own.
pub(crate) fn digest_to_sign(version: u8, context: &str, transcript: &[u8]) -> [u8; 48] {
    let digest = Sha384::digest(transcript);
    if version == 0x11 {
        return digest.into();
    }
    let mut message = format!("dmtf-spdm-v1.{}.*", version & 0xf).repeat(4).into_bytes();
    message.resize(100 - context.len(), 0);
    message.extend_from_slice(context.as_bytes());
    message.extend_from_slice(&digest);
    Sha384::digest(&message).into()
}

/// RFC 2104.
pub(crate) fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0; 128];
    block[..key.len()].copy_from_slice(key);
    let inner = Sha384::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message);
    let outer = Sha384::new().chain_update(block.map(|byte| byte ^ 0x5c));
    outer.chain_update(inner.finalize()).finalize().to_vec()
}

/// DSP0274, "Key schedule": HKDF-Expand with BinConcat; one block is enough for all of them.
pub(crate) fn expand(
    version: u8,
    secret: &[u8],
    length: u16,
    label: &str,
    context: &[u8],
) -> Vec<u8> {
    let version = format!("spdm1.{} ", version & 0xf);
    let info =
        [&length.to_le_bytes(), version.as_bytes(), label.as_bytes(), context, &[1]].concat();
    hmac(secret, &info)[..length.into()].to_vec()
}

/// One direction of a session.
pub(crate) struct Direction {
    version: u8,
    secret: Vec<u8>,
    sequence: u64,
}

impl Direction {
    pub(crate) fn new(version: u8, secret: Vec<u8>) -> Direction {
        Direction { version, secret, sequence: 0 }
    }

    /// "Major secrets update".
    pub(crate) fn update(&mut self) {
        let secret = expand(self.version, &self.secret, 48, "traffic upd", &[]);
        *self = Direction::new(self.version, secret);
    }

    fn cipher(&self) -> Aes256Gcm {
        let key: [u8; 32] = expand(self.version, &self.secret, 32, "key", &[]).try_into().unwrap();
        Aes256Gcm::new(&key.into())
    }

    /// DSP0277, "IV construction": the sequence number, little-endian, exclusive-ored to its front.
    fn nonce(&mut self) -> [u8; 12] {
        let mut iv = expand(self.version, &self.secret, 12, "iv", &[]);
        for (byte, number) in iv.iter_mut().zip(self.sequence.to_le_bytes()) {
            *byte ^= number;
        }
        self.sequence += 1;
        iv.try_into().unwrap()
    }

    /// DSP0276: session id, 16 bits of the sequence number, the length of what follows, and
    /// encrypted the length of the message, the message type 5, the message; the tag.
    pub(crate) fn seal(&mut self, id: [u8; 4], message: &[u8]) -> Vec<u8> {
        let length = (2 + 1 + message.len() + 16) as u16;
        let sequence = (self.sequence as u16).to_le_bytes();
        let header = [id.as_slice(), &sequence, &length.to_le_bytes()].concat();
        let inner = ((1 + message.len()) as u16).to_le_bytes();
        let mut body = [inner.as_slice(), &[5], message].concat();
        let nonce = self.nonce().into();
        let buffer = body.as_mut_slice().into();
        let tag = self.cipher().encrypt_inout_detached(&nonce, &header, buffer).unwrap();
        [header.as_slice(), &body, &tag].concat()
    }

    pub(crate) fn open(&mut self, id: [u8; 4], record: &[u8]) -> Vec<u8> {
        assert_eq!(record[..4], id);
        assert_eq!(record[4..6], (self.sequence as u16).to_le_bytes());
        assert_eq!(usize::from(u16::from_le_bytes([record[6], record[7]])), record.len() - 8);
        let (header, rest) = record.split_at(8);
        let (body, tag) = rest.split_at(rest.len() - 16);
        let mut body = body.to_vec();
        let tag: [u8; 16] = tag.try_into().unwrap();
        let nonce = self.nonce().into();
        let buffer = body.as_mut_slice().into();
        self.cipher().decrypt_inout_detached(&nonce, header, buffer, &tag.into()).unwrap();
        let length = usize::from(u16::from_le_bytes([body[0], body[1]]));
        assert_eq!((body[2], body.len()), (5, 2 + length));
        body.split_off(3)
    }
}
