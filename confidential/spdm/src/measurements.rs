//! Measurements: what the device says of its own firmware and configuration, and how one who was
//! not there can check later that it said so.
//!
//! What the values ought to be is the business of `ravelin-attestation`.

use alloc::vec::Vec;

use p384::ecdsa::VerifyingKey;
use sha2::{Digest, Sha384};

use crate::message::measurements::{
    CONTENT_CHANGED, GetMeasurements, MeasurementsResponse, Operation,
};
use crate::message::{self, Header, algorithms::MEASUREMENT_SPECIFICATION_DMTF};
use crate::signature::{self, Purpose};
use crate::version::Version;
use crate::wire::{DecodeError, Reader, value};

/// In a DMTF block's type: the value is raw bits, not a digest.
const RAW_BIT_STREAM: u8 = 1 << 7;

/// What a measurement is of (DSP0274, "DMTFSpecMeasurementValueType").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ValueType {
    /// Immutable ROM.
    ImmutableRom = 0,
    /// Mutable firmware.
    MutableFirmware = 1,
    /// Hardware configuration, such as straps and debug modes.
    HardwareConfiguration = 2,
    /// Firmware configuration.
    FirmwareConfiguration = 3,
    /// Measurement manifest.
    MeasurementManifest = 4,
    /// Debug and device mode, structured.
    DeviceMode = 5,
    /// Version of mutable firmware.
    Version = 6,
    /// Security version number of mutable firmware.
    SecureVersionNumber = 7,
    /// Digests, each extended by the next one (from version 1.3 on).
    HashExtend = 8,
    /// For information only (from version 1.3 on).
    Informational = 9,
    /// Measurement manifest, structured (from version 1.3 on).
    StructuredManifest = 10,
}

impl ValueType {
    fn from_byte(byte: u8) -> Option<ValueType> {
        Some(match byte {
            0 => ValueType::ImmutableRom,
            1 => ValueType::MutableFirmware,
            2 => ValueType::HardwareConfiguration,
            3 => ValueType::FirmwareConfiguration,
            4 => ValueType::MeasurementManifest,
            5 => ValueType::DeviceMode,
            6 => ValueType::Version,
            7 => ValueType::SecureVersionNumber,
            8 => ValueType::HashExtend,
            9 => ValueType::Informational,
            10 => ValueType::StructuredManifest,
            _ => return None,
        })
    }
}

/// The value of a measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// SHA-384 of what was measured.
    Digest([u8; 48]),
    /// What was measured.
    Raw(Vec<u8>),
}

impl Value {
    /// The bytes of either.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Value::Digest(digest) => digest,
            Value::Raw(bytes) => bytes,
        }
    }
}

/// A measurement block of the DMTF's format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// 1 to 254; which measurement it is, in the device's own numbering.
    pub index: u8,
    /// What it is of.
    pub value_type: ValueType,
    /// Its value. Raw bits are at most 65,532 bytes.
    pub value: Value,
}

impl Block {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let (raw, bytes) = match &self.value {
            Value::Digest(digest) => (0, digest.as_slice()),
            Value::Raw(bytes) => (RAW_BIT_STREAM, bytes.as_slice()),
        };
        let length = bytes.len().min(usize::from(u16::MAX) - 3) as u16;
        out.extend_from_slice(&[self.index, MEASUREMENT_SPECIFICATION_DMTF]);
        out.extend_from_slice(&(length + 3).to_le_bytes());
        out.push(self.value_type as u8 | raw);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend(bytes.iter().take(length.into()));
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Block, DecodeError> {
        let index = reader.u8()?;
        if matches!(index, 0 | 0xff) {
            return Err(value("Index", index));
        }
        let specification = reader.u8()?;
        if specification != MEASUREMENT_SPECIFICATION_DMTF {
            return Err(value("MeasurementSpecification", specification));
        }
        let size = reader.u16()?;
        let kind = reader.u8()?;
        let value_type = ValueType::from_byte(kind & !RAW_BIT_STREAM)
            .ok_or(value("DMTFSpecMeasurementValueType", kind))?;
        let length = reader.u16()?;
        if u32::from(size) != u32::from(length) + 3 {
            return Err(value("MeasurementSize", size));
        }
        let value = if kind & RAW_BIT_STREAM != 0 {
            Value::Raw(reader.bytes(length.into())?.to_vec())
        } else if length == 48 {
            Value::Digest(reader.array()?)
        } else {
            return Err(value("DMTFSpecMeasurementValueSize", length));
        };
        Ok(Block { index, value_type, value })
    }
}

/// MeasurementSummaryHash: the digest of some blocks, one after another.
pub(crate) fn summary<'a>(blocks: impl IntoIterator<Item = &'a Block>) -> [u8; 48] {
    let mut record = Vec::new();
    blocks.into_iter().for_each(|block| block.put(&mut record));
    Sha384::digest(&record).into()
}

/// The nonce of GET_MEASUREMENTS: it makes the signature fresh for whoever chose `verifier_nonce`
/// and binds it to the session of whoever owns `exchange_key` (the requester's Diffie-Hellman
/// share), so that evidence of a genuine device, relayed from another one's session, is no use.
///
/// The first 32 bytes of SHA-384 over the two.
pub fn bound_nonce(verifier_nonce: &[u8; 32], exchange_key: &[u8; 96]) -> [u8; 32] {
    let digest = Sha384::new().chain_update(verifier_nonce).chain_update(exchange_key).finalize();
    let mut nonce = [0; 32];
    nonce.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    nonce
}

/// Why a transcript is not evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TranscriptError {
    /// The request or the response is malformed.
    #[error("Measurements are malformed")]
    Malformed(#[from] DecodeError),
    /// The request did not ask for all measurements with a signature.
    #[error("Measurements are not a signed answer for all of them; ask for that")]
    NotAll,
    /// The measurements have changed while they were read.
    #[error("Measurements have changed while they were read; ask again")]
    Changed,
    /// The signature is not the key's.
    #[error("Signature over the measurements is not the attestation key's")]
    BadSignature,
}

/// The exchange in which a device signed all its measurements, byte by byte: all that is needed,
/// besides the device's public key, to check it again elsewhere and later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasurementTranscript {
    /// GET_VERSION to ALGORITHMS, in order. In version 1.1 the signature does not cover it.
    pub vca: Vec<u8>,
    /// GET_MEASUREMENTS.
    pub request: Vec<u8>,
    /// MEASUREMENTS, signature included.
    pub response: Vec<u8>,
}

/// What a transcript says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measurements {
    /// The request's nonce.
    pub nonce: [u8; 32],
    /// Slot of the chain whose key signs.
    pub slot: u8,
    /// The blocks, with no index twice.
    pub blocks: Vec<Block>,
    /// The device's own data.
    pub opaque: Vec<u8>,
}

impl Measurements {
    /// The block of this index.
    pub fn block(&self, index: u8) -> Option<&Block> {
        self.blocks.iter().find(|block| block.index == index)
    }
}

impl MeasurementTranscript {
    /// What the transcript says, whoever may have said it.
    pub fn parse(&self) -> Result<Measurements, TranscriptError> {
        let (request, response) = self.decode()?;
        let (Operation::All, Some(signature)) = (request.operation, request.signature) else {
            return Err(TranscriptError::NotAll);
        };
        if response.slot != signature.slot {
            return Err(value("SlotID", response.slot).into());
        }
        if response.content_changed == CONTENT_CHANGED {
            return Err(TranscriptError::Changed);
        }
        Ok(Measurements {
            nonce: signature.nonce,
            slot: response.slot,
            blocks: response.blocks,
            opaque: response.opaque,
        })
    }

    /// What the transcript says, once it is certain that the owner of `key` has said it.
    pub fn verify(&self, key: &VerifyingKey) -> Result<Measurements, TranscriptError> {
        let measurements = self.parse()?;
        let (_, response) = self.decode()?;
        let signature = response.signature.ok_or(TranscriptError::NotAll)?;
        let signed = self.response.len() - signature.len();
        let version = self.version()?;
        // 1.1 leaves the negotiation out of what is signed.
        let vca = if version >= Version::V1_2 { self.vca.as_slice() } else { &[] };
        let digest = Sha384::new()
            .chain_update(vca)
            .chain_update(&self.request)
            .chain_update(self.response.get(..signed).unwrap_or_default())
            .finalize();
        if signature::verify(key, version, Purpose::Measurements, &digest.into(), &signature) {
            Ok(measurements)
        } else {
            Err(TranscriptError::BadSignature)
        }
    }

    fn decode(&self) -> Result<(GetMeasurements, MeasurementsResponse), TranscriptError> {
        let version = self.version()?;
        let request: GetMeasurements = message::decode(&self.request, version, ())?;
        let signed = request.signature.is_some();
        let response: MeasurementsResponse = message::decode(&self.response, version, signed)?;
        if response.context != request.context {
            return Err(value("RequesterContext", u64::from_le_bytes(response.context)).into());
        }
        Ok((request, response))
    }

    /// The version that was agreed, as the request says.
    fn version(&self) -> Result<Version, TranscriptError> {
        let found = Header::peek(&self.request)?.version;
        Ok(Version::negotiable(found).ok_or(DecodeError::Version { found })?)
    }
}

#[cfg(test)]
mod tests;
