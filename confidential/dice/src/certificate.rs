//! One X.509 certificate: read, held against the rules that all certificates of the profile share,
//! and against those of its role. What binds certificates to one another is [`crate::chain`]'s.
//!
//! Signatures are checked over the bytes as they came, never over bytes encoded anew.

use crate::time::{OutOfTime, UnixTime, Validity};
use crate::{Digest, oid};
use alloc::vec::Vec;
use core::fmt;
use der::asn1::ObjectIdentifier;
use der::oid::AssociatedOid;
use der::{Decode, Encode, Reader, SliceReader};
use p384::ecdsa::signature::Verifier;
use p384::ecdsa::{DerSignature, VerifyingKey};
use p384::pkcs8::{DecodePublicKey, EncodePublicKey};
use sha2::{Digest as _, Sha384};
use x509_cert::Version;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName,
    SubjectKeyIdentifier,
};

/// Most bytes of a certificate. Real ones of this profile have 500 to 900.
pub const MAX_CERTIFICATE: usize = 4096;

/// Why a certificate, or a chain of them, is refused. `index` counts from the root, 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a certificate in DER, or too long.
    #[error("Certificate {index} is not an X.509 certificate in DER")]
    Malformed {
        /// Which one.
        index: usize,
    },
    /// The first certificate is not the pinned root.
    #[error("The chain does not begin with the pinned root")]
    UnknownRoot,
    /// The issuer's key did not sign this certificate.
    #[error("The signature of certificate {index} is not its issuer's")]
    BadSignature {
        /// Which one.
        index: usize,
    },
    /// It is surely too late for this certificate, or surely too early.
    #[error("Certificate {index} is out of its time")]
    Time {
        /// Which one.
        index: usize,
        /// On which side.
        source: OutOfTime,
    },
    /// The certificate is genuine but is not what the profile asks for at its place.
    #[error("Certificate {index} breaks the profile: {rule}")]
    WrongProfile {
        /// Which one.
        index: usize,
        /// What it breaks.
        rule: Rule,
    },
    /// The leaf does not say what runs on the device.
    #[error("The leaf has no DICE TcbInfo extension")]
    TcbInfoMissing,
}

/// A rule of the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Version 3, positive serial number, no unique identifiers.
    Version,
    /// ECDSA P-384 with SHA-384.
    Algorithm,
    /// No extension twice, no critical extension that is not understood.
    Extensions,
    /// basicConstraints says whether it is an authority, as its place asks.
    BasicConstraints,
    /// pathLenConstraint leaves room for what follows.
    PathLength,
    /// keyUsage: keyCertSign for an authority, digitalSignature alone for a leaf.
    KeyUsage,
    /// extendedKeyUsage: SPDM responder authentication, or signing of reference values.
    ExtendedKeyUsage,
    /// Issuer name is the subject name of the one before.
    Names,
    /// The SPDM mark of its place: hardware identity, mutable certificate.
    SpdmMark,
    /// Names a device, the same in the device identity, in the leaf and in the leaf's TcbInfo.
    DeviceInfo,
    /// TcbInfo is there but is not of the profile.
    TcbInfo,
    /// Three to [`crate::chain::MAX_DEPTH`] certificates.
    ChainLength,
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Rule::Version => "version or serial number",
            Rule::Algorithm => "algorithm",
            Rule::Extensions => "doubled or unknown critical extension",
            Rule::BasicConstraints => "basicConstraints",
            Rule::PathLength => "pathLenConstraint",
            Rule::KeyUsage => "keyUsage",
            Rule::ExtendedKeyUsage => "extendedKeyUsage",
            Rule::Names => "issuer name",
            Rule::SpdmMark => "SPDM extension",
            Rule::DeviceInfo => "device info",
            Rule::TcbInfo => "DICE TcbInfo",
            Rule::ChainLength => "length of the chain",
        })
    }
}

/// What identifies a certificate in a revocation list: who issued it, and its number there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CertificateId {
    /// DER of the issuer's name.
    pub issuer: Vec<u8>,
    /// Content bytes of the serial number, big-endian.
    pub serial: Vec<u8>,
}

impl CertificateId {
    /// Of this certificate, DER; whoever issued it.
    ///
    /// # Errors
    /// Where it is no certificate of the profile.
    pub fn of(certificate: &[u8]) -> Result<CertificateId, Error> {
        Certificate::parse(certificate, 0)?.id()
    }
}

/// SHA-384 of a public key's SubjectPublicKeyInfo with the point uncompressed: one value for a key,
/// however its certificate writes it. `None` if the key cannot be written in DER, which no P-384
/// key does: but a made-up digest in its place would make devices look the same.
pub fn key_digest(key: &VerifyingKey) -> Option<Digest> {
    key.to_public_key_der().ok().map(|der| Sha384::digest(der.as_bytes()).into())
}

/// A certificate that obeys the rules common to all.
#[derive(Clone)]
pub(crate) struct Certificate {
    /// Its place, for errors.
    index: usize,
    /// The signed bytes.
    tbs: Vec<u8>,
    parsed: x509_cert::Certificate,
    pub(crate) key: VerifyingKey,
}

impl Certificate {
    /// Reads a certificate. `index` is its place, for errors.
    pub(crate) fn parse(bytes: &[u8], index: usize) -> Result<Certificate, Error> {
        if bytes.len() > MAX_CERTIFICATE {
            return Err(Error::Malformed { index });
        }
        let malformed = |_| Error::Malformed { index };
        let parsed = x509_cert::Certificate::from_der(bytes).map_err(malformed)?;
        let tbs = signed_part(bytes).map_err(malformed)?.to_vec();

        let wrong = |rule| Error::WrongProfile { index, rule };
        let content = parsed.tbs_certificate();
        let serial = content.serial_number().as_bytes();
        let positive = serial.first().is_some_and(|first| *first < 0x80)
            && serial.iter().any(|byte| *byte != 0);
        if content.version() != Version::V3
            || !positive
            || content.issuer_unique_id().is_some()
            || content.subject_unique_id().is_some()
        {
            return Err(wrong(Rule::Version));
        }
        for algorithm in [parsed.signature_algorithm(), content.signature()] {
            if algorithm.oid != oid::ECDSA_WITH_SHA384 || algorithm.parameters.is_some() {
                return Err(wrong(Rule::Algorithm));
            }
        }
        let key = content
            .subject_public_key_info()
            .to_der()
            .ok()
            .and_then(|der| VerifyingKey::from_public_key_der(&der).ok())
            .ok_or(wrong(Rule::Algorithm))?;
        check_extensions(content.extensions().map_or(&[], Vec::as_slice))
            .ok_or(wrong(Rule::Extensions))?;
        Ok(Certificate { index, tbs, parsed, key })
    }

    /// An error about this certificate.
    pub(crate) fn wrong(&self, rule: Rule) -> Error {
        Error::WrongProfile { index: self.index, rule }
    }

    /// Whether `issuer` issued it: signature, then names.
    pub(crate) fn check_issuer(&self, issuer: &Certificate) -> Result<(), Error> {
        let signature = self
            .parsed
            .signature()
            .as_bytes()
            .and_then(|bytes| DerSignature::from_bytes(bytes).ok())
            .ok_or(Error::BadSignature { index: self.index })?;
        issuer
            .key
            .verify(&self.tbs, &signature)
            .map_err(|_| Error::BadSignature { index: self.index })?;
        let (own, issuer) = (self.parsed.tbs_certificate(), issuer.parsed.tbs_certificate());
        if own.issuer() == issuer.subject() { Ok(()) } else { Err(self.wrong(Rule::Names)) }
    }

    /// Whether its time covers the present.
    pub(crate) fn check_time(&self, clock: crate::Clock) -> Result<(), Error> {
        self.validity().check(clock).map_err(|source| Error::Time { index: self.index, source })
    }

    pub(crate) fn validity(&self) -> Validity {
        let validity = self.parsed.tbs_certificate().validity();
        Validity {
            not_before: UnixTime::of(validity.not_before),
            not_after: UnixTime::of(validity.not_after),
        }
    }

    /// Whether it is an authority that may have `below` further authorities under it.
    pub(crate) fn check_authority(&self, below: usize) -> Result<(), Error> {
        let constraints: BasicConstraints =
            self.required(Rule::BasicConstraints)?.ok_or(self.wrong(Rule::BasicConstraints))?;
        if !constraints.ca {
            return Err(self.wrong(Rule::BasicConstraints));
        }
        if constraints.path_len_constraint.is_some_and(|length| usize::from(length) < below) {
            return Err(self.wrong(Rule::PathLength));
        }
        match self.required::<KeyUsage>(Rule::KeyUsage)? {
            Some(usage) if usage.key_cert_sign() => Ok(()),
            _ => Err(self.wrong(Rule::KeyUsage)),
        }
    }

    /// Whether its key signs, for this one purpose, and is no authority.
    pub(crate) fn check_end_entity(&self, purpose: ObjectIdentifier) -> Result<(), Error> {
        if self
            .required::<BasicConstraints>(Rule::BasicConstraints)?
            .is_some_and(|constraints| constraints.ca)
        {
            return Err(self.wrong(Rule::BasicConstraints));
        }
        match self.required::<KeyUsage>(Rule::KeyUsage)? {
            Some(usage) if usage.digital_signature() && !usage.key_cert_sign() => {}
            _ => return Err(self.wrong(Rule::KeyUsage)),
        }
        match self.required::<ExtendedKeyUsage>(Rule::ExtendedKeyUsage)? {
            Some(usage) if usage.0.contains(&purpose) => Ok(()),
            _ => Err(self.wrong(Rule::ExtendedKeyUsage)),
        }
    }

    /// An extension that x509-cert knows; `rule` names it in the error if it cannot be read.
    pub(crate) fn required<'a, E>(&'a self, rule: Rule) -> Result<Option<E>, Error>
    where
        E: Decode<'a> + AssociatedOid,
    {
        match self.parsed.tbs_certificate().get_extension::<E>() {
            Ok(found) => Ok(found.map(|(_critical, extension)| extension)),
            Err(_) => Err(self.wrong(rule)),
        }
    }

    /// The value of an extension.
    pub(crate) fn extension(&self, id: ObjectIdentifier) -> Option<&[u8]> {
        let extensions = self.parsed.tbs_certificate().extensions()?;
        let found = extensions.iter().find(|extension| extension.extn_id == id)?;
        Some(found.extn_value.as_bytes())
    }

    pub(crate) fn id(&self) -> Result<CertificateId, Error> {
        let content = self.parsed.tbs_certificate();
        Ok(CertificateId {
            issuer: content
                .issuer()
                .to_der()
                .map_err(|_| Error::Malformed { index: self.index })?,
            serial: content.serial_number().as_bytes().to_vec(),
        })
    }

    pub(crate) fn subject(&self) -> &x509_cert::name::Name {
        self.parsed.tbs_certificate().subject()
    }
}

/// The first element of the outer SEQUENCE, header included: what the signature covers. Revocation
/// lists have the same outer shape.
///
/// # Errors
/// If `bytes` is not a SEQUENCE of at least one element.
pub fn signed_part(bytes: &[u8]) -> der::Result<&[u8]> {
    let mut outer = SliceReader::new(bytes)?;
    let header = der::Header::decode(&mut outer)?;
    header.tag().assert_eq(der::Tag::Sequence)?;
    outer.tlv_bytes()
}

/// No extension twice, and none critical that this crate would not look at.
fn check_extensions(extensions: &[Extension]) -> Option<()> {
    const UNDERSTOOD: [ObjectIdentifier; 8] = [
        BasicConstraints::OID,
        KeyUsage::OID,
        ExtendedKeyUsage::OID,
        SubjectAltName::OID,
        SubjectKeyIdentifier::OID,
        AuthorityKeyIdentifier::OID,
        oid::TCG_DICE_TCB_INFO,
        oid::DMTF_SPDM_EXTENSION,
    ];
    for (place, extension) in extensions.iter().enumerate() {
        let doubled = extensions.iter().skip(place + 1).any(|e| e.extn_id == extension.extn_id);
        if doubled || extension.critical && !UNDERSTOOD.contains(&extension.extn_id) {
            return None;
        }
    }
    Some(())
}
