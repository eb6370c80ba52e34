//! KEY_EXCHANGE and KEY_EXCHANGE_RSP: Diffie-Hellman on secp384r1, signed by the responder.

use alloc::vec::Vec;

use super::certificate::slot;
use super::{Codec, Header, code, open};
use crate::version::Version;
use crate::wire::{DecodeError, Reader, put_u16_prefixed, value};

/// Bytes of a Diffie-Hellman share: x and y of a point on secp384r1, big-endian.
pub const EXCHANGE_DATA_SIZE: usize = 96;
/// Bytes of a signature: r and s of ECDSA on P-384, big-endian.
pub const SIGNATURE_SIZE: usize = 96;
/// Bytes of verify data: HMAC-SHA-384.
pub const VERIFY_DATA_SIZE: usize = 48;

/// SessionPolicy: all events are subscribed to (from version 1.3 on).
pub const EVENT_ALL_POLICY: u8 = 1 << 1;

/// Which measurements the responder shall digest into its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SummaryType {
    /// None; the response has no digest.
    None = 0,
    /// Those of the trusted computing base.
    Tcb = 1,
    /// All.
    All = 0xff,
}

impl SummaryType {
    pub(super) fn from_byte(byte: u8) -> Result<SummaryType, DecodeError> {
        Ok(match byte {
            0 => SummaryType::None,
            1 => SummaryType::Tcb,
            0xff => SummaryType::All,
            _ => return Err(value("MeasurementSummaryHashType", byte)),
        })
    }
}

/// The requester's share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyExchange {
    /// Which measurement summary the response shall carry.
    pub summary: SummaryType,
    /// The slot whose chain the responder proves.
    pub slot: u8,
    /// The requester's half of the session's id.
    pub requester_session_id: u16,
    /// SessionPolicy, from version 1.2 on: bit 0, the session may survive an update of the
    /// responder's firmware; bit 1, from version 1.3 on, [`EVENT_ALL_POLICY`].
    pub session_policy: u8,
    /// Random.
    pub random: [u8; 32],
    /// The share.
    pub exchange_data: [u8; EXCHANGE_DATA_SIZE],
    /// See [`opaque`](super::opaque).
    pub opaque: Vec<u8>,
}

/// The responder's share and proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyExchangeResponse {
    /// Seconds between heartbeats; 0 for none.
    pub heartbeat_period: u8,
    /// The responder's half of the session's id.
    pub responder_session_id: u16,
    /// How the requester shall prove its identity; 0 for not at all.
    pub mutual_authentication: u8,
    /// The requester's slot for that.
    pub requester_slot: u8,
    /// Random.
    pub random: [u8; 32],
    /// The share.
    pub exchange_data: [u8; EXCHANGE_DATA_SIZE],
    /// Digest of the measurements asked for.
    pub summary: Option<[u8; 48]>,
    /// See [`opaque`](super::opaque).
    pub opaque: Vec<u8>,
    /// Over everything before, see [`transcript`](crate::transcript).
    pub signature: [u8; SIGNATURE_SIZE],
    /// Proof that the responder has the session's keys.
    pub verify_data: [u8; VERIFY_DATA_SIZE],
}

/// Opaque data with its length in front.
pub(super) fn read_opaque(reader: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    let length = reader.u16()?;
    if usize::from(length) > super::opaque::MAX_LENGTH {
        return Err(value("OpaqueDataLength", length));
    }
    reader.bytes(length.into()).map(<[u8]>::to_vec)
}

impl Codec for KeyExchange {
    const CODE: u8 = code::KEY_EXCHANGE;
    type Context = ();

    fn encode(&self, version: Version) -> Vec<u8> {
        let mut out = open(version, Self::CODE, self.summary as u8, self.slot);
        out.extend_from_slice(&self.requester_session_id.to_le_bytes());
        out.extend_from_slice(&[self.session_policy, 0]);
        out.extend_from_slice(&self.random);
        out.extend_from_slice(&self.exchange_data);
        put_u16_prefixed(&mut out, &self.opaque);
        out
    }

    fn read(reader: &mut Reader<'_>, header: Header, (): ()) -> Result<Self, DecodeError> {
        let summary = SummaryType::from_byte(header.param1)?;
        let slot = slot(header.param2)?;
        let requester_session_id = reader.u16()?;
        let session_policy = reader.u8()?;
        reader.skip(1)?;
        Ok(KeyExchange {
            summary,
            slot,
            requester_session_id,
            session_policy,
            random: reader.array()?,
            exchange_data: reader.array()?,
            opaque: read_opaque(reader)?,
        })
    }
}

impl KeyExchangeResponse {
    /// Bytes behind what the signature covers.
    pub(crate) const UNSIGNED: usize = SIGNATURE_SIZE + VERIFY_DATA_SIZE;
}

impl Codec for KeyExchangeResponse {
    const CODE: u8 = code::KEY_EXCHANGE_RSP;
    /// The summary asked for.
    type Context = SummaryType;

    fn encode(&self, version: Version) -> Vec<u8> {
        let mut out = open(version, Self::CODE, self.heartbeat_period, 0);
        out.extend_from_slice(&self.responder_session_id.to_le_bytes());
        out.extend_from_slice(&[self.mutual_authentication, self.requester_slot]);
        out.extend_from_slice(&self.random);
        out.extend_from_slice(&self.exchange_data);
        self.summary.iter().for_each(|summary| out.extend_from_slice(summary));
        put_u16_prefixed(&mut out, &self.opaque);
        out.extend_from_slice(&self.signature);
        out.extend_from_slice(&self.verify_data);
        out
    }

    fn read(
        reader: &mut Reader<'_>,
        header: Header,
        summary: SummaryType,
    ) -> Result<Self, DecodeError> {
        Ok(KeyExchangeResponse {
            heartbeat_period: header.param1,
            responder_session_id: reader.u16()?,
            mutual_authentication: reader.u8()?,
            requester_slot: reader.u8()?,
            random: reader.array()?,
            exchange_data: reader.array()?,
            summary: match summary {
                SummaryType::None => None,
                SummaryType::Tcb | SummaryType::All => Some(reader.array()?),
            },
            opaque: read_opaque(reader)?,
            signature: reader.array()?,
            verify_data: reader.array()?,
        })
    }
}
