//! Evidence: what a GPU says about itself, as it came over SPDM, and what it has to be fresh for.
//!
//! Nothing in evidence is believed before [`verify`](mod@crate::verify) has checked who said it.

use alloc::vec::Vec;
use ravelin_dice::security::{SECURITY_CONFIGURATION_INDEX, SVN_INDEX, decode_svn};
use ravelin_dice::{Component, Digest, SecurityConfiguration};
use ravelin_spdm::certificate_chain::CertificateChain;
use ravelin_spdm::measurements::{
    MeasurementTranscript, Measurements, Value, ValueType, bound_nonce,
};

/// Bytes of a verifier's nonce.
pub const NONCE_SIZE: usize = 32;

/// What one GPU presents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The certificates, DER, from the root to the attestation key.
    pub certificates: Vec<Vec<u8>>,
    /// The signed answer to GET_MEASUREMENTS, with all that the signature covers.
    pub measurements: MeasurementTranscript,
}

impl Evidence {
    /// The evidence in what an SPDM session brought.
    pub fn new(chain: &CertificateChain, measurements: MeasurementTranscript) -> Evidence {
        let certificates = chain.certificates().map(<[u8]>::to_vec).collect();
        Evidence { certificates, measurements }
    }
}

/// What evidence must be an answer to: a nonce that nobody could foresee, in the very session whose
/// key exchange share is this one. The two together make the nonce of GET_MEASUREMENTS, so evidence
/// that was recorded earlier, or that a genuine GPU gave to another guest, does not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freshness {
    nonce: [u8; NONCE_SIZE],
}

/// A nonce too short to be unforeseeable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("A nonce of {0} bytes proves nothing: use 32 random bytes")]
pub struct ShortNonce(pub usize);

impl Freshness {
    /// Of the verifier's nonce and the guest's share in KEY_EXCHANGE (the x and y coordinates).
    ///
    /// # Errors
    /// If the nonce is not [`NONCE_SIZE`] bytes long.
    pub fn new(verifier_nonce: &[u8], exchange_key: &[u8; 96]) -> Result<Freshness, ShortNonce> {
        let verifier_nonce =
            verifier_nonce.try_into().map_err(|_| ShortNonce(verifier_nonce.len()))?;
        Ok(Freshness { nonce: bound_nonce(verifier_nonce, exchange_key) })
    }

    /// The nonce that GET_MEASUREMENTS must have carried.
    pub fn nonce(&self) -> &[u8; NONCE_SIZE] {
        &self.nonce
    }
}

/// The measurements, read: the blocks that the profile asks for, each of its type, and no others.
pub(crate) struct Claims {
    pub(crate) nonce: [u8; NONCE_SIZE],
    pub(crate) components: [Digest; Component::ALL.len()],
    pub(crate) security: SecurityConfiguration,
    pub(crate) svn: u32,
}

impl Claims {
    pub(crate) fn read(measurements: &Measurements) -> Option<Claims> {
        let mut components = [[0; 48]; Component::ALL.len()];
        for (component, place) in Component::ALL.into_iter().zip(&mut components) {
            let block = measurements.block(component.index())?;
            let expected = match component {
                Component::BootRom => ValueType::ImmutableRom,
                _ => ValueType::MutableFirmware,
            };
            match block.value {
                Value::Digest(digest) if block.value_type == expected => *place = digest,
                _ => return None,
            }
        }
        let raw = |index, value_type| {
            let block = measurements.block(index)?;
            match &block.value {
                Value::Raw(bytes) if block.value_type == value_type => Some(bytes.as_slice()),
                _ => None,
            }
        };
        let security = raw(SECURITY_CONFIGURATION_INDEX, ValueType::HardwareConfiguration)
            .or_else(|| raw(SECURITY_CONFIGURATION_INDEX, ValueType::FirmwareConfiguration))?;
        let svn = raw(SVN_INDEX, ValueType::SecureVersionNumber)?;
        // A block beyond these is something that the device thinks worth saying and that would go
        // unjudged.
        if measurements.blocks.len() != Component::ALL.len() + 2 {
            return None;
        }
        Some(Claims {
            nonce: measurements.nonce,
            components,
            security: SecurityConfiguration::decode(security)?,
            svn: decode_svn(svn)?,
        })
    }
}
