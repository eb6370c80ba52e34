//! Signing reference values: the maker's word on its firmware releases.

use crate::{Error, FirmwareSet, MODEL, Maker, VENDOR};
use p384::ecdsa::Signature;
use p384::ecdsa::signature::Signer;
use ravelin_attestation::ReferenceValues;
use ravelin_attestation::corim::{Manifest, Release};
use ravelin_dice::UnixTime;
use ravelin_dice::time::Validity;

/// 2026-01-01 to 2036-01-01: the reference values and the revocation list. Ten years would be far
/// too long for a real maker; a development maker publishes once, in a commit.
pub const VALIDITY: Validity =
    Validity { not_before: UnixTime(1_767_225_600), not_after: UnixTime(2_082_758_400) };

impl FirmwareSet {
    /// What the maker publishes about this set.
    pub fn to_release(&self) -> Release {
        Release {
            vendor: VENDOR.to_owned(),
            model: MODEL.to_owned(),
            version: self.version().to_owned(),
            svn: self.svn(),
            components: self.measurements(),
        }
    }
}

/// Everything that the maker vouches for: all [`FirmwareSet::releases`].
pub fn manifest() -> Manifest {
    Manifest {
        id: format!("{VENDOR} {MODEL} development reference values"),
        validity: VALIDITY,
        releases: FirmwareSet::releases().iter().map(FirmwareSet::to_release).collect(),
    }
}

impl Maker {
    /// Signs a manifest: the document that [`ReferenceValues::verify`] reads.
    ///
    /// # Errors
    /// If it cannot be written in CBOR.
    pub fn sign_reference_values(&self, manifest: &Manifest) -> Result<Vec<u8>, Error> {
        let sign = |message: &[u8]| {
            let signature: Signature = self.signer().sign(message);
            signature.to_vec()
        };
        ReferenceValues::sign(manifest, self.signer_certificate(), VENDOR, sign).ok_or(Error::Cbor)
    }
}
