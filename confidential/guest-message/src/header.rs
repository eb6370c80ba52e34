//! The header of a guest message (ABI, SNP_GUEST_REQUEST, "Message Header Format"): 96 bytes before the
//! payload.
//!
//! | offset | field |
//! | --- | --- |
//! | 0x00 | AUTHTAG, 32 bytes, of which AES-GCM's tag takes 16 |
//! | 0x20 | MSG_SEQNO |
//! | 0x30 | ALGO, HDR_VERSION, HDR_SIZE (16 bits), MSG_TYPE, MSG_VERSION, MSG_SIZE (16 bits) |
//! | 0x3c | MSG_VMPCK |
//!
//! The tag covers 0x30 to the end. The rest is judged here: the sequence number is the nonce, so that
//! another one does not open the message, and what is reserved must be zero.

use crate::{MAX_PAYLOAD, VMPCKS, field, is_zero, put};

/// Bytes of the header.
pub const SIZE: usize = 0x60;
/// Where what the tag covers begins.
pub(crate) const BOUND_FROM: usize = 0x30;
/// Bytes of AES-GCM's tag.
pub(crate) const TAG_SIZE: usize = 16;

const SEQUENCE: usize = 0x20;
const RESERVED_1: core::ops::Range<usize> = 0x28..0x30;
const ALGORITHM: usize = 0x30;
const HEADER_VERSION: usize = 0x31;
const HEADER_SIZE: usize = 0x32;
const MESSAGE_TYPE: usize = 0x34;
const MESSAGE_VERSION: usize = 0x35;
const MESSAGE_SIZE: usize = 0x36;
const RESERVED_2: core::ops::Range<usize> = 0x38..0x3c;
const VMPCK: usize = 0x3c;
const RESERVED_3: core::ops::Range<usize> = 0x3d..SIZE;

/// ALGO: AES-256-GCM.
const AES_256_GCM: u8 = 1;
/// HDR_VERSION.
const VERSION: u8 = 1;

/// MSG_TYPE, as far as guests here use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum MessageType {
    /// MSG_KEY_REQ.
    KeyRequest = 3,
    /// MSG_KEY_RSP.
    KeyResponse = 4,
    /// MSG_REPORT_REQ.
    ReportRequest = 5,
    /// MSG_REPORT_RSP.
    ReportResponse = 6,
}

impl MessageType {
    /// The type of this number.
    pub fn from_number(number: u8) -> Option<MessageType> {
        [Self::KeyRequest, Self::KeyResponse, Self::ReportRequest, Self::ReportResponse]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// MSG_SEQNO: odd from the guest, even from the AMD-SP.
    pub sequence: u64,
    /// MSG_TYPE, known here or not.
    pub kind: u8,
    /// MSG_VERSION, of the payload.
    pub version: u8,
    /// MSG_SIZE: bytes of the payload.
    pub size: u16,
    /// MSG_VMPCK: under which key.
    pub vmpck: u8,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// ALGO is not AES-256-GCM.
    #[error("a guest message of algorithm {0}, where 1 is the only one")]
    Algorithm(u8),
    /// HDR_VERSION or HDR_SIZE of another layout.
    #[error(
        "a guest message with a header of version {0} and {1} bytes, where 1 and {SIZE} are known"
    )]
    Layout(u8, u16),
    /// MSG_SIZE does not fit the page.
    #[error("a guest message of {0} bytes does not fit its page")]
    Size(u16),
    /// There are fewer keys.
    #[error("a guest message under key {0}, where 0 to 3 are all")]
    Key(u8),
    /// Something reserved, or the unused half of the tag, is not zero.
    #[error("a guest message with a reserved part that is not zero")]
    Reserved,
}

impl Header {
    /// The header as it stands in the page, with its tag.
    pub fn encode(&self, tag: &[u8; TAG_SIZE]) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        put(&mut bytes, 0, tag);
        put(&mut bytes, SEQUENCE, &self.sequence.to_le_bytes());
        put(&mut bytes, ALGORITHM, &[AES_256_GCM]);
        put(&mut bytes, HEADER_VERSION, &[VERSION]);
        put(&mut bytes, HEADER_SIZE, &(SIZE as u16).to_le_bytes());
        put(&mut bytes, MESSAGE_TYPE, &[self.kind]);
        put(&mut bytes, MESSAGE_VERSION, &[self.version]);
        put(&mut bytes, MESSAGE_SIZE, &self.size.to_le_bytes());
        put(&mut bytes, VMPCK, &[self.vmpck]);
        bytes
    }

    /// The header in these bytes, and its tag.
    ///
    /// # Errors
    /// What no message may say.
    pub fn decode(bytes: &[u8; SIZE]) -> Result<(Header, [u8; TAG_SIZE]), Malformed> {
        let byte = |at: usize| bytes.get(at).copied().unwrap_or_default();
        let short = |at| u16::from_le_bytes(field(bytes, at).unwrap_or_default());
        if byte(ALGORITHM) != AES_256_GCM {
            return Err(Malformed::Algorithm(byte(ALGORITHM)));
        }
        let layout = (byte(HEADER_VERSION), short(HEADER_SIZE));
        if layout != (VERSION, SIZE as u16) {
            return Err(Malformed::Layout(layout.0, layout.1));
        }
        let header = Header {
            sequence: u64::from_le_bytes(field(bytes, SEQUENCE).unwrap_or_default()),
            kind: byte(MESSAGE_TYPE),
            version: byte(MESSAGE_VERSION),
            size: short(MESSAGE_SIZE),
            vmpck: byte(VMPCK),
        };
        if usize::from(header.size) > MAX_PAYLOAD {
            return Err(Malformed::Size(header.size));
        }
        if usize::from(header.vmpck) >= VMPCKS {
            return Err(Malformed::Key(header.vmpck));
        }
        let reserved = [TAG_SIZE..SEQUENCE, RESERVED_1, RESERVED_2, RESERVED_3];
        if !reserved.into_iter().all(|range| is_zero(bytes, range)) {
            return Err(Malformed::Reserved);
        }
        Ok((header, field(bytes, 0).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Offsets from the ABI's table, as Linux (`struct snp_guest_msg_hdr`) has them too.
    #[test]
    fn fields_stand_where_the_abi_puts_them() {
        let header = Header {
            sequence: 0x1122_3344_5566_7701,
            kind: MessageType::ReportRequest as u8,
            version: 1,
            size: 0x60,
            vmpck: 2,
        };
        let bytes = header.encode(&[0xaa; 16]);
        assert_eq!(bytes[..0x10], [0xaa; 16]);
        assert_eq!(bytes[0x10..0x20], [0; 16]);
        assert_eq!(bytes[0x20..0x28], [0x01, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]);
        assert_eq!(bytes[0x28..0x30], [0; 8]);
        assert_eq!(bytes[0x30..0x38], [1, 1, 0x60, 0, 5, 1, 0x60, 0]);
        assert_eq!(bytes[0x38..0x3e], [0, 0, 0, 0, 2, 0]);
        assert_eq!(Header::decode(&bytes), Ok((header, [0xaa; 16])));
    }

    proptest! {
        #[test]
        fn a_header_has_one_encoding(mut bytes: [u8; SIZE], sound: bool) {
            if sound {
                bytes[0x30..0x34].copy_from_slice(&[1, 1, 0x60, 0]);
                for range in [0x10..0x20, 0x28..0x30, 0x38..0x3c, 0x3d..0x60] {
                    bytes[range].fill(0);
                }
                bytes[0x37] &= 0xf;
                bytes[0x3c] &= 3;
            }
            if let Ok((header, tag)) = Header::decode(&bytes) {
                prop_assert_eq!(header.encode(&tag), bytes);
            }
        }
    }
}
