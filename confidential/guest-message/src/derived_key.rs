//! MSG_KEY_REQ and MSG_KEY_RSP (ABI, "Key Derivation"): a key that the AMD-SP derives from the chip's
//! secrets and from what the guest is.

use crate::header::MessageType;
use crate::{NoAnswer, Payload, Request, Response, field, is_zero, put};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes of the request's version 1.
const REQUEST_SIZE: usize = 0x20;
const GUEST_FIELDS: usize = 0x08;
const VMPL: usize = 0x10;
const GUEST_SVN: usize = 0x14;
const TCB: usize = 0x18;
/// Bytes of the response, and where the key begins.
const RESPONSE_SIZE: usize = 0x40;
const KEY: usize = 0x20;

/// What goes into the key (GUEST_FIELD_SELECT): one bit each.
pub mod guest_field {
    /// The guest's policy.
    pub const POLICY: u64 = 1 << 0;
    /// IMAGE_ID.
    pub const IMAGE_ID: u64 = 1 << 1;
    /// FAMILY_ID.
    pub const FAMILY_ID: u64 = 1 << 2;
    /// The launch measurement.
    pub const MEASUREMENT: u64 = 1 << 3;
    /// GUEST_SVN.
    pub const GUEST_SVN: u64 = 1 << 4;
    /// The TCB version.
    pub const TCB_VERSION: u64 = 1 << 5;
    /// All of them.
    pub const ALL: u64 = (1 << 6) - 1;
}

/// MSG_KEY_REQ, version 1, from the VCEK (the VMRK belongs to migration agents).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRequest {
    /// GUEST_FIELD_SELECT, of [`guest_field`].
    pub guest_fields: u64,
    /// VMPL to mix in, 0 to 3.
    pub vmpl: u32,
    /// GUEST_SVN to mix in, not above the guest's.
    pub guest_svn: u32,
    /// TCB version to mix in, not above the committed one.
    pub tcb: u64,
}

/// MSG_KEY_RSP that grants the key. It wipes itself.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct KeyResponse {
    key: [u8; 32],
}

impl KeyResponse {
    /// The answer with this key. The caller's own copy is the caller's to wipe.
    pub fn new(key: [u8; 32]) -> KeyResponse {
        KeyResponse { key }
    }

    /// The key.
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }
}

impl Request for KeyRequest {
    type Response = KeyResponse;
    const TYPE: MessageType = MessageType::KeyRequest;

    fn encode(&self) -> Payload {
        let mut payload = Payload::zeros(REQUEST_SIZE);
        let bytes = payload.as_mut_slice();
        put(bytes, GUEST_FIELDS, &self.guest_fields.to_le_bytes());
        put(bytes, VMPL, &self.vmpl.to_le_bytes());
        put(bytes, GUEST_SVN, &self.guest_svn.to_le_bytes());
        put(bytes, TCB, &self.tcb.to_le_bytes());
        payload
    }

    fn decode(payload: &[u8]) -> Option<KeyRequest> {
        if payload.len() != REQUEST_SIZE || !is_zero(payload, 0..GUEST_FIELDS) {
            return None;
        }
        let request = KeyRequest {
            guest_fields: u64::from_le_bytes(field(payload, GUEST_FIELDS)?),
            vmpl: u32::from_le_bytes(field(payload, VMPL)?),
            guest_svn: u32::from_le_bytes(field(payload, GUEST_SVN)?),
            tcb: u64::from_le_bytes(field(payload, TCB)?),
        };
        (request.vmpl < 4 && request.guest_fields & !guest_field::ALL == 0).then_some(request)
    }
}

impl Response for KeyResponse {
    const TYPE: MessageType = MessageType::KeyResponse;

    fn encode(&self) -> Payload {
        let mut payload = Payload::zeros(RESPONSE_SIZE);
        put(payload.as_mut_slice(), KEY, &self.key);
        payload
    }

    fn decode(payload: &[u8]) -> Result<KeyResponse, NoAnswer> {
        if payload.len() != RESPONSE_SIZE {
            return Err(NoAnswer::Malformed);
        }
        match field(payload, 0).map(u32::from_le_bytes) {
            Some(0) => {}
            Some(status) => return Err(NoAnswer::Refused(status)),
            None => return Err(NoAnswer::Malformed),
        }
        Ok(KeyResponse { key: field(payload, KEY).ok_or(NoAnswer::Malformed)? })
    }

    fn refusal(status: u32) -> Payload {
        let mut payload = Payload::zeros(RESPONSE_SIZE);
        put(payload.as_mut_slice(), 0, &status.to_le_bytes());
        payload
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offsets from the ABI's tables.
    #[test]
    fn request_and_response_are_laid_out_as_in_the_abi() {
        let request = KeyRequest {
            guest_fields: guest_field::MEASUREMENT | guest_field::TCB_VERSION,
            vmpl: 1,
            guest_svn: 2,
            tcb: 0x0300_0000_0000_0004,
        };
        let payload = request.encode();
        let bytes = payload.as_slice();
        assert_eq!(bytes.len(), 0x20);
        assert_eq!((bytes[8], bytes[0x10], bytes[0x14]), (0x28, 1, 2));
        assert_eq!((bytes[0x18], bytes[0x1f]), (4, 3));
        assert_eq!(KeyRequest::decode(bytes), Some(request));

        let payload = KeyResponse::new([9; 32]).encode();
        let bytes = payload.as_slice();
        assert_eq!((bytes[0x1f], bytes[0x20], bytes.len()), (0, 9, 0x40));
        assert_eq!(KeyResponse::decode(bytes).map(|answer| *answer.key()), Ok([9; 32]));
        let refusal = KeyResponse::refusal(0x16);
        assert_eq!(KeyResponse::decode(refusal.as_slice()).err(), Some(NoAnswer::Refused(0x16)));
    }

    #[test]
    fn what_the_abi_does_not_allow_is_none() {
        let good = KeyRequest { guest_fields: 0, vmpl: 0, guest_svn: 0, tcb: 0 };
        // The VMRK, a reserved word, a field that is not defined, a VMPL that is none.
        for (at, value) in [(0, 1), (4, 1), (8, 0x40), (0x0f, 1), (0x10, 4)] {
            let mut payload = good.encode();
            payload.as_mut_slice()[at] = value;
            assert_eq!(KeyRequest::decode(payload.as_slice()), None, "{at:#x}");
        }
    }
}
