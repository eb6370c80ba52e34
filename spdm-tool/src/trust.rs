//! Whether a pinned root vouches for a certificate chain: path, signatures, time and purpose, as RFC
//! 5280 asks, by `webpki`.
//!
//! More is not asked here, so that the devices of every maker can be tried. What Ravelin's profile
//! asks of the GPU's chain besides, and what firmware it names, is `ravelin verify`'s.

use std::path::Path;
use std::time::Duration;

use p384::ecdsa::signature::Verifier;
use p384::ecdsa::{DerSignature, VerifyingKey};
use ravelin_attestation::Code;
use ravelin_spdm::CertificateChain;
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm,
    UnixTime, alg_id,
};
use sha2::{Digest, Sha384};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_cert::der::{Decode, DecodePem, Encode};
use x509_cert::spki::DecodePublicKey;

/// The development maker's root, which signs for `ravelin gpu-server`.
const DEVELOPMENT_ROOT: &[u8] = include_bytes!("../../resources/reference-values/root.der");

/// id-DMTF-eku-responder-auth, 1.3.6.1.4.1.412.274.3, without tag and length.
const RESPONDER_AUTHENTICATION: &[u8] = &[0x2b, 6, 1, 4, 1, 0x83, 0x1c, 0x82, 0x12, 3];

/// Why there is no root to pin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("--root: cannot read the file")]
    Read(#[source] std::io::Error),
    /// The file is no certificate.
    #[error("--root: the file is no certificate: give an X.509 certificate, DER or PEM")]
    NotACertificate(#[source] x509_cert::der::Error),
    /// The certificate cannot be a root.
    #[error("--root: the certificate cannot be a root")]
    NotARoot(#[source] webpki::Error),
}

/// A pinned root.
pub struct Root {
    der: CertificateDer<'static>,
    now: UnixTime,
}

impl Root {
    /// Pins the root in this file, at this time.
    ///
    /// # Errors
    /// Each of [`Error`].
    pub fn read(path: &Path, now: Duration) -> Result<Root, Error> {
        let bytes = std::fs::read(path).map_err(Error::Read)?;
        let certificate = match bytes.starts_with(b"-----") {
            true => x509_cert::Certificate::from_pem(&bytes),
            false => x509_cert::Certificate::from_der(&bytes),
        };
        let der = certificate.and_then(|root| root.to_der()).map_err(Error::NotACertificate)?;
        Root::new(der, now)
    }

    /// Pins the root of the development maker.
    ///
    /// # Errors
    /// None, with the file that is built in.
    pub fn development(now: Duration) -> Result<Root, Error> {
        Root::new(DEVELOPMENT_ROOT.to_vec(), now)
    }

    fn new(der: Vec<u8>, now: Duration) -> Result<Root, Error> {
        let der = CertificateDer::from(der);
        anchor_from_trusted_cert(&der).map_err(Error::NotARoot)?;
        Ok(Root { der, now: UnixTime::since_unix_epoch(now) })
    }

    /// The key that the chain's leaf certifies, if this root vouches for it.
    ///
    /// # Errors
    /// The code that the verifier would give.
    pub fn judge(&self, chain: &CertificateChain) -> Result<VerifyingKey, Code> {
        if chain.root_digest() != <[u8; 48]>::from(Sha384::digest(&self.der)) {
            return Err(Code::UnknownRoot);
        }
        let mut certificates: Vec<_> = chain.certificates().map(CertificateDer::from).collect();
        let leaf = certificates.pop().ok_or(Code::MalformedEvidence)?;
        let leaf = EndEntityCert::try_from(&leaf).map_err(|error| code(&error))?;
        let anchor = anchor_from_trusted_cert(&self.der).map_err(|error| code(&error))?;
        leaf.verify_for_usage(
            &[&EcdsaP384Sha384],
            &[anchor],
            &certificates,
            self.now,
            KeyUsage::required_if_present(RESPONDER_AUTHENTICATION),
            None,
            None,
        )
        .map_err(|error| code(&error))?;
        let key = leaf.subject_public_key_info();
        VerifyingKey::from_public_key_der(&key).map_err(|_| Code::CertificateProfile)
    }
}

/// The verifier's code for webpki's finding.
fn code(error: &webpki::Error) -> Code {
    match error {
        webpki::Error::UnknownIssuer => Code::UnknownRoot,
        webpki::Error::CertExpired { .. } => Code::CertificateExpired,
        webpki::Error::CertNotValidYet { .. } => Code::CertificateNotYetValid,
        webpki::Error::InvalidSignatureForPublicKey => Code::BadSignature,
        webpki::Error::BadDer | webpki::Error::BadDerTime | webpki::Error::TrailingData(_) => {
            Code::MalformedEvidence
        }
        _ => Code::CertificateProfile,
    }
}

/// ECDSA on P-384 with SHA-384: the only signature that is negotiated, and so the only one that a
/// chain may have.
#[derive(Debug)]
struct EcdsaP384Sha384;

impl SignatureVerificationAlgorithm for EcdsaP384Sha384 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let key = VerifyingKey::from_sec1_bytes(public_key).map_err(|_| InvalidSignature)?;
        let signature = DerSignature::from_bytes(signature).map_err(|_| InvalidSignature)?;
        key.verify(message, &signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P384
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA384
    }
}
