//! VENDOR_DEFINED_REQUEST and VENDOR_DEFINED_RESPONSE: what somebody else defines.
//!
//! The two have one layout: who defines it, and the payload.

use alloc::vec::Vec;

use super::{Codec, Header, code, open};
use crate::version::Version;
use crate::wire::{DecodeError, Reader, put_u16_prefixed};

/// The fields of either message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorDefined {
    /// Whose registry the vendor's id is from (DSP0274, table "Registry or standards body ID").
    pub standard_id: u16,
    /// The id in that registry, little-endian, at most 255 bytes.
    pub vendor_id: Vec<u8>,
    /// The vendor's own, at most 65,535 bytes.
    pub payload: Vec<u8>,
}

/// A request that somebody else defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorDefinedRequest(pub VendorDefined);

/// Its response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorDefinedResponse(pub VendorDefined);

impl VendorDefined {
    fn encode(&self, version: Version, code: u8) -> Vec<u8> {
        let mut out = open(version, code, 0, 0);
        out.extend_from_slice(&self.standard_id.to_le_bytes());
        let length = u8::try_from(self.vendor_id.len()).unwrap_or(u8::MAX);
        out.push(length);
        out.extend(self.vendor_id.iter().take(length.into()));
        put_u16_prefixed(&mut out, &self.payload);
        out
    }

    fn read(reader: &mut Reader<'_>) -> Result<VendorDefined, DecodeError> {
        let standard_id = reader.u16()?;
        let length = reader.u8()?;
        let vendor_id = reader.bytes(length.into())?.to_vec();
        let length = reader.u16()?;
        let payload = reader.bytes(length.into())?.to_vec();
        Ok(VendorDefined { standard_id, vendor_id, payload })
    }
}

impl Codec for VendorDefinedRequest {
    const CODE: u8 = code::VENDOR_DEFINED_REQUEST;
    type Context = ();

    fn encode(&self, version: Version) -> Vec<u8> {
        self.0.encode(version, Self::CODE)
    }

    fn read(reader: &mut Reader<'_>, _: Header, (): ()) -> Result<Self, DecodeError> {
        VendorDefined::read(reader).map(VendorDefinedRequest)
    }
}

impl Codec for VendorDefinedResponse {
    const CODE: u8 = code::VENDOR_DEFINED_RESPONSE;
    type Context = ();

    fn encode(&self, version: Version) -> Vec<u8> {
        self.0.encode(version, Self::CODE)
    }

    fn read(reader: &mut Reader<'_>, _: Header, (): ()) -> Result<Self, DecodeError> {
        VendorDefined::read(reader).map(VendorDefinedResponse)
    }
}
