//! NEGOTIATE_ALGORITHMS and ALGORITHMS: the requester offers sets, the responder picks one each.

use alloc::vec::Vec;

use super::{Codec, Header, code, open};
use crate::version::Version;
use crate::wire::{DecodeError, Reader, value};

/// MeasurementSpecification: DMTF.
pub const MEASUREMENT_SPECIFICATION_DMTF: u8 = 1 << 0;
/// OtherParamsSupport: general opaque data, "OpaqueDataFmt1".
pub const OPAQUE_DATA_FORMAT_1: u8 = 1 << 1;
/// BaseAsymAlgo: TPM_ALG_ECDSA_ECC_NIST_P384.
pub const ECDSA_P384: u32 = 1 << 7;
/// BaseHashAlgo: TPM_ALG_SHA_384.
pub const SHA_384: u32 = 1 << 1;
/// MeasurementHashAlgo: TPM_ALG_SHA_384.
pub const MEASUREMENT_SHA_384: u32 = 1 << 2;
/// DHE: secp384r1.
pub const SECP384R1: u16 = 1 << 4;
/// AEAD: AES-256-GCM.
pub const AES_256_GCM: u16 = 1 << 1;
/// KeySchedule: the SPDM key schedule.
pub const SPDM_KEY_SCHEDULE: u16 = 1 << 0;

/// Most bytes of NEGOTIATE_ALGORITHMS in versions 1.1 to 1.3.
const MAX_LENGTH: u16 = 128;

/// Most extended algorithms of all kinds together.
const MAX_EXTENDED: usize = 20;

/// What an algorithm structure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum AlgorithmType {
    /// Key exchange group.
    Dhe = 2,
    /// Cipher of secured messages.
    Aead = 3,
    /// Signature algorithm of the requester, in mutual authentication.
    RequesterAsymmetric = 4,
    /// Key schedule.
    KeySchedule = 5,
}

impl AlgorithmType {
    fn from_byte(byte: u8) -> Option<AlgorithmType> {
        Some(match byte {
            2 => AlgorithmType::Dhe,
            3 => AlgorithmType::Aead,
            4 => AlgorithmType::RequesterAsymmetric,
            5 => AlgorithmType::KeySchedule,
            _ => return None,
        })
    }
}

/// An algorithm structure: a set offered, or what was picked of it. Extended algorithms are read
/// over, since nobody here offers or picks one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Algorithm {
    /// What it is about.
    pub kind: AlgorithmType,
    /// A bit for each algorithm; the bits' meaning depends on the kind.
    pub supported: u16,
    /// Number of extended algorithms.
    pub extended: u8,
}

/// The requester's offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegotiateAlgorithms {
    /// MeasurementSpecification, a set.
    pub measurement_specification: u8,
    /// OtherParamsSupport, a set.
    pub other_parameters: u8,
    /// BaseAsymAlgo, a set.
    pub base_asymmetric: u32,
    /// BaseHashAlgo, a set.
    pub base_hash: u32,
    /// MELspecification, a set (from version 1.3 on).
    pub log_specification: u8,
    /// Number of extended asymmetric and hash algorithms.
    pub extended: (u8, u8),
    /// By ascending kind.
    pub algorithms: Vec<Algorithm>,
}

/// The responder's choice: at most one bit in each field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlgorithmsResponse {
    /// MeasurementSpecificationSel.
    pub measurement_specification: u8,
    /// OtherParamsSelection.
    pub other_parameters: u8,
    /// MeasurementHashAlgo.
    pub measurement_hash: u32,
    /// BaseAsymSel.
    pub base_asymmetric: u32,
    /// BaseHashSel.
    pub base_hash: u32,
    /// MELspecificationSel (from version 1.3 on).
    pub log_specification: u8,
    /// Number of extended asymmetric and hash algorithms picked.
    pub extended: (u8, u8),
    /// By ascending kind.
    pub algorithms: Vec<Algorithm>,
}

/// Writes the length and what precedes it.
fn finish(mut out: Vec<u8>) -> Vec<u8> {
    let length = (out.len() as u16).to_le_bytes();
    if let Some(field) = out.get_mut(4..6) {
        field.copy_from_slice(&length);
    }
    out
}

/// Writes the extended algorithms, which are not told, and the structures.
fn put_structures(out: &mut Vec<u8>, extended: (u8, u8), algorithms: &[Algorithm]) {
    out.resize(out.len() + 4 * (usize::from(extended.0) + usize::from(extended.1)), 0);
    for algorithm in algorithms {
        // Two bytes of fixed algorithms.
        out.extend_from_slice(&[algorithm.kind as u8, 0x20 | (algorithm.extended & 0xf)]);
        out.extend_from_slice(&algorithm.supported.to_le_bytes());
        out.resize(out.len() + 4 * usize::from(algorithm.extended & 0xf), 0);
    }
}

/// Reads over extended algorithms and reads so many structures.
fn read_structures(
    reader: &mut Reader<'_>,
    extended: (u8, u8),
    count: u8,
) -> Result<Vec<Algorithm>, DecodeError> {
    let mut total = usize::from(extended.0) + usize::from(extended.1);
    reader.bytes(4 * total)?;
    let mut algorithms: Vec<Algorithm> = Vec::new();
    for _ in 0..count {
        let kind = reader.u8()?;
        let kind = AlgorithmType::from_byte(kind).ok_or(value("AlgType", kind))?;
        if algorithms.last().is_some_and(|last| last.kind >= kind) {
            return Err(value("AlgType", kind as u8));
        }
        let counts = reader.u8()?;
        if counts >> 4 != 2 {
            return Err(value("AlgCount", counts));
        }
        let supported = reader.u16()?;
        let extended = counts & 0xf;
        total += usize::from(extended);
        reader.bytes(4 * usize::from(extended))?;
        algorithms.push(Algorithm { kind, supported, extended });
    }
    if total > MAX_EXTENDED {
        return Err(value("ExtAlgCount", total as u64));
    }
    Ok(algorithms)
}

/// A byte that means something from 1.3 on.
fn read_log_specification(reader: &mut Reader<'_>, header: Header) -> Result<u8, DecodeError> {
    let byte = reader.u8()?;
    Ok(if header.version >= Version::V1_3 as u8 { byte } else { 0 })
}

/// The Length field must be the message's length, which is known once the rest is read.
fn check_length(length: u16, before: usize, reader: &Reader<'_>) -> Result<(), DecodeError> {
    let read = before - reader.rest().len() + 4;
    if usize::from(length) == read && length <= MAX_LENGTH {
        Ok(())
    } else {
        Err(value("Length", length))
    }
}

impl Codec for NegotiateAlgorithms {
    const CODE: u8 = code::NEGOTIATE_ALGORITHMS;
    type Context = ();

    fn encode(&self, version: Version) -> Vec<u8> {
        let mut out = open(version, Self::CODE, self.algorithms.len() as u8, 0);
        out.extend_from_slice(&[0, 0, self.measurement_specification, self.other_parameters]);
        out.extend_from_slice(&self.base_asymmetric.to_le_bytes());
        out.extend_from_slice(&self.base_hash.to_le_bytes());
        out.extend_from_slice(&[0; 12]);
        out.extend_from_slice(&[self.extended.0, self.extended.1, 0, self.log_specification]);
        put_structures(&mut out, self.extended, &self.algorithms);
        finish(out)
    }

    fn read(reader: &mut Reader<'_>, header: Header, (): ()) -> Result<Self, DecodeError> {
        let before = reader.rest().len();
        let length = reader.u16()?;
        let measurement_specification = reader.u8()?;
        let other_parameters = reader.u8()?;
        let base_asymmetric = reader.u32()?;
        let base_hash = reader.u32()?;
        reader.skip(12)?;
        let extended = (reader.u8()?, reader.u8()?);
        reader.skip(1)?;
        let log_specification = read_log_specification(reader, header)?;
        let algorithms = read_structures(reader, extended, header.param1)?;
        check_length(length, before, reader)?;
        Ok(NegotiateAlgorithms {
            measurement_specification,
            other_parameters,
            base_asymmetric,
            base_hash,
            log_specification,
            extended,
            algorithms,
        })
    }
}

impl Codec for AlgorithmsResponse {
    const CODE: u8 = code::ALGORITHMS;
    type Context = ();

    fn encode(&self, version: Version) -> Vec<u8> {
        let mut out = open(version, Self::CODE, self.algorithms.len() as u8, 0);
        out.extend_from_slice(&[0, 0, self.measurement_specification, self.other_parameters]);
        out.extend_from_slice(&self.measurement_hash.to_le_bytes());
        out.extend_from_slice(&self.base_asymmetric.to_le_bytes());
        out.extend_from_slice(&self.base_hash.to_le_bytes());
        out.extend_from_slice(&[0; 11]);
        out.extend_from_slice(&[self.log_specification, self.extended.0, self.extended.1, 0, 0]);
        put_structures(&mut out, self.extended, &self.algorithms);
        finish(out)
    }

    fn read(reader: &mut Reader<'_>, header: Header, (): ()) -> Result<Self, DecodeError> {
        let before = reader.rest().len();
        let length = reader.u16()?;
        let measurement_specification = reader.u8()?;
        let other_parameters = reader.u8()?;
        let measurement_hash = reader.u32()?;
        let base_asymmetric = reader.u32()?;
        let base_hash = reader.u32()?;
        reader.skip(11)?;
        let log_specification = read_log_specification(reader, header)?;
        let extended = (reader.u8()?, reader.u8()?);
        reader.skip(2)?;
        let algorithms = read_structures(reader, extended, header.param1)?;
        check_length(length, before, reader)?;
        Ok(AlgorithmsResponse {
            measurement_specification,
            other_parameters,
            measurement_hash,
            base_asymmetric,
            base_hash,
            log_specification,
            extended,
            algorithms,
        })
    }
}
