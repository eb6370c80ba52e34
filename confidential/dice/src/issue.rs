//! Issuing certificates of the profile: for the maker, and for a GPU's root of trust.
//!
//! Deterministic throughout. Serial numbers are digests of what they number and signatures follow
//! RFC 6979, so the same inputs give the same bytes, and committed files can be compared with
//! what the code makes.

mod revocation;

pub use revocation::revocation_list;

use crate::certificate::{self, Certificate};
use crate::time::Validity;
use crate::{DeviceInfo, TcbInfo, oid, spdm_extension};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::str::FromStr;
use der::Encode;
use der::asn1::OctetString;
use der::flagset::FlagSet;
use der::oid::AssociatedOid;
use p384::ecdsa::{DerSignature, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha384};
use x509_cert::TbsCertificate;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder, CertificateBuilder};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages,
    SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef};

/// The organization of an authority of which nothing else is said.
const ORGANIZATION: &str = "Ravelin";

/// Why a certificate was not issued.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name holds a character that would have to be quoted somewhere.
    #[error("{0:?} cannot be part of a name: use letters, digits, spaces, hyphens and full stops")]
    Name(String),
    /// The issuer's certificate is for another key.
    #[error("The issuer's certificate is for another key")]
    KeyMismatch,
    /// The issuer's certificate is none, or not one that may issue.
    #[error("The issuer's certificate cannot be used")]
    Issuer(#[source] certificate::Error),
    /// The issuer's certificate does not name a device, so it cannot endorse an attestation key.
    #[error("The issuer is no device identity")]
    NotADevice,
    /// A field is too long or a time is out of range.
    #[error("The certificate cannot be written in DER")]
    Der(#[from] der::Error),
    /// The certificate builder refused.
    #[error("The certificate cannot be built")]
    Build(#[from] x509_cert::builder::Error),
}

/// A key that issues certificates, and the certificate that lets it. The key is wiped when dropped;
/// there is no way to print or copy it.
pub struct Issuer {
    key: SigningKey,
    certificate: Vec<u8>,
    subject: Name,
    device: Option<DeviceInfo>,
    validity: Validity,
}

impl Issuer {
    /// An issuer from its key and certificate.
    ///
    /// # Errors
    /// If the certificate is not an authority's, or is for another key.
    pub fn new(key: SigningKey, certificate: Vec<u8>) -> Result<Issuer, Error> {
        let parsed = Certificate::parse(&certificate, 0).map_err(Error::Issuer)?;
        parsed.check_authority(0).map_err(Error::Issuer)?;
        if parsed.key != *key.verifying_key() {
            return Err(Error::KeyMismatch);
        }
        let names = parsed.required(certificate::Rule::DeviceInfo).map_err(Error::Issuer)?;
        Ok(Issuer {
            subject: parsed.subject().clone(),
            device: names.and_then(|names| DeviceInfo::from_alt_name(&names)),
            validity: parsed.validity(),
            key,
            certificate,
        })
    }

    /// A new root of Ravelin's, self-signed. `name` becomes the common name.
    ///
    /// # Errors
    /// If the name or a time cannot be written.
    pub fn root(key: SigningKey, name: &str, validity: Validity) -> Result<Issuer, Error> {
        Issuer::root_of(key, name, ORGANIZATION, validity)
    }

    /// A new root, self-signed. `name` becomes the common name; the organization is inherited by
    /// the intermediates and signers below.
    ///
    /// # Errors
    /// If one of the names or a time cannot be written.
    pub fn root_of(
        key: SigningKey,
        name: &str,
        organization: &str,
        validity: Validity,
    ) -> Result<Issuer, Error> {
        let subject = common_name(name, organization)?;
        let plan = Plan {
            issuer: subject.clone(),
            subject,
            extensions: authority(None, KeyUsages::KeyCertSign | KeyUsages::CRLSign)?,
        };
        let certificate = plan.sign(&key, key.verifying_key(), validity)?;
        Issuer::new(key, certificate)
    }

    /// The issuer's own certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The issuer's name.
    pub fn name(&self) -> &Name {
        &self.subject
    }

    /// The issuer's public key.
    pub fn public_key(&self) -> &VerifyingKey {
        self.key.verifying_key()
    }

    /// The device that this issuer is the identity of, if it is one.
    pub fn device(&self) -> Option<&DeviceInfo> {
        self.device.as_ref()
    }

    /// The time that the issuer's certificate is valid.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The name of an authority or signer below this one: of the same organization.
    fn below(&self, name: &str) -> Result<Name, Error> {
        match self.subject.organization()? {
            Some(organization) => common_name(name, &organization.value()),
            None => common_name(name, ORGANIZATION),
        }
    }

    fn issue(
        &self,
        subject: Name,
        key: &VerifyingKey,
        validity: Validity,
        mut extensions: Vec<Extension>,
    ) -> Result<Vec<u8>, Error> {
        let authority = AuthorityKeyIdentifier {
            key_identifier: Some(OctetString::new(key_id(self.public_key()))?),
            ..Default::default()
        };
        extensions.push(authority.to_extension(&subject, &[])?);
        let plan = Plan { issuer: self.subject.clone(), subject, extensions };
        plan.sign(&self.key, key, validity)
    }
}

/// The certificate of an authority between root and device identities.
///
/// # Errors
/// If the name or a time cannot be written.
pub fn intermediate_certificate(
    issuer: &Issuer,
    key: &VerifyingKey,
    name: &str,
    validity: Validity,
) -> Result<Vec<u8>, Error> {
    issuer.issue(
        issuer.below(name)?,
        key,
        validity,
        authority(None, KeyUsages::KeyCertSign.into())?,
    )
}

/// The certificate of a device's identity: an authority for its attestation keys, and no others.
///
/// # Errors
/// If the device's name or a time cannot be written.
pub fn device_identity_certificate(
    issuer: &Issuer,
    key: &VerifyingKey,
    device: &DeviceInfo,
    validity: Validity,
) -> Result<Vec<u8>, Error> {
    let subject = device_name(device, "identity")?;
    let mut extensions = authority(Some(0), KeyUsages::KeyCertSign.into())?;
    extensions.push(device.to_alt_name()?.to_extension(&subject, &[])?);
    extensions.push(spdm_extension::to_extension(oid::DMTF_HARDWARE_IDENTITY)?);
    issuer.issue(subject, key, validity, extensions)
}

/// The certificate of an attestation key: the device identity's word on what booted. The leaf of an
/// SPDM chain.
///
/// A device has no clock: it gives [`Issuer::validity`] of its identity.
///
/// # Errors
/// If the issuer is no device identity, or a time cannot be written.
pub fn attestation_certificate(
    device_identity: &Issuer,
    key: &VerifyingKey,
    tcb: &TcbInfo,
    validity: Validity,
) -> Result<Vec<u8>, Error> {
    let device = device_identity.device().ok_or(Error::NotADevice)?;
    let subject = device_name(device, "attestation key")?;
    let extensions = [
        end_entity(oid::DMTF_EKU_RESPONDER_AUTH)?,
        alloc::vec![
            device.to_alt_name()?.to_extension(&subject, &[])?,
            spdm_extension::to_extension(oid::DMTF_MUTABLE_CERTIFICATE)?,
            tcb.to_extension()?,
        ],
    ];
    device_identity.issue(subject, key, validity, extensions.concat())
}

/// The certificate of a key that signs reference values.
///
/// # Errors
/// If the name or a time cannot be written.
pub fn reference_signer_certificate(
    issuer: &Issuer,
    key: &VerifyingKey,
    name: &str,
    validity: Validity,
) -> Result<Vec<u8>, Error> {
    issuer.issue(issuer.below(name)?, key, validity, end_entity(oid::EKU_REFERENCE_VALUES)?)
}

fn authority(path_length: Option<u8>, usage: FlagSet<KeyUsages>) -> der::Result<Vec<Extension>> {
    let constraints = BasicConstraints { ca: true, path_len_constraint: path_length };
    Ok(alloc::vec![critical(&constraints)?, critical(&KeyUsage(usage))?])
}

fn end_entity(purpose: der::asn1::ObjectIdentifier) -> der::Result<Vec<Extension>> {
    let constraints = BasicConstraints { ca: false, path_len_constraint: None };
    Ok(alloc::vec![
        critical(&constraints)?,
        critical(&KeyUsage(KeyUsages::DigitalSignature.into()))?,
        (false, &ExtendedKeyUsage(alloc::vec![purpose])).to_extension(&Name::default(), &[])?,
    ])
}

fn critical<E: Encode + AssociatedOid>(extension: &E) -> der::Result<Extension> {
    (true, extension).to_extension(&Name::default(), &[])
}

/// Subject key identifier by RFC 7093, method 3: the leftmost 160 bits of SHA-384.
fn key_id(key: &VerifyingKey) -> [u8; 20] {
    let digest = Sha384::digest(key.to_sec1_bytes());
    core::array::from_fn(|at| digest[at])
}

fn common_name(name: &str, organization: &str) -> Result<Name, Error> {
    Ok(Name::from_str(&format!("CN={},O={}", plain(name)?, plain(organization)?))?)
}

/// The serial number makes the name unique, as an issuer's name must be.
fn device_name(device: &DeviceInfo, role: &str) -> Result<Name, Error> {
    let (maker, product) = (plain(&device.manufacturer)?, plain(&device.product)?);
    let serial = plain(&device.serial)?;
    Ok(Name::from_str(&format!("serialNumber={serial},CN={product} {role},O={maker}"))?)
}

fn plain(part: &str) -> Result<&str, Error> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '-' | '.');
    if part.is_empty() || !part.chars().all(allowed) || part.trim() != part {
        return Err(Error::Name(part.to_string()));
    }
    Ok(part)
}

/// A certificate before it is signed.
struct Plan {
    issuer: Name,
    subject: Name,
    extensions: Vec<Extension>,
}

impl Plan {
    fn sign(
        mut self,
        signer: &SigningKey,
        key: &VerifyingKey,
        validity: Validity,
    ) -> Result<Vec<u8>, Error> {
        let own = SubjectKeyIdentifier(OctetString::new(key_id(key))?);
        self.extensions.push(own.to_extension(&self.subject, &[])?);
        let public = SubjectPublicKeyInfoOwned::from_key(key).map_err(|_| Error::KeyMismatch)?;
        let not_before = validity.not_before.to_x509()?;
        let not_after = validity.not_after.to_x509()?;
        let serial = self.serial(&public, not_before, not_after)?;
        let validity = x509_cert::time::Validity::new(not_before, not_after);
        let builder = CertificateBuilder::new(self, serial, validity, public)?;
        Ok(builder.build::<_, DerSignature>(signer)?.to_der()?)
    }

    /// A digest over everything that the certificate says: unique, positive, 20 bytes.
    fn serial(
        &self,
        key: &SubjectPublicKeyInfoOwned,
        not_before: x509_cert::time::Time,
        not_after: x509_cert::time::Time,
    ) -> der::Result<SerialNumber> {
        let mut hash = Sha384::new();
        hash.update(self.issuer.to_der()?);
        hash.update(self.subject.to_der()?);
        hash.update(key.to_der()?);
        hash.update(not_before.to_der()?);
        hash.update(not_after.to_der()?);
        hash.update(self.extensions.to_der()?);
        let digest = hash.finalize();
        let mut serial: [u8; 20] = core::array::from_fn(|at| digest[at]);
        serial[0] = serial[0] & 0x3f | 0x40;
        SerialNumber::new(&serial)
    }
}

impl BuilderProfile for Plan {
    fn get_issuer(&self, _subject: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        _key: SubjectPublicKeyInfoRef<'_>,
        _issuer_key: SubjectPublicKeyInfoRef<'_>,
        _content: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        Ok(self.extensions.clone())
    }
}
