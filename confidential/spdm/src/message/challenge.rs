//! CHALLENGE and CHALLENGE_AUTH: the responder proves that it has the key of its certificate.

use alloc::vec::Vec;

use super::certificate::{slot, slot_of_half};
use super::key_exchange::{SIGNATURE_SIZE, SummaryType, read_opaque};
use super::measurements::{CONTEXT_SIZE, put_context, read_context};
use super::{Codec, Header, code, open};
use crate::version::Version;
use crate::wire::{DecodeError, Reader, put_u16_prefixed};

/// Attribute: the requester shall prove its identity in turn (deprecated in version 1.2).
const BASIC_MUTUAL_AUTHENTICATION: u8 = 1 << 7;

/// Asks for a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The slot whose chain the responder proves.
    pub slot: u8,
    /// Which measurement summary the response shall carry.
    pub summary: SummaryType,
    /// Makes the signature fresh.
    pub nonce: [u8; 32],
    /// The requester's own, from version 1.3 on.
    pub context: [u8; CONTEXT_SIZE],
}

/// The proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengeAuth {
    /// The slot asked for.
    pub slot: u8,
    /// Whether the requester shall prove its identity in turn.
    pub mutual_authentication: bool,
    /// Bit n: slot n has a chain.
    pub slot_mask: u8,
    /// Digest of the slot's chain.
    pub chain_digest: [u8; 48],
    /// Random.
    pub nonce: [u8; 32],
    /// Digest of the measurements asked for.
    pub summary: Option<[u8; 48]>,
    /// The responder's own.
    pub opaque: Vec<u8>,
    /// The request's, from version 1.3 on.
    pub context: [u8; CONTEXT_SIZE],
    /// Over everything before, see [`transcript`](crate::transcript).
    pub signature: [u8; SIGNATURE_SIZE],
}

impl Codec for Challenge {
    const CODE: u8 = code::CHALLENGE;
    type Context = ();

    fn encode(&self, version: Version) -> Vec<u8> {
        let mut out = open(version, Self::CODE, self.slot, self.summary as u8);
        out.extend_from_slice(&self.nonce);
        put_context(&mut out, version, &self.context);
        out
    }

    fn read(reader: &mut Reader<'_>, header: Header, (): ()) -> Result<Challenge, DecodeError> {
        Ok(Challenge {
            slot: slot(header.param1)?,
            summary: SummaryType::from_byte(header.param2)?,
            nonce: reader.array()?,
            context: read_context(reader, header)?,
        })
    }
}

impl Codec for ChallengeAuth {
    const CODE: u8 = code::CHALLENGE_AUTH;
    /// The summary asked for.
    type Context = SummaryType;

    fn encode(&self, version: Version) -> Vec<u8> {
        let mutual = if self.mutual_authentication { BASIC_MUTUAL_AUTHENTICATION } else { 0 };
        let mut out = open(version, Self::CODE, self.slot | mutual, self.slot_mask);
        out.extend_from_slice(&self.chain_digest);
        out.extend_from_slice(&self.nonce);
        self.summary.iter().for_each(|summary| out.extend_from_slice(summary));
        put_u16_prefixed(&mut out, &self.opaque);
        put_context(&mut out, version, &self.context);
        out.extend_from_slice(&self.signature);
        out
    }

    fn read(
        reader: &mut Reader<'_>,
        header: Header,
        summary: SummaryType,
    ) -> Result<ChallengeAuth, DecodeError> {
        Ok(ChallengeAuth {
            slot: slot_of_half(header.param1)?,
            mutual_authentication: header.param1 & BASIC_MUTUAL_AUTHENTICATION != 0,
            slot_mask: header.param2,
            chain_digest: reader.array()?,
            nonce: reader.array()?,
            summary: match summary {
                SummaryType::None => None,
                SummaryType::Tcb | SummaryType::All => Some(reader.array()?),
            },
            opaque: read_opaque(reader)?,
            context: read_context(reader, header)?,
            signature: reader.array()?,
        })
    }
}
