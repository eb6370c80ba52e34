//! Opaque data of KEY_EXCHANGE: which version of secured messages (DSP0277) the session uses.
//!
//! DSP0274 1.2 frames it as "general opaque data": a count of elements, each with the registry of
//! whoever defines it, filled up to whole dwords. For 1.1, DSP0277 itself frames the same elements
//! with "DMTF" and a version in front. DSP0277 defines two elements: the requester's list of
//! versions and the responder's choice. Elements of others are read over.

use alloc::vec::Vec;

use crate::version::{Version, VersionNumber};
use crate::wire::{DecodeError, Reader, put_u16_prefixed, value};

/// Most bytes of opaque data (DSP0274, "OpaqueDataLength").
pub const MAX_LENGTH: usize = 1024;

/// The versions of DSP0277 spoken here, the best one first. 1.2 fixes the order of bytes in the IV
/// that the others leave open; nothing else differs on the wire.
pub const SECURED_MESSAGE_VERSIONS: [VersionNumber; 3] =
    [VersionNumber(0x1200), VersionNumber(0x1100), VersionNumber(0x1000)];

/// SpecID of 1.1's frame: "DMTF", the first letter highest.
const SPEC_ID: u32 = 0x444d_5446;
/// OpaqueVersion of 1.1's frame.
const OPAQUE_VERSION: u8 = 1;

const REGISTRY_DMTF: u8 = 0;
const SM_DATA_VERSION: u8 = 1;
const VERSION_SELECTION: u8 = 0;
const SUPPORTED_VERSIONS: u8 = 1;

/// The requester's list.
pub(crate) fn encode_supported(version: Version, versions: &[VersionNumber]) -> Vec<u8> {
    let mut data = alloc::vec![SM_DATA_VERSION, SUPPORTED_VERSIONS, versions.len() as u8];
    versions.iter().for_each(|version| data.extend_from_slice(&version.0.to_le_bytes()));
    encode_element(version, &data)
}

/// The responder's choice.
pub(crate) fn encode_selection(version: Version, choice: VersionNumber) -> Vec<u8> {
    let [low, high] = choice.0.to_le_bytes();
    encode_element(version, &[SM_DATA_VERSION, VERSION_SELECTION, low, high])
}

/// The requester's list in its opaque data; empty where there is none.
pub(crate) fn decode_supported(
    version: Version,
    opaque: &[u8],
) -> Result<Vec<VersionNumber>, DecodeError> {
    let Some(mut data) = find_element(version, opaque, SUPPORTED_VERSIONS)? else {
        return Ok(Vec::new());
    };
    let count = data.u8()?;
    let versions = (0..count).map(|_| data.u16().map(VersionNumber)).collect::<Result<_, _>>()?;
    data.finish(1)?;
    Ok(versions)
}

/// The responder's choice in its opaque data.
pub(crate) fn decode_selection(
    version: Version,
    opaque: &[u8],
) -> Result<Option<VersionNumber>, DecodeError> {
    let Some(mut data) = find_element(version, opaque, VERSION_SELECTION)? else { return Ok(None) };
    let version = VersionNumber(data.u16()?);
    data.finish(1)?;
    Ok(Some(version))
}

fn encode_element(version: Version, data: &[u8]) -> Vec<u8> {
    let mut out = match version {
        Version::V1_0 | Version::V1_1 => {
            let [a, b, c, d] = SPEC_ID.to_le_bytes();
            alloc::vec![a, b, c, d, OPAQUE_VERSION, 1, 0, 0]
        }
        Version::V1_2 | Version::V1_3 => alloc::vec![1, 0, 0, 0],
    };
    // Of a registry that needs no vendor's id.
    out.extend_from_slice(&[REGISTRY_DMTF, 0]);
    put_u16_prefixed(&mut out, data);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

/// The data, behind version and id, of DSP0277's element with this id.
fn find_element(
    version: Version,
    opaque: &[u8],
    id: u8,
) -> Result<Option<Reader<'_>>, DecodeError> {
    if opaque.len() > MAX_LENGTH {
        return Err(value("OpaqueDataLength", opaque.len() as u64));
    }
    if opaque.is_empty() {
        return Ok(None);
    }
    let mut reader = Reader::new(opaque);
    let count = read_count(version, &mut reader)?;
    let mut found = None;
    for _ in 0..count {
        let registry = reader.u8()?;
        let vendor_length = reader.u8()?;
        reader.bytes(vendor_length.into())?;
        let length = reader.u16()?;
        let data = reader.bytes(length.into())?;
        let unpadded = opaque.len() - reader.rest().len();
        reader.skip(unpadded.next_multiple_of(4) - unpadded)?;
        if registry != REGISTRY_DMTF {
            continue;
        }
        if vendor_length != 0 {
            return Err(value("VendorLen", vendor_length));
        }
        let mut data = Reader::new(data);
        let version = data.u8()?;
        if version != SM_DATA_VERSION {
            return Err(value("SMDataVersion", version));
        }
        let element = data.u8()?;
        if element == id && found.replace(data).is_some() {
            return Err(value("SMDataID", element));
        }
    }
    reader.finish(1)?;
    Ok(found)
}

/// The number of elements, and what else stands in front of them.
fn read_count(version: Version, reader: &mut Reader<'_>) -> Result<u8, DecodeError> {
    if version >= Version::V1_2 {
        let count = reader.u8()?;
        reader.skip(3)?;
        return Ok(count);
    }
    let spec = reader.u32()?;
    if spec != SPEC_ID {
        return Err(value("SpecID", spec));
    }
    let opaque_version = reader.u8()?;
    if opaque_version != OPAQUE_VERSION {
        return Err(value("OpaqueVersion", opaque_version));
    }
    let count = reader.u8()?;
    reader.skip(2)?;
    Ok(count)
}
