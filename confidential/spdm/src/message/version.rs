//! GET_VERSION and VERSION: what the responder speaks. Both are messages of version 1.0.

use alloc::vec::Vec;

use super::{Codec, Header, code, header_only, open};
use crate::version::{Version, VersionNumber};
use crate::wire::{DecodeError, Reader, value};

/// Asks for the responder's versions, and ends whatever was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetVersion;

/// The responder's versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionResponse {
    /// At least one.
    pub entries: Vec<VersionNumber>,
}

header_only!(GetVersion, code::GET_VERSION);

impl Codec for VersionResponse {
    const CODE: u8 = code::VERSION;
    type Context = ();

    fn encode(&self, version: Version) -> Vec<u8> {
        let mut out = open(version, Self::CODE, 0, 0);
        out.extend_from_slice(&[0, self.entries.len() as u8]);
        for entry in &self.entries {
            out.extend_from_slice(&entry.0.to_le_bytes());
        }
        out
    }

    fn read(reader: &mut Reader<'_>, _: Header, (): ()) -> Result<VersionResponse, DecodeError> {
        reader.skip(1)?;
        let count = reader.u8()?;
        if count == 0 {
            return Err(value("VersionNumberEntryCount", count));
        }
        let entries =
            (0..count).map(|_| reader.u16().map(VersionNumber)).collect::<Result<_, _>>()?;
        Ok(VersionResponse { entries })
    }
}
