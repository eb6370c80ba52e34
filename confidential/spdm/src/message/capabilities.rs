//! GET_CAPABILITIES and CAPABILITIES: what each side can do, and how long a message it takes.
//!
//! The two have one layout; the flags differ in a few bits. 1.1 knows no sizes.

use alloc::vec::Vec;

use super::{Codec, Header, code, open};
use crate::version::Version;
use crate::wire::{DecodeError, Reader, value};

bitflags::bitflags! {
    /// What a side can do (DSP0274, tables "Flag fields definitions"). A bit with no name here
    /// stays as it came: the receiver ignores what it does not know.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Flags: u32 {
        /// The negotiation is remembered across a reset; of a responder only.
        const CACHE = 1 << 0;
        /// GET_DIGESTS and GET_CERTIFICATE.
        const CERT = 1 << 1;
        /// CHALLENGE.
        const CHAL = 1 << 2;
        /// GET_MEASUREMENTS without a signature. Never together with the next one.
        const MEAS_NO_SIG = 1 << 3;
        /// GET_MEASUREMENTS with a signature.
        const MEAS_SIG = 1 << 4;
        /// Measurements are taken anew at each request.
        const MEAS_FRESH = 1 << 5;
        /// Secured messages are encrypted.
        const ENCRYPT = 1 << 6;
        /// Secured messages are authenticated.
        const MAC = 1 << 7;
        /// The requester proves its identity too.
        const MUT_AUTH = 1 << 8;
        /// KEY_EXCHANGE and FINISH.
        const KEY_EX = 1 << 9;
        /// PSK_EXCHANGE and PSK_FINISH.
        const PSK = 1 << 10;
        /// PSK_EXCHANGE with a context; of a responder only.
        const PSK_WITH_CONTEXT = 1 << 11;
        /// Encapsulated requests.
        const ENCAP = 1 << 12;
        /// HEARTBEAT.
        const HBEAT = 1 << 13;
        /// KEY_UPDATE.
        const KEY_UPD = 1 << 14;
        /// The session's handshake goes on outside of it.
        const HANDSHAKE_IN_THE_CLEAR = 1 << 15;
        /// The public key is known beforehand and no certificate is needed.
        const PUB_KEY_ID = 1 << 16;
        /// CHUNK_SEND and CHUNK_GET.
        const CHUNK = 1 << 17;
        /// The chain in GET_CERTIFICATE contains an alias certificate.
        const ALIAS_CERT = 1 << 18;
        /// SET_CERTIFICATE.
        const SET_CERT = 1 << 19;
        /// GET_CSR.
        const CSR = 1 << 20;
        /// A certificate is installed by a reset.
        const CERT_INSTALL_RESET = 1 << 21;
        /// GET_ENDPOINT_INFO without a signature.
        const EP_INFO_NO_SIG = 1 << 22;
        /// GET_ENDPOINT_INFO with a signature.
        const EP_INFO_SIG = 1 << 23;
        /// GET_MEASUREMENT_EXTENSION_LOG.
        const MEL = 1 << 24;
        /// Events.
        const EVENT = 1 << 25;
        /// Several keys of one algorithm, and always.
        const MULTI_KEY_ONLY = 1 << 26;
        /// Several keys of one algorithm, if the peer wants to.
        const MULTI_KEY_NEGOTIATED = 1 << 27;
        /// GET_KEY_PAIR_INFO.
        const GET_KEY_PAIR_INFO = 1 << 28;
        /// SET_KEY_PAIR_INFO.
        const SET_KEY_PAIR_INFO = 1 << 29;
        const _ = !0;
    }
}

impl Flags {
    /// Those that a version defines. The others are reserved in it.
    pub fn of(version: Version) -> Flags {
        let bits = match version {
            Version::V1_0 => 6,
            Version::V1_1 => 17,
            Version::V1_2 => 22,
            Version::V1_3 => 30,
        };
        Flags::from_bits_retain((1 << bits) - 1)
    }

    /// Those that mean something in a responder's message only.
    const RESPONDER_ONLY: Flags =
        Flags::CACHE.union(Flags::MEAS_NO_SIG).union(Flags::MEAS_SIG).union(Flags::MEAS_FRESH);

    /// Fields of two bits, of which both at once are reserved.
    const EXCLUSIVE: [Flags; 4] = [
        Flags::MEAS_NO_SIG.union(Flags::MEAS_SIG),
        Flags::PSK.union(Flags::PSK_WITH_CONTEXT),
        Flags::EP_INFO_NO_SIG.union(Flags::EP_INFO_SIG),
        Flags::MULTI_KEY_ONLY.union(Flags::MULTI_KEY_NEGOTIATED),
    ];
}

/// Least value of DataTransferSize (DSP0274, "MinDataTransferSize" of versions 1.2 and 1.3).
pub const MIN_DATA_TRANSFER_SIZE: u32 = 42;

/// The fields of either message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// CTExponent: cryptographic work may take 2^n microseconds.
    pub timeout_exponent: u8,
    /// What the sender can do.
    pub flags: Flags,
    /// Most bytes of a message that the sender takes in one piece. 1.1 does not say: whatever the
    /// transport carries.
    pub data_transfer_size: u32,
    /// Most bytes of a message that the sender takes in chunks. Not below the other one.
    pub max_message_size: u32,
}

/// The requester's capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetCapabilities(pub Capabilities);

/// The responder's capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapabilitiesResponse(pub Capabilities);

impl Capabilities {
    fn encode(&self, version: Version, code: u8) -> Vec<u8> {
        let mut out = open(version, code, 0, 0);
        out.extend_from_slice(&[0, self.timeout_exponent, 0, 0]);
        out.extend_from_slice(&self.flags.bits().to_le_bytes());
        if version >= Version::V1_2 {
            out.extend_from_slice(&self.data_transfer_size.to_le_bytes());
            out.extend_from_slice(&self.max_message_size.to_le_bytes());
        }
        out
    }

    /// With those flags ignored that mean nothing in this message.
    fn read(
        reader: &mut Reader<'_>,
        header: Header,
        meaningless: Flags,
    ) -> Result<Capabilities, DecodeError> {
        reader.skip(1)?;
        let timeout_exponent = reader.u8()?;
        reader.skip(2)?;
        let flags = Flags::from_bits_retain(reader.u32()?);
        let (data_transfer_size, max_message_size) = if header.version >= Version::V1_2 as u8 {
            (reader.u32()?, reader.u32()?)
        } else {
            (u32::from(u16::MAX), u32::from(u16::MAX))
        };
        if data_transfer_size < MIN_DATA_TRANSFER_SIZE {
            return Err(value("DataTransferSize", data_transfer_size));
        }
        let known = Version::negotiable(header.version).map_or(Flags::all(), Flags::of);
        // Without chunks there is no message that is longer than a piece.
        let chunks = flags.intersection(known).contains(Flags::CHUNK);
        if max_message_size < data_transfer_size
            || (max_message_size > data_transfer_size && !chunks)
        {
            return Err(value("MaxSPDMmsgSize", max_message_size));
        }
        check_combination(flags.intersection(known).difference(meaningless))?;
        Ok(Capabilities { timeout_exponent, flags, data_transfer_size, max_message_size })
    }
}

/// Sets of flags that contradict themselves (DSP0274, "Flag fields definitions").
fn check_combination(flags: Flags) -> Result<(), DecodeError> {
    let session = flags.intersects(Flags::KEY_EX | Flags::PSK | Flags::PSK_WITH_CONTEXT);
    let secured = flags.intersects(Flags::ENCRYPT | Flags::MAC);
    let needs_session =
        flags.intersects(Flags::HBEAT | Flags::KEY_UPD | Flags::HANDSHAKE_IN_THE_CLEAR);
    let contradiction = session != secured
        || (needs_session && !session)
        || Flags::EXCLUSIVE.into_iter().any(|both| flags.contains(both))
        || flags.contains(Flags::CERT | Flags::PUB_KEY_ID);
    if contradiction { Err(value("Flags", flags.bits())) } else { Ok(()) }
}

impl Codec for GetCapabilities {
    const CODE: u8 = code::GET_CAPABILITIES;
    type Context = ();

    fn encode(&self, version: Version) -> Vec<u8> {
        self.0.encode(version, Self::CODE)
    }

    fn read(reader: &mut Reader<'_>, header: Header, (): ()) -> Result<Self, DecodeError> {
        Capabilities::read(reader, header, Flags::RESPONDER_ONLY).map(GetCapabilities)
    }
}

impl Codec for CapabilitiesResponse {
    const CODE: u8 = code::CAPABILITIES;
    type Context = ();

    fn encode(&self, version: Version) -> Vec<u8> {
        self.0.encode(version, Self::CODE)
    }

    fn read(reader: &mut Reader<'_>, header: Header, (): ()) -> Result<Self, DecodeError> {
        Capabilities::read(reader, header, Flags::empty()).map(CapabilitiesResponse)
    }
}
