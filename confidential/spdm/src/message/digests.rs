//! GET_DIGESTS and DIGESTS: the digest of the certificate chain in each slot.
//!
//! With several keys of one algorithm, 1.3 adds whose key is whose; nobody here agrees on that.

use alloc::vec::Vec;

use super::{Codec, Header, code, header_only, open};
use crate::version::Version;
use crate::wire::{DecodeError, Reader};

/// Asks for the digests of all slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetDigests;

/// SHA-384 of the chain in each slot that has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests {
    /// Bit n: slot n has a chain.
    pub slot_mask: u8,
    /// By ascending slot, as many as the mask has bits.
    pub digests: Vec<[u8; 48]>,
}

impl Digests {
    /// The digest of a slot's chain.
    pub fn slot(&self, slot: u8) -> Option<&[u8; 48]> {
        let bit = 1u8.checked_shl(slot.into()).filter(|bit| self.slot_mask & bit != 0)?;
        self.digests.get((self.slot_mask & (bit - 1)).count_ones() as usize)
    }
}

header_only!(GetDigests, code::GET_DIGESTS);

impl Codec for Digests {
    const CODE: u8 = code::DIGESTS;
    type Context = ();

    fn encode(&self, version: Version) -> Vec<u8> {
        // From 1.3 on, which slots there are; here those that have a chain.
        let supported = if version >= Version::V1_3 { self.slot_mask } else { 0 };
        let mut out = open(version, Self::CODE, supported, self.slot_mask);
        self.digests.iter().for_each(|digest| out.extend_from_slice(digest));
        out
    }

    fn read(reader: &mut Reader<'_>, header: Header, (): ()) -> Result<Digests, DecodeError> {
        let slot_mask = header.param2;
        let digests =
            (0..slot_mask.count_ones()).map(|_| reader.array()).collect::<Result<_, _>>()?;
        Ok(Digests { slot_mask, digests })
    }
}
