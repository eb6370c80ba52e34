//! The chain of the emulated AMD-SP, in the form of AMD's (AMD 57230, "VCEK Certificate and KDS
//! Interface Specification"): a root (ARK) signs an intermediate (ASK), which signs the key of the chip
//! at its TCB version (VCEK), whose extensions name both.
//!
//! One difference: AMD's ARK and ASK are RSA-4096 with PSS, these are P-384. Everything is
//! deterministic: the same bytes at each start.

use crate::{Error, chip, root};
use der::Encode;
use der::asn1::{Ia5StringRef, ObjectIdentifier, OctetString};
use der::oid::AssociatedOid;
use p384::ecdsa::{DerSignature, SigningKey, VerifyingKey};
use std::str::FromStr;
use std::time::Duration;
use x509_cert::TbsCertificate;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{self, Builder, CertificateBuilder, CrlBuilder};
use x509_cert::certificate::Certificate;
use x509_cert::crl::CertificateList;
use x509_cert::ext::pkix::{BasicConstraints, CrlNumber, KeyUsage, KeyUsages};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef};
use x509_cert::time::{Time, Validity};

/// Subject of the root: it says what it is to everyone who looks.
pub const ARK_NAME: &str =
    "CN=ARK-Ravelin-Emulated,OU=Not For Production,O=Ravelin Emulated AMD-SP";
const ASK_NAME: &str = "CN=SEV-Ravelin-Emulated,OU=Not For Production,O=Ravelin Emulated AMD-SP";
const VCEK_NAME: &str = "CN=SEV-VCEK,OU=Not For Production,O=Ravelin Emulated AMD-SP";

/// 2026-01-01 to 2046-01-01.
const NOT_BEFORE: Duration = Duration::from_secs(1_767_225_600);
const NOT_AFTER: Duration = Duration::from_secs(2_398_377_600);

/// Extensions of a VCEK, below AMD's arc 1.3.6.1.4.1.3704.1.
mod extension {
    use super::ObjectIdentifier;

    const fn oid(text: &str) -> ObjectIdentifier {
        ObjectIdentifier::new_unwrap(text)
    }

    pub(super) const STRUCTURE_VERSION: ObjectIdentifier = oid("1.3.6.1.4.1.3704.1.1");
    pub(super) const PRODUCT_NAME: ObjectIdentifier = oid("1.3.6.1.4.1.3704.1.2");
    pub(super) const HARDWARE_ID: ObjectIdentifier = oid("1.3.6.1.4.1.3704.1.4");
    pub(super) const BOOTLOADER: ObjectIdentifier = oid("1.3.6.1.4.1.3704.1.3.1");
    pub(super) const TEE: ObjectIdentifier = oid("1.3.6.1.4.1.3704.1.3.2");
    pub(super) const SNP: ObjectIdentifier = oid("1.3.6.1.4.1.3704.1.3.3");
    pub(super) const MICROCODE: ObjectIdentifier = oid("1.3.6.1.4.1.3704.1.3.8");
    pub(super) const SPARE: [ObjectIdentifier; 4] = [
        oid("1.3.6.1.4.1.3704.1.3.4"),
        oid("1.3.6.1.4.1.3704.1.3.5"),
        oid("1.3.6.1.4.1.3704.1.3.6"),
        oid("1.3.6.1.4.1.3704.1.3.7"),
    ];
}

/// The chain, DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificates {
    /// The root, self-signed.
    pub ark: Vec<u8>,
    /// The intermediate.
    pub ask: Vec<u8>,
    /// The key that signs reports.
    pub vcek: Vec<u8>,
}

/// The key that signs reports.
pub(crate) fn vcek() -> SigningKey {
    root::signing_key("VCEK")
}

/// The chain of the emulated chip.
///
/// # Errors
/// None in practice.
pub fn certificates() -> Result<Certificates, Error> {
    let (ark, ask) = (root::signing_key("ARK"), root::signing_key("ASK"));
    let chip = vcek();
    let authority = authority()?;
    Ok(Certificates {
        ark: issue(&ark, ARK_NAME, ark.verifying_key(), ARK_NAME, 1, authority.clone())?
            .to_der()?,
        ask: issue(&ark, ARK_NAME, ask.verifying_key(), ASK_NAME, 2, authority)?.to_der()?,
        vcek: issue(&ask, ASK_NAME, chip.verifying_key(), VCEK_NAME, 3, chip_extensions()?)?
            .to_der()?,
    })
}

/// The root's revocation list, DER: it names nobody.
///
/// # Errors
/// None in practice.
pub fn revocation_list() -> Result<Vec<u8>, Error> {
    let key = root::signing_key("ARK");
    let ark = issue(&key, ARK_NAME, key.verifying_key(), ARK_NAME, 1, authority()?)?;
    let number = CrlNumber::try_from(1_u64)?;
    let list: CertificateList = CrlBuilder::new_with_this_update(&ark, number, time(NOT_BEFORE)?)?
        .with_next_update(Some(time(NOT_AFTER)?))
        .build::<_, DerSignature>(&key)?;
    Ok(list.to_der()?)
}

fn authority() -> Result<Vec<Extension>, Error> {
    let constraints = BasicConstraints { ca: true, path_len_constraint: None };
    let usage = KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign);
    Ok(vec![critical(&constraints)?, critical(&usage)?])
}

fn critical<E: Encode + AssociatedOid>(extension: &E) -> der::Result<Extension> {
    (true, extension).to_extension(&Name::default(), &[])
}

fn chip_extensions() -> Result<Vec<Extension>, Error> {
    use extension::*;
    let tcb = chip::TCB;
    let spare = SPARE.map(|oid| (oid, 0));
    let versions = [
        (STRUCTURE_VERSION, 1),
        (BOOTLOADER, tcb.bootloader),
        (TEE, tcb.tee),
        (SNP, tcb.snp),
        (MICROCODE, tcb.microcode),
    ];
    let mut extensions = versions
        .into_iter()
        .chain(spare)
        .map(|(oid, version)| plain(oid, version.to_der()?))
        .collect::<der::Result<Vec<_>>>()?;
    extensions.push(plain(PRODUCT_NAME, Ia5StringRef::new(chip::PRODUCT)?.to_der()?)?);
    // The id stands there as it is, without a DER header: so does AMD's.
    extensions.push(plain(HARDWARE_ID, chip::CHIP_ID.to_vec())?);
    Ok(extensions)
}

fn plain(oid: ObjectIdentifier, value: Vec<u8>) -> der::Result<Extension> {
    Ok(Extension { extn_id: oid, critical: false, extn_value: OctetString::new(value)? })
}

fn issue(
    issuer: &SigningKey,
    issuer_name: &str,
    key: &VerifyingKey,
    name: &str,
    serial: u8,
    extensions: Vec<Extension>,
) -> Result<Certificate, Error> {
    let plan =
        Plan { issuer: Name::from_str(issuer_name)?, subject: Name::from_str(name)?, extensions };
    let key = SubjectPublicKeyInfoOwned::from_key(key).map_err(builder::Error::from)?;
    let validity = Validity::new(time(NOT_BEFORE)?, time(NOT_AFTER)?);
    let builder = CertificateBuilder::new(plan, SerialNumber::from(serial), validity, key)?;
    Ok(builder.build::<_, DerSignature>(issuer)?)
}

fn time(since_1970: Duration) -> der::Result<Time> {
    der::DateTime::from_unix_duration(since_1970).map(Time::from)
}

/// A certificate before it is signed.
struct Plan {
    issuer: Name,
    subject: Name,
    extensions: Vec<Extension>,
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
    ) -> builder::Result<Vec<Extension>> {
        Ok(self.extensions.clone())
    }
}
