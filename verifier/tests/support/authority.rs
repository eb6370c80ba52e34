//! A certificate authority for tests, on P-384 like the real ones, that also issues what a real one
//! would not.

use std::str::FromStr;
use std::time::Duration;

use der::asn1::ObjectIdentifier;
use der::{DateTime, Encode};
use p384::ecdsa::{DerSignature, SigningKey};
use ravelin_verifier::x509::Certificate;
use ravelin_verifier::x509::crl::RevocationList;
use x509_cert::TbsCertificate;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder, CertificateBuilder, CrlBuilder, Result as BuildResult};
use x509_cert::crl::RevokedCert;
use x509_cert::ext::pkix::{BasicConstraints, CrlNumber, KeyUsage, KeyUsages};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef};
use x509_cert::time::{Time, Validity};

/// A key and the name that certificates give it.
#[derive(Clone)]
pub struct Party {
    pub name: String,
    pub key: SigningKey,
}

impl Party {
    /// A party of this name; the number makes its key.
    pub fn new(name: &str, number: u8) -> Party {
        Party { name: name.into(), key: SigningKey::from_slice(&[number; 48]).unwrap() }
    }
}

/// What a certificate says besides names and key.
#[derive(Clone)]
pub struct Terms {
    pub serial: u32,
    pub from: &'static str,
    pub to: &'static str,
    pub extensions: Vec<Extension>,
}

impl Terms {
    /// May issue certificates and lists.
    pub fn authority() -> Terms {
        Terms::with(vec![
            extension(&BasicConstraints { ca: true, path_len_constraint: None }),
            extension(&KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign)),
        ])
    }

    /// May sign evidence.
    pub fn signer() -> Terms {
        Terms::with(vec![extension(&KeyUsage(KeyUsages::DigitalSignature.into()))])
    }

    pub fn with(extensions: Vec<Extension>) -> Terms {
        Terms { serial: 7, from: "2024-01-01T00:00:00Z", to: "2026-01-01T00:00:00Z", extensions }
    }
}

fn extension<T: ToExtension<Error = der::Error>>(value: T) -> Extension {
    value.to_extension(&Name::default(), &[]).unwrap()
}

/// An extension with these bytes.
pub fn raw_extension(oid: &str, critical: bool, value: &[u8]) -> Extension {
    Extension {
        extn_id: ObjectIdentifier::new(oid).unwrap(),
        critical,
        extn_value: der::asn1::OctetString::new(value).unwrap(),
    }
}

struct Profile {
    issuer: Name,
    subject: Name,
    extensions: Vec<Extension>,
}

impl BuilderProfile for Profile {
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
        _certificate: &TbsCertificate,
    ) -> BuildResult<Vec<Extension>> {
        Ok(self.extensions.clone())
    }
}

/// `issuer`'s certificate for `subject`.
pub fn issue(issuer: &Party, subject: &Party, terms: &Terms) -> Certificate {
    let profile = Profile {
        issuer: Name::from_str(&issuer.name).unwrap(),
        subject: Name::from_str(&subject.name).unwrap(),
        extensions: terms.extensions.clone(),
    };
    let key = SubjectPublicKeyInfoOwned::from_key(subject.key.verifying_key()).unwrap();
    let validity = Validity::new(instant(terms.from), instant(terms.to));
    let builder =
        CertificateBuilder::new(profile, SerialNumber::from(terms.serial), validity, key).unwrap();
    let certificate = builder.build::<_, DerSignature>(&issuer.key).unwrap();
    Certificate::from_der(&certificate.to_der().unwrap()).unwrap()
}

/// `issuer`'s list of the revoked, signed by `signer`.
pub fn revoke(
    issuer: &Certificate,
    signer: &Party,
    serials: &[u32],
    from: &str,
    to: &str,
) -> RevocationList {
    let number = CrlNumber::try_from(1u128).unwrap();
    let revoked = serials.iter().map(|serial| RevokedCert {
        serial_number: SerialNumber::from(*serial),
        revocation_date: instant(from),
        crl_entry_extensions: None,
    });
    let list = CrlBuilder::new_with_this_update(issuer.inner(), number, instant(from))
        .unwrap()
        .with_next_update(Some(instant(to)))
        .with_certificates(revoked)
        .build::<_, DerSignature>(&signer.key)
        .unwrap();
    RevocationList::from_file_bytes(&list.to_der().unwrap()).unwrap()
}

fn instant(text: &str) -> Time {
    let time: Duration = DateTime::from_str(text).unwrap().unix_duration();
    Time::try_from(std::time::UNIX_EPOCH + time).unwrap()
}
