//! NVIDIA's fields in the opaque data of a MEASUREMENTS response: a type, a length and a value,
//! both numbers 16 bits and little-endian.
//!
//! Only what a check needs has a name here. Unknown types are kept out of the way, for newer
//! devices send new ones, but a field may come only once: the first and the last reader of it must
//! see the same.

use std::collections::BTreeMap;

/// Why bytes are no opaque data.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// It ends within a field.
    #[error("it ends within a field")]
    Truncated,
    /// A field comes twice.
    #[error("field {0} comes twice")]
    Repeated(u16),
}

const DRIVER_VERSION: u16 = 3;
const VBIOS_VERSION: u16 = 6;
const NVDEC0_STATE: u16 = 11;
const FIRMWARE_ID: u16 = 20;
const FEATURE_FLAG: u16 = 36;
/// [`NVDEC0_STATE`] of a GPU whose first video decoder is switched off.
const DISABLED: u8 = 0x55;

/// The fields by their type.
#[derive(Debug)]
pub struct Opaque(BTreeMap<u16, Vec<u8>>);

impl Opaque {
    /// The fields in these bytes.
    pub fn decode(mut bytes: &[u8]) -> Result<Opaque, Error> {
        let mut fields = BTreeMap::new();
        while let Some((header, rest)) = bytes.split_first_chunk::<4>() {
            let [kind_low, kind_high, length_low, length_high] = *header;
            let kind = u16::from_le_bytes([kind_low, kind_high]);
            let length = usize::from(u16::from_le_bytes([length_low, length_high]));
            let (value, rest) = rest.split_at_checked(length).ok_or(Error::Truncated)?;
            if fields.insert(kind, value.to_vec()).is_some() {
                return Err(Error::Repeated(kind));
            }
            bytes = rest;
        }
        if bytes.is_empty() { Ok(Opaque(fields)) } else { Err(Error::Truncated) }
    }

    fn field(&self, kind: u16) -> Option<&[u8]> {
        self.0.get(&kind).map(Vec::as_slice)
    }

    /// The driver's version, such as `535.86.09`.
    pub fn driver_version(&self) -> Option<String> {
        let value = self.field(DRIVER_VERSION)?;
        let text = value.split(|byte| *byte == 0).next()?;
        String::from_utf8(text.to_vec()).ok().filter(|text| !text.is_empty())
    }

    /// The VBIOS version as NVIDIA writes it, such as `96.00.5E.00.01`: eight bytes, of which the
    /// first four are the first four numbers, backwards, and the fifth is the last.
    pub fn vbios_version(&self) -> Option<String> {
        match *self.field(VBIOS_VERSION)? {
            [d, c, b, a, e, ..] => Some(format!("{a:02X}.{b:02X}.{c:02X}.{d:02X}.{e:02X}")),
            _ => None,
        }
    }

    /// Whether the first video decoder is switched off; its firmware then has no measurement.
    pub fn nvdec0_disabled(&self) -> bool {
        self.field(NVDEC0_STATE) == Some(&[DISABLED])
    }

    /// The firmware id that the attestation certificate must name too.
    pub fn firmware_id(&self) -> Option<&[u8]> {
        self.field(FIRMWARE_ID)
    }

    /// The confidential mode: one GPU (`spt`), several with encrypted links (`mpt`), several with
    /// protected PCIe (`ppcie`), or `unknown` for a number without a name.
    pub fn mode(&self) -> Option<&'static str> {
        let number = self.field(FEATURE_FLAG)?;
        Some(match number {
            [0, rest @ ..] if rest.iter().all(|byte| *byte == 0) => "spt",
            [1, rest @ ..] if rest.iter().all(|byte| *byte == 0) => "mpt",
            [2, rest @ ..] if rest.iter().all(|byte| *byte == 0) => "ppcie",
            _ => "unknown",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_read_as_nvidia_writes_them() {
        let opaque =
            Opaque::decode(b"\x06\0\x08\0\0\x5e\0\x96\x01\0\0\0\x03\0\x0a\x00535.86.09\0").unwrap();
        assert_eq!(opaque.vbios_version().as_deref(), Some("96.00.5E.00.01"));
        assert_eq!(opaque.driver_version().as_deref(), Some("535.86.09"));
        assert_eq!(opaque.mode(), None);
    }

    #[test]
    fn a_field_may_come_only_once() {
        assert_eq!(Opaque::decode(&[9, 0, 0, 0, 9, 0, 0, 0]).unwrap_err(), Error::Repeated(9));
    }

    #[test]
    fn a_field_may_not_reach_past_the_end() {
        assert_eq!(Opaque::decode(&[9, 0, 1, 0]).unwrap_err(), Error::Truncated);
        assert_eq!(Opaque::decode(&[9, 0, 0]).unwrap_err(), Error::Truncated);
    }
}
