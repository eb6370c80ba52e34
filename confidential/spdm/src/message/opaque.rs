//! Opaque data of KEY_EXCHANGE: which version of secured messages (DSP0277) the session uses.
//!
//! DSP0274 1.2 frames it as "general opaque data": a count of elements, each with the registry of
//! whoever defines it, filled up to whole dwords. DSP0277 defines two elements: the requester's
//! list of versions and the responder's choice. Elements of others are read over.

use alloc::vec::Vec;

use crate::version::VersionNumber;
use crate::wire::{DecodeError, Reader, put_u16_prefixed, value, zero};

/// Most bytes of opaque data (DSP0274, "OpaqueDataLength").
pub const MAX_LENGTH: usize = 1024;

/// The versions of DSP0277 spoken here, which do not differ on the wire, the best one first.
pub const SECURED_MESSAGE_VERSIONS: [VersionNumber; 2] =
    [VersionNumber(0x1100), VersionNumber(0x1000)];

const REGISTRY_DMTF: u8 = 0;
const SM_DATA_VERSION: u8 = 1;
const VERSION_SELECTION: u8 = 0;
const SUPPORTED_VERSIONS: u8 = 1;

/// The requester's list.
pub(crate) fn encode_supported(versions: &[VersionNumber]) -> Vec<u8> {
    let mut data = alloc::vec![SM_DATA_VERSION, SUPPORTED_VERSIONS, versions.len() as u8];
    versions.iter().for_each(|version| data.extend_from_slice(&version.0.to_le_bytes()));
    encode_element(&data)
}

/// The responder's choice.
pub(crate) fn encode_selection(version: VersionNumber) -> Vec<u8> {
    let [low, high] = version.0.to_le_bytes();
    encode_element(&[SM_DATA_VERSION, VERSION_SELECTION, low, high])
}

/// The requester's list in its opaque data; empty where there is none.
pub(crate) fn decode_supported(opaque: &[u8]) -> Result<Vec<VersionNumber>, DecodeError> {
    let Some(mut data) = find_element(opaque, SUPPORTED_VERSIONS)? else { return Ok(Vec::new()) };
    let count = data.u8()?;
    let versions = (0..count).map(|_| data.u16().map(VersionNumber)).collect::<Result<_, _>>()?;
    data.finish(1)?;
    Ok(versions)
}

/// The responder's choice in its opaque data.
pub(crate) fn decode_selection(opaque: &[u8]) -> Result<Option<VersionNumber>, DecodeError> {
    let Some(mut data) = find_element(opaque, VERSION_SELECTION)? else { return Ok(None) };
    let version = VersionNumber(data.u16()?);
    data.finish(1)?;
    Ok(Some(version))
}

fn encode_element(data: &[u8]) -> Vec<u8> {
    // One element, of a registry that needs no vendor's id.
    let mut out = alloc::vec![1, 0, 0, 0, REGISTRY_DMTF, 0];
    put_u16_prefixed(&mut out, data);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

/// The data, behind version and id, of DSP0277's element with this id.
fn find_element(opaque: &[u8], id: u8) -> Result<Option<Reader<'_>>, DecodeError> {
    if opaque.len() > MAX_LENGTH {
        return Err(value("OpaqueDataLength", opaque.len() as u64));
    }
    if opaque.is_empty() {
        return Ok(None);
    }
    let mut reader = Reader::new(opaque);
    let count = reader.u8()?;
    reader.reserved(3)?;
    let mut found = None;
    for _ in 0..count {
        let registry = reader.u8()?;
        let vendor_length = reader.u8()?;
        reader.bytes(vendor_length.into())?;
        let length = reader.u16()?;
        let data = reader.bytes(length.into())?;
        let unpadded = opaque.len() - reader.rest().len();
        reader.reserved(unpadded.next_multiple_of(4) - unpadded)?;
        if registry != REGISTRY_DMTF {
            continue;
        }
        zero(vendor_length)?;
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
