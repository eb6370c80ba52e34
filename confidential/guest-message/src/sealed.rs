//! The cipher of guest messages: AES-256-GCM, the sequence number as the nonce, the header from ALGO on
//! bound. A key must not seal two messages with one number; that is [`guest`](crate::guest)'s and
//! [`firmware`](crate::firmware)'s business, who count.

use crate::header::{BOUND_FROM, Header, Malformed, SIZE, TAG_SIZE};
use crate::{Page, Payload, Vmpck};
use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{Aes256Gcm, KeyInit};

/// Why a page is no message of the other end's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The header is none.
    #[error("no guest message")]
    Header(#[from] Malformed),
    /// It is for another key.
    #[error("a guest message under key {found}, where key {expected} is used")]
    OtherKey {
        /// The key that is used.
        expected: u8,
        /// MSG_VMPCK.
        found: u8,
    },
    /// It is not the next one: a repetition, a gap, or the reader's own.
    #[error("guest message {found}, where {expected} is next")]
    Sequence {
        /// The only number that is acceptable.
        expected: u64,
        /// MSG_SEQNO.
        found: u64,
    },
    /// The tag is not right.
    #[error("guest message {0} is not authentic")]
    Forged(u64),
}

/// Seals a payload into a page. The tail of the page is zeroed.
pub(crate) fn seal(
    key: &Vmpck,
    sequence: u64,
    kind: u8,
    version: u8,
    payload: &Payload,
    page: &mut Page,
) {
    let plain = payload.as_slice();
    let header = Header { sequence, kind, version, size: plain.len() as u16, vmpck: key.number() };
    let bound = header.encode(&[0; TAG_SIZE]);
    page.fill(0);
    let Some((head, body)) = page.split_first_chunk_mut::<SIZE>() else { return };
    let Some(body) = body.get_mut(..plain.len()) else { return };
    let Ok(buffer) = InOutBuf::new(plain, body) else { return };
    let cipher = Aes256Gcm::new(key.bytes().into());
    // The lengths are far below the cipher's limit, the only thing that it can object to.
    if let Ok(tag) =
        cipher.encrypt_inout_detached(&nonce(sequence).into(), &bound[BOUND_FROM..], buffer)
    {
        *head = header.encode(&tag.into());
    }
}

/// Opens the message that must be this one. Nothing of it is given out before the tag is right. The
/// page must be private memory: it is read twice.
pub(crate) fn open(key: &Vmpck, sequence: u64, page: &Page) -> Result<(Header, Payload), Error> {
    let Some((head, body)) = page.split_first_chunk::<SIZE>() else {
        return Err(Error::Forged(sequence));
    };
    let (header, tag) = Header::decode(head)?;
    if header.vmpck != key.number() {
        return Err(Error::OtherKey { expected: key.number(), found: header.vmpck });
    }
    if header.sequence != sequence {
        return Err(Error::Sequence { expected: sequence, found: header.sequence });
    }
    let forged = Error::Forged(sequence);
    let mut payload = Payload::zeros(header.size.into());
    let sealed = body.get(..header.size.into()).ok_or(forged)?;
    let buffer = InOutBuf::new(sealed, payload.as_mut_slice()).map_err(|_| forged)?;
    Aes256Gcm::new(key.bytes().into())
        .decrypt_inout_detached(&nonce(sequence).into(), &head[BOUND_FROM..], buffer, (&tag).into())
        .map_err(|_| forged)?;
    Ok((header, payload))
}

/// The sequence number, little-endian, zero-extended to 96 bits.
fn nonce(sequence: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&sequence.to_le_bytes());
    nonce
}
