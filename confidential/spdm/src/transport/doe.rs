//! PCIe Data Object Exchange: the data objects that carry SPDM (PCIe Base 6.0, section 6.30; CMA,
//! section 6.31), and the discovery of what an instance speaks.
//!
//! A data object is a vendor and type, a length in dwords, and the payload, filled up with zeros to
//! a whole dword. The mailbox's registers are the business of `ravelin-gpu-abi` and its users.

use alloc::vec::Vec;

use super::{Framing, Message};
use crate::wire::{DecodeError, Reader, value};

/// The PCI-SIG's vendor id.
pub const VENDOR_PCI_SIG: u16 = 0x0001;

/// Bytes of a data object's header.
pub const HEADER_SIZE: usize = 8;

/// Most dwords of a data object, header included; the length field spells it as zero.
const MAX_DWORDS: usize = 1 << 18;

/// DOE fills up to dwords; a secured message carries no sequence number, since the mailbox takes
/// one object after another.
pub const FRAMING: Framing = Framing { alignment: 4, sequence_size: 0, inner_type: None };

/// What a data object of the PCI-SIG's carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ObjectType {
    /// [`Discovery`] and [`Discovered`].
    Discovery = 0,
    /// CMA/SPDM: an SPDM message in clear.
    Spdm = 1,
    /// Secured CMA/SPDM: a secured message.
    SecuredSpdm = 2,
}

impl ObjectType {
    /// All that are spoken here, in the order in which discovery tells them.
    pub const ALL: [ObjectType; 3] =
        [ObjectType::Discovery, ObjectType::Spdm, ObjectType::SecuredSpdm];
}

/// A data object with this payload.
pub fn encode(object_type: ObjectType, payload: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let dwords = HEADER_SIZE / 4 + payload.len().div_ceil(4);
    if dwords > MAX_DWORDS {
        return Err(value("Length", dwords as u64));
    }
    let length = (dwords % MAX_DWORDS) as u32;
    let mut object = VENDOR_PCI_SIG.to_le_bytes().to_vec();
    object.extend_from_slice(&[object_type as u8, 0]);
    object.extend_from_slice(&length.to_le_bytes());
    object.extend_from_slice(payload);
    object.resize(dwords * 4, 0);
    Ok(object)
}

/// Type and payload of a data object, padding included: only the payload itself tells its length.
pub fn decode(object: &[u8]) -> Result<(ObjectType, &[u8]), DecodeError> {
    let mut reader = Reader::new(object);
    let vendor = reader.u16()?;
    if vendor != VENDOR_PCI_SIG {
        return Err(value("Vendor ID", vendor));
    }
    let object_type = reader.u8()?;
    let object_type = ObjectType::ALL
        .into_iter()
        .find(|known| *known as u8 == object_type)
        .ok_or(value("Data Object Type", object_type))?;
    reader.skip(1)?;
    // Its upper bits are reserved.
    let length = reader.u32()? & (MAX_DWORDS as u32 - 1);
    let dwords = if length == 0 { MAX_DWORDS } else { length as usize };
    if !(HEADER_SIZE / 4..=MAX_DWORDS).contains(&dwords) {
        return Err(value("Length", length));
    }
    let payload = reader.bytes(dwords * 4 - HEADER_SIZE)?;
    reader.finish(1)?;
    Ok((object_type, payload))
}

/// The data object that carries a message.
pub fn encode_message(message: &Message) -> Result<Vec<u8>, DecodeError> {
    match message {
        Message::Clear(bytes) => encode(ObjectType::Spdm, bytes),
        Message::Secured(bytes) => encode(ObjectType::SecuredSpdm, bytes),
    }
}

/// The message in a data object.
pub fn decode_message(object: &[u8]) -> Result<Message, DecodeError> {
    match decode(object)? {
        (ObjectType::Spdm, bytes) => Ok(Message::Clear(bytes.to_vec())),
        (ObjectType::SecuredSpdm, bytes) => Ok(Message::Secured(bytes.to_vec())),
        (ObjectType::Discovery, _) => Err(value("Data Object Type", ObjectType::Discovery as u8)),
    }
}

/// Payload of a discovery request: which entry of the instance's list to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// Zero at first, then what the last answer said comes next.
    pub index: u8,
}

/// Payload of a discovery response: an entry of the instance's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Discovered {
    /// Who defines the type; all ones where there is no such entry.
    pub vendor: u16,
    /// The type.
    pub object_type: u8,
    /// Index of the next entry; zero behind the last.
    pub next: u8,
}

impl Discovery {
    /// The payload.
    pub fn encode(self) -> Vec<u8> {
        alloc::vec![self.index, 0, 0, 0]
    }

    /// The request in exactly this payload.
    pub fn decode(payload: &[u8]) -> Result<Discovery, DecodeError> {
        let mut reader = Reader::new(payload);
        let index = reader.u8()?;
        reader.skip(3)?;
        reader.finish(1)?;
        Ok(Discovery { index })
    }

    /// The answer of an instance that speaks [`ObjectType::ALL`].
    pub fn answer(self) -> Discovered {
        let Some(object_type) = ObjectType::ALL.get(usize::from(self.index)) else {
            return Discovered { vendor: 0xffff, object_type: 0xff, next: 0 };
        };
        let next = (self.index + 1) % ObjectType::ALL.len() as u8;
        Discovered { vendor: VENDOR_PCI_SIG, object_type: *object_type as u8, next }
    }
}

impl Discovered {
    /// The payload.
    pub fn encode(self) -> Vec<u8> {
        let [low, high] = self.vendor.to_le_bytes();
        alloc::vec![low, high, self.object_type, self.next]
    }

    /// The response in exactly this payload.
    pub fn decode(payload: &[u8]) -> Result<Discovered, DecodeError> {
        let mut reader = Reader::new(payload);
        let discovered =
            Discovered { vendor: reader.u16()?, object_type: reader.u8()?, next: reader.u8()? };
        reader.finish(1)?;
        Ok(discovered)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_object_is_laid_out_as_the_specification_says() {
        let object = encode(ObjectType::SecuredSpdm, &[1, 2, 3, 4, 5]).unwrap();
        assert_eq!(object, [1, 0, 2, 0, 4, 0, 0, 0, 1, 2, 3, 4, 5, 0, 0, 0]);
        let padded: &[u8] = &[1, 2, 3, 4, 5, 0, 0, 0];
        assert_eq!(decode(&object), Ok((ObjectType::SecuredSpdm, padded)));
    }

    #[test]
    fn the_longest_object_spells_its_length_as_zero() {
        let payload = alloc::vec![7; MAX_DWORDS * 4 - HEADER_SIZE];
        let object = encode(ObjectType::Spdm, &payload).unwrap();
        assert_eq!(object[4..8], [0; 4]);
        assert_eq!(decode(&object), Ok((ObjectType::Spdm, payload.as_slice())));
        assert!(encode(ObjectType::Spdm, &[payload, alloc::vec![7]].concat()).is_err());
    }

    #[test]
    fn an_object_of_a_stranger_or_of_wrong_length_is_refused() {
        let object = encode(ObjectType::Spdm, &[1, 2, 3, 4]).unwrap();
        for (at, wrong) in [(0, 2), (1, 1), (2, 3), (4, 2), (4, 4), (4, 1), (6, 2)] {
            let mut changed = object.clone();
            changed[at] = wrong;
            assert!(decode(&changed).is_err(), "byte {at} may be {wrong}");
        }
        // Reserved.
        for (at, ignored) in [(3, 1), (6, 4), (7, 1)] {
            let mut changed = object.clone();
            changed[at] = ignored;
            assert_eq!(decode(&changed), decode(&object), "byte {at}");
        }
    }

    #[test]
    fn discovery_tells_each_type_and_comes_to_an_end() {
        let mut index = 0;
        let mut found = Vec::new();
        loop {
            let payload = Discovery { index }.encode();
            let answer = Discovery::decode(&payload).unwrap().answer().encode();
            let answer = Discovered::decode(&answer).unwrap();
            found.push((answer.vendor, answer.object_type));
            index = answer.next;
            if index == 0 {
                break;
            }
        }
        assert_eq!(found, [(1, 0), (1, 1), (1, 2)]);
        assert_eq!(Discovery { index: 3 }.answer().vendor, 0xffff);
    }

    proptest! {
        #[test]
        fn objects_survive_the_mailbox(payload in prop::collection::vec(any::<u8>(), 0..100)) {
            let object = encode(ObjectType::Spdm, &payload).unwrap();
            let (object_type, padded) = decode(&object).unwrap();
            prop_assert_eq!(object_type, ObjectType::Spdm);
            prop_assert_eq!(&padded[..payload.len()], &payload);
            prop_assert!(padded.len() - payload.len() < 4);
        }

        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(message) = decode_message(&bytes) {
                prop_assert_eq!(encode_message(&message).unwrap().len(), bytes.len());
            }
        }
    }
}
