//! The attestation report of an SEV-SNP guest (AMD SEV-SNP firmware ABI, 56860, ATTESTATION_REPORT),
//! versions 2 to 5.
//!
//! The layout is the `sev` crate's. Added here: the report must be exactly what its fields encode
//! to, so no byte goes unread; versions that are not known are refused; the signature is checked
//! over the bytes received.

use std::fmt;

use p384::ecdsa::Signature;
use p384::ecdsa::signature::Verifier;
use sev::Generation;
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser;

use crate::x509::{Certificate, signature};

/// Bytes of a report.
pub const SIZE: usize = 0x4a0;
/// The part that is signed.
const SIGNED: usize = 0x2a0;
/// SIGNATURE_ALGO: ECDSA P-384 with SHA-384.
const ECDSA_P384_SHA384: u32 = 1;
/// Bytes of each of the signature's numbers, little-endian; the value takes the first 48.
const NUMBER: usize = 72;

/// Why bytes are no report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another size.
    #[error("the report has {0} bytes; expected {SIZE}")]
    Size(usize),
    /// A version with another layout.
    #[error("report version {0} is not known; expected 2 to 5")]
    Version(u32),
    /// Another signature algorithm.
    #[error("signature algorithm {0} is not known; expected 1, ECDSA P-384 with SHA-384")]
    Algorithm(u32),
    /// Fields that cannot be.
    #[error("not a report: {0}")]
    Fields(std::io::Error),
    /// A reserved byte that is not zero.
    #[error("a reserved part of the report is not zero")]
    Reserved,
    /// A processor that did not exist when this was written.
    #[error("the report is of a processor that is not known")]
    Product,
}

/// A processor generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// Third generation EPYC.
    Milan,
    /// Fourth generation EPYC.
    Genoa,
    /// Fifth generation EPYC.
    Turin,
}

impl Product {
    /// Every product.
    pub const ALL: [Product; 3] = [Product::Milan, Product::Genoa, Product::Turin];

    /// AMD's name, as in certificates.
    pub fn name(self) -> &'static str {
        match self {
            Product::Milan => "Milan",
            Product::Genoa => "Genoa",
            Product::Turin => "Turin",
        }
    }
}

/// What a report says of its processor: reports of version 2 say nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportedProduct {
    /// By family and model.
    Named(Product),
    /// Not named, but the chip's id has the length of this side of the change at Turin.
    Unnamed {
        /// Whether the id is as short as Turin's.
        like_turin: bool,
    },
}

impl fmt::Display for ReportedProduct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReportedProduct::Named(product) => product.name(),
            ReportedProduct::Unnamed { .. } => "processor not named",
        })
    }
}

/// A decoded report.
pub struct Report {
    fields: AttestationReport,
    product: ReportedProduct,
    bytes: Vec<u8>,
}

impl Report {
    /// The report in these bytes, which must hold nothing else.
    pub fn decode(bytes: &[u8]) -> Result<Report, Error> {
        if bytes.len() != SIZE {
            return Err(Error::Size(bytes.len()));
        }
        let version = bytes.first_chunk().map(|first| u32::from_le_bytes(*first));
        match version {
            Some(2..=5) => {}
            other => return Err(Error::Version(other.unwrap_or_default())),
        }
        let fields = AttestationReport::from_bytes(bytes).map_err(Error::Fields)?;
        if fields.to_bytes().map_err(Error::Fields)?.as_slice() != bytes {
            return Err(Error::Reserved);
        }
        if fields.sig_algo != ECDSA_P384_SHA384 {
            return Err(Error::Algorithm(fields.sig_algo));
        }
        let product = product(&fields)?;
        Ok(Report { fields, product, bytes: bytes.into() })
    }

    /// The report's fields.
    pub fn fields(&self) -> &AttestationReport {
        &self.fields
    }

    /// The processor, as far as the report says.
    pub fn product(&self) -> ReportedProduct {
        self.product
    }

    /// Checks the signature with the key of a VCEK or VLEK certificate.
    pub fn verify(&self, signer: &Certificate) -> Result<(), signature::Error> {
        let key = signature::p384_key(signer.inner().tbs_certificate().subject_public_key_info())?;
        let signature = self.signature().ok_or(signature::Error::Mismatch)?;
        let signed = self.bytes.get(..SIGNED).unwrap_or_default();
        key.verify(signed, &signature).map_err(|_| signature::Error::Mismatch)
    }

    fn signature(&self) -> Option<Signature> {
        let numbers = self.bytes.get(SIGNED..SIGNED + 2 * NUMBER)?;
        let (r, s) = numbers.split_at_checked(NUMBER)?;
        Signature::from_scalars(big_endian(r)?, big_endian(s)?).ok()
    }
}

/// A number of the signature, most significant byte first; `None` if it is too large for P-384.
fn big_endian(number: &[u8]) -> Option<[u8; 48]> {
    let (value, excess) = number.split_first_chunk::<48>()?;
    let mut value = *value;
    value.reverse();
    excess.iter().all(|byte| *byte == 0).then_some(value)
}

fn product(fields: &AttestationReport) -> Result<ReportedProduct, Error> {
    let (Some(family), Some(model)) = (fields.cpuid_fam_id, fields.cpuid_mod_id) else {
        let like_turin = fields.chip_id.iter().skip(8).all(|byte| *byte == 0);
        return Ok(ReportedProduct::Unnamed { like_turin });
    };
    Ok(ReportedProduct::Named(match Generation::identify_cpu(family, model) {
        Ok(Generation::Milan) => Product::Milan,
        Ok(Generation::Genoa) => Product::Genoa,
        Ok(Generation::Turin) => Product::Turin,
        _ => return Err(Error::Product),
    }))
}
