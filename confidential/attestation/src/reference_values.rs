//! Reference values: the maker's word on which firmware is its own, signed.
//!
//! A signed CoRIM: a COSE_Sign1 (RFC 9052, tag 18) with ES384 over a [`corim`](crate::corim)
//! payload. The signer's certificate stands in the protected header (x5chain, RFC 9360) and chains
//! to the pinned root, for this purpose alone; see [`ravelin_dice::signer`].

use crate::corim::{self, Manifest, Release};
use alloc::string::ToString;
use alloc::vec::Vec;
use coset::cbor::value::Value;
use coset::{
    CoseSign1, CoseSign1Builder, HeaderBuilder, Label, RegisteredLabel, RegisteredLabelWithPrivate,
    TaggedCborSerializable, iana,
};
use p384::ecdsa::Signature;
use p384::ecdsa::signature::Verifier;
use ravelin_dice::signer::ReferenceSigner;
use ravelin_dice::time::Validity;
use ravelin_dice::{CertificateId, Clock, Digest, TrustAnchor};

/// Most bytes of the document.
pub const MAX_DOCUMENT: usize = 1 << 20;

/// Content type of a CoRIM (draft-ietf-rats-corim, "Protected Header Map").
const CONTENT_TYPE: &str = "application/rim+cbor";
/// COSE header parameter `corim-meta` of the same.
const CORIM_META: i64 = 8;
/// COSE header parameter `x5chain` (RFC 9360).
const X5CHAIN: i64 = 33;

/// Why a document is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a COSE_Sign1 structure of the profile.
    #[error("Not a signed CoRIM: {0}")]
    Malformed(&'static str),
    /// The signer's certificate is refused.
    #[error("The signer of the reference values is not the maker's")]
    Signer(#[source] ravelin_dice::Error),
    /// The signer did not sign this.
    #[error("The signature of the reference values is wrong")]
    BadSignature,
    /// What is signed is refused.
    #[error("The reference values cannot be read")]
    Corim(#[from] corim::Error),
}

/// Reference values whose signature was verified, and the root that they were verified against.
#[derive(Clone, Debug)]
pub struct ReferenceValues {
    root: TrustAnchor,
    signer: ReferenceSigner,
    manifest: Manifest,
}

impl ReferenceValues {
    /// Verifies a document against the pinned root. Whether it is out of date is judged with the
    /// evidence, since only then is the time asked.
    ///
    /// # Errors
    /// Where it is not a signed CoRIM by a signer of the root's.
    pub fn verify(document: &[u8], root: TrustAnchor) -> Result<ReferenceValues, Error> {
        if document.len() > MAX_DOCUMENT {
            return Err(Error::Malformed("too long"));
        }
        let sign1 = CoseSign1::from_tagged_slice(document)
            .map_err(|_| Error::Malformed("not a tagged COSE_Sign1"))?;
        let header = &sign1.protected.header;
        let algorithm = RegisteredLabelWithPrivate::Assigned(iana::Algorithm::ES384);
        if header.alg != Some(algorithm) {
            return Err(Error::Malformed("the algorithm is not ES384"));
        }
        let content_type = RegisteredLabel::Text(CONTENT_TYPE.to_string());
        if header.content_type != Some(content_type) {
            return Err(Error::Malformed("the content type is not application/rim+cbor"));
        }
        if !header.crit.is_empty() {
            return Err(Error::Malformed("a critical header parameter is not understood"));
        }
        let parameter = |label| {
            let mut found = header.rest.iter().filter(|(name, _)| *name == Label::Int(label));
            found.next().map(|(_, value)| value)
        };
        if parameter(CORIM_META).and_then(Value::as_bytes).is_none() {
            return Err(Error::Malformed("there is no corim-meta"));
        }
        let certificate =
            parameter(X5CHAIN).and_then(Value::as_bytes).ok_or(Error::Malformed("no x5chain"))?;
        let signer =
            ReferenceSigner::verify(certificate, &root, Clock::UNKNOWN).map_err(Error::Signer)?;
        sign1.verify_signature(&[], |signature, signed| {
            let signature = Signature::from_slice(signature).map_err(|_| Error::BadSignature)?;
            signer.public_key.verify(signed, &signature).map_err(|_| Error::BadSignature)
        })?;
        let payload = sign1.payload.as_deref().ok_or(Error::Malformed("no payload"))?;
        Ok(ReferenceValues { manifest: Manifest::decode(payload)?, root, signer })
    }

    /// Makes the document: for the maker, who has the key. `certificate` is the signer's, in DER;
    /// `sign` makes an ECDSA P-384 signature with SHA-384, as r and s of 48 bytes each.
    pub fn sign(
        manifest: &Manifest,
        certificate: &[u8],
        signer_name: &str,
        sign: impl FnOnce(&[u8]) -> Vec<u8>,
    ) -> Option<Vec<u8>> {
        // corim-meta-map: { 0: signer { 0: name } }.
        let name = Value::Map([(Value::from(0), Value::Text(signer_name.to_string()))].into());
        let meta = Value::Map([(Value::from(0), name)].into());
        let mut meta_bytes = Vec::new();
        coset::cbor::ser::into_writer(&meta, &mut meta_bytes).ok()?;
        let protected = HeaderBuilder::new()
            .algorithm(iana::Algorithm::ES384)
            .content_type(CONTENT_TYPE.to_string())
            .value(CORIM_META, Value::Bytes(meta_bytes))
            .value(X5CHAIN, Value::Bytes(certificate.to_vec()))
            .build();
        CoseSign1Builder::new()
            .protected(protected)
            .payload(manifest.encode())
            .create_signature(&[], sign)
            .build()
            .to_tagged_vec()
            .ok()
    }

    /// The root that the document, and so every GPU that it speaks of, chains to.
    pub fn root(&self) -> &TrustAnchor {
        &self.root
    }

    /// The signer's certificate, for revocation lists.
    pub fn signer(&self) -> &CertificateId {
        &self.signer.id
    }

    /// What is signed.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// When both the document and its signer's certificate are valid.
    pub fn validity(&self) -> Validity {
        let (document, signer) = (self.manifest.validity, self.signer.validity);
        Validity {
            not_before: document.not_before.max(signer.not_before),
            not_after: document.not_after.min(signer.not_after),
        }
    }

    /// The release of this firmware id for this GPU model.
    pub fn release(&self, vendor: &str, model: &str, firmware_id: &Digest) -> Option<&Release> {
        self.manifest.releases.iter().find(|release| {
            release.vendor == vendor
                && release.model == model
                && release.firmware_id() == *firmware_id
        })
    }
}
