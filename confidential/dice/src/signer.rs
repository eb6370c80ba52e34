//! The certificate of a key that signs reference values: issued by the root itself, for this
//! purpose alone, so that no device can vouch for its own firmware.

use crate::certificate::{Certificate, CertificateId, Error};
use crate::time::Validity;
use crate::{Clock, TrustAnchor, oid};
use p384::ecdsa::VerifyingKey;

/// A key that may sign reference values.
#[derive(Clone, Debug)]
pub struct ReferenceSigner {
    /// Its public key.
    pub public_key: VerifyingKey,
    /// Its certificate, for revocation lists.
    pub id: CertificateId,
    /// When its certificate is valid.
    pub validity: Validity,
}

impl ReferenceSigner {
    /// Judges a signer's certificate.
    ///
    /// # Errors
    /// As [`crate::Chain::verify`]; the signer's certificate has index 1.
    pub fn verify(der: &[u8], root: &TrustAnchor, clock: Clock) -> Result<ReferenceSigner, Error> {
        let certificate = Certificate::parse(der, 1)?;
        certificate.check_issuer(root.certificate()).map_err(|error| match error {
            // A stranger's signer is a matter of the root, not of a damaged signature.
            Error::WrongProfile { .. } => Error::UnknownRoot,
            other => other,
        })?;
        certificate.check_end_entity(oid::EKU_REFERENCE_VALUES)?;
        root.certificate().check_time(clock)?;
        certificate.check_time(clock)?;
        Ok(ReferenceSigner {
            public_key: certificate.key,
            id: certificate.id()?,
            validity: certificate.validity(),
        })
    }
}
