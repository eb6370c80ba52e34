//! An NVIDIA attestation report: an SPDM 1.1 GET_MEASUREMENTS request and the MEASUREMENTS response
//! to it, one after the other (DSP0274 1.1, 10.11).
//!
//! The signature covers both messages up to itself, so no byte of a report is without meaning.
//! SPDM 1.2 and later also sign the negotiation, which is not part of this evidence: such reports
//! are refused rather than guessed at.

use std::collections::BTreeMap;

use p384::ecdsa::Signature;
use p384::ecdsa::signature::Verifier;

use super::opaque::{self, Opaque};
use crate::x509::{Certificate, signature};

const REQUEST_SIZE: usize = 37;
const SIGNATURE_SIZE: usize = 96;
const VERSION_1_1: u8 = 0x11;
const GET_MEASUREMENTS: u8 = 0xe0;
const MEASUREMENTS: u8 = 0x60;
/// Param1 of the request: a signature is asked for.
const SIGNATURE_REQUESTED: u8 = 0x01;
/// Param2 of the request: all measurements.
const ALL: u8 = 0xff;
/// MeasurementSpecification: DMTF.
const DMTF: u8 = 0x01;
/// Bytes of a SHA-384 digest, the only measurement there is.
pub const DIGEST_SIZE: usize = 48;

/// Why bytes are no report.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// It ends within a field.
    #[error("the report ends within {0}")]
    Truncated(&'static str),
    /// It goes on behind its signature.
    #[error("the report has {0} bytes behind its signature")]
    TrailingBytes(usize),
    /// A field has a value that it cannot have.
    #[error("{field} is {value:#x}; expected {expected}")]
    Field {
        /// Which one.
        field: &'static str,
        /// What is there.
        value: u32,
        /// What should be.
        expected: &'static str,
    },
    /// Two blocks with one index.
    #[error("measurement block {0} comes twice")]
    Repeated(u8),
    /// NVIDIA's own fields.
    #[error("opaque data: {0}")]
    Opaque(#[from] opaque::Error),
}

/// Why a signature does not stand.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// The certificate holds no P-384 key.
    #[error("the attestation certificate: {0}")]
    Key(signature::Error),
    /// The signature is not this key's over this report.
    #[error("the signature is not the attestation key's over this report")]
    Mismatch,
}

/// A decoded report.
#[derive(Debug)]
pub struct Report {
    /// The requester's nonce.
    pub nonce: [u8; 32],
    /// NVIDIA's fields.
    pub opaque: Opaque,
    measurements: BTreeMap<u8, [u8; DIGEST_SIZE]>,
    signed: Vec<u8>,
    signature: [u8; SIGNATURE_SIZE],
}

impl Report {
    /// The report in these bytes, which must hold nothing else.
    pub fn decode(bytes: &[u8]) -> Result<Report, Error> {
        let mut fields = Fields { bytes };
        fields.expect("the request's SPDM version", VERSION_1_1, "0x11, SPDM 1.1")?;
        fields.expect("the request code", GET_MEASUREMENTS, "0xe0, GET_MEASUREMENTS")?;
        fields.expect("the request's Param1", SIGNATURE_REQUESTED, "1, with a signature")?;
        fields.expect("the request's Param2", ALL, "0xff, all measurements")?;
        let nonce = fields.array("the request's nonce")?;
        fields.array::<1>("the request's slot")?;
        debug_assert_eq!(bytes.len() - fields.bytes.len(), REQUEST_SIZE);

        fields.expect("the response's SPDM version", VERSION_1_1, "0x11, SPDM 1.1")?;
        fields.expect("the response code", MEASUREMENTS, "0x60, MEASUREMENTS")?;
        fields.array::<2>("the response's parameters")?;
        let count = fields.byte("the number of blocks")?;
        let [low, middle, high] = fields.array("the record's length")?;
        let length = u32::from_le_bytes([low, middle, high, 0]) as usize;
        let record = fields.take("the measurement record", length)?;
        let measurements = measurements(count, record)?;
        fields.array::<32>("the response's nonce")?;
        let length = usize::from(u16::from_le_bytes(fields.array("the opaque data's length")?));
        let opaque = Opaque::decode(fields.take("the opaque data", length)?)?;
        let signed = bytes.len() - fields.bytes.len();
        let signature = fields.array("the signature")?;
        if !fields.bytes.is_empty() {
            return Err(Error::TrailingBytes(fields.bytes.len()));
        }
        let signed = bytes.get(..signed).unwrap_or_default().to_vec();
        Ok(Report { nonce, opaque, measurements, signed, signature })
    }

    /// Checks the signature with the key of the attestation certificate.
    pub fn verify(&self, signer: &Certificate) -> Result<(), SignatureError> {
        let key = signature::p384_key(signer.inner().tbs_certificate().subject_public_key_info())
            .map_err(SignatureError::Key)?;
        let signature =
            Signature::from_slice(&self.signature).map_err(|_| SignatureError::Mismatch)?;
        key.verify(&self.signed, &signature).map_err(|_| SignatureError::Mismatch)
    }

    /// The digest that stands at a manifest's index; block numbers are one higher.
    pub fn measurement(&self, index: u8) -> Option<&[u8; DIGEST_SIZE]> {
        self.measurements.get(&index.checked_add(1)?)
    }

    /// The manifest indices of the blocks whose digest is not all zeros.
    pub fn used_indices(&self) -> impl Iterator<Item = u8> {
        self.measurements
            .iter()
            .filter(|(_, digest)| digest.iter().any(|byte| *byte != 0))
            .filter_map(|(block, _)| block.checked_sub(1))
    }

    /// Number of measurement blocks.
    pub fn blocks(&self) -> usize {
        self.measurements.len()
    }
}

/// The blocks of a measurement record.
fn measurements(count: u8, record: &[u8]) -> Result<BTreeMap<u8, [u8; DIGEST_SIZE]>, Error> {
    let mut fields = Fields { bytes: record };
    let mut measurements = BTreeMap::new();
    for _ in 0..count {
        let index = fields.byte("a block's index")?;
        if index == 0 {
            return Err(Error::Field {
                field: "a block's index",
                value: 0,
                expected: "at least 1",
            });
        }
        fields.expect("a block's measurement specification", DMTF, "1, DMTF")?;
        let size = u16::from_le_bytes(fields.array("a block's size")?);
        if usize::from(size) != DIGEST_SIZE + 3 {
            return Err(Error::Field {
                field: "a block's size",
                value: size.into(),
                expected: "51",
            });
        }
        // Type of the measured component; the top bit would say that the value is not a digest.
        let kind = fields.byte("a block's type")?;
        if kind & 0x80 != 0 {
            let (field, value) = ("a block's type", kind.into());
            return Err(Error::Field { field, value, expected: "a digest, below 0x80" });
        }
        let size = u16::from_le_bytes(fields.array("a value's size")?);
        if usize::from(size) != DIGEST_SIZE {
            return Err(Error::Field {
                field: "a value's size",
                value: size.into(),
                expected: "48",
            });
        }
        if measurements.insert(index, fields.array("a measurement")?).is_some() {
            return Err(Error::Repeated(index));
        }
    }
    match fields.bytes.len() {
        0 => Ok(measurements),
        rest => Err(Error::Field {
            field: "bytes of the record behind its last block",
            value: u32::try_from(rest).unwrap_or(u32::MAX),
            expected: "0",
        }),
    }
}

/// What is left to read.
struct Fields<'a> {
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    fn take(&mut self, field: &'static str, length: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(Error::Truncated(field))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Error> {
        self.take(field, N)?.try_into().map_err(|_| Error::Truncated(field))
    }

    fn byte(&mut self, field: &'static str) -> Result<u8, Error> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    fn expect(
        &mut self,
        field: &'static str,
        right: u8,
        expected: &'static str,
    ) -> Result<(), Error> {
        match self.byte(field)? {
            value if value == right => Ok(()),
            value => Err(Error::Field { field, value: value.into(), expected }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A report of one block, with a signature of ones.
    fn report() -> Vec<u8> {
        let mut bytes = vec![0x11, 0xe0, 1, 0xff];
        bytes.extend([7; 32]);
        bytes.push(0);
        bytes.extend([0x11, 0x60, 0, 0, 1, 55, 0, 0, 1, 1, 51, 0, 1, 48, 0]);
        bytes.extend([9; 48]);
        bytes.extend([8; 32]);
        bytes.extend([5, 0, 11, 0, 1, 0, 0x55]);
        bytes.extend([1; 96]);
        bytes
    }

    #[test]
    fn a_block_stands_one_above_its_manifest_index() {
        let report = Report::decode(&report()).unwrap();
        assert_eq!(report.measurement(0), Some(&[9; 48]));
        assert_eq!(report.measurement(1), None);
        assert_eq!(report.measurement(255), None);
        assert_eq!(report.used_indices().collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn every_truncation_and_any_extension_is_refused() {
        let bytes = report();
        for length in 0..bytes.len() {
            assert!(Report::decode(&bytes[..length]).is_err(), "{length} bytes were accepted");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(Report::decode(&longer).unwrap_err(), Error::TrailingBytes(1));
    }

    #[test]
    fn another_spdm_version_is_refused_rather_than_guessed_at() {
        let mut bytes = report();
        bytes[0] = 0x12;
        bytes[37] = 0x12;
        assert!(matches!(Report::decode(&bytes), Err(Error::Field { value: 0x12, .. })));
    }
}
