//! X.509 certificates as a verifier needs them: the parsed form beside the exact bytes it came
//! from.
//!
//! Parsing is `x509-cert`'s. What this room adds are the bytes: a signature is checked over what was
//! received, never over a re-encoding of what was understood. (They differ for NVIDIA's manifest
//! signers, whose times have a form that RFC 5280 would not choose.) Judging a chain is [`path`]'s
//! business, revocation [`crl`]'s, the algorithms [`signature`]'s.

pub mod crl;
pub mod path;
pub mod signature;

use std::fmt;

use der::asn1::ObjectIdentifier;
use der::{Decode, Encode, Reader, SliceReader};
use sha2::{Digest, Sha384};
use x509_cert::ext::Extension;

/// Why bytes are no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not DER, or not a certificate.
    #[error("not an X.509 certificate: {0}")]
    Malformed(der::Error),
    /// Not PEM.
    #[error("not PEM: {0}")]
    Pem(der::pem::Error),
    /// PEM with something else in it.
    #[error("not PEM: there is text around the blocks, or a block that is no {0}")]
    NotOnly(&'static str),
    /// A file with no certificate in it.
    #[error("no certificate: expected DER, or PEM blocks labelled CERTIFICATE")]
    Empty,
}

/// A certificate and the bytes that it came from.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    signed: Vec<u8>,
    inner: x509_cert::Certificate,
}

impl Certificate {
    /// The certificate in these bytes, which must hold nothing else.
    pub fn from_der(der: &[u8]) -> Result<Certificate, Error> {
        let inner = x509_cert::Certificate::from_der(der).map_err(Error::Malformed)?;
        let signed = first_element(der).map_err(Error::Malformed)?;
        Ok(Certificate { der: der.into(), signed, inner })
    }

    /// The certificates of a PEM file, in its order. The file may hold nothing else.
    pub fn chain_from_pem(pem: &[u8]) -> Result<Vec<Certificate>, Error> {
        let blocks = pem_blocks(pem, "CERTIFICATE")?;
        if blocks.is_empty() {
            return Err(Error::Empty);
        }
        blocks.iter().map(|der| Certificate::from_der(der)).collect()
    }

    /// The certificates of a file that is either PEM or one certificate in DER.
    pub fn from_file_bytes(bytes: &[u8]) -> Result<Vec<Certificate>, Error> {
        if bytes.first() == Some(&0x30) {
            return Ok(vec![Certificate::from_der(bytes)?]);
        }
        Certificate::chain_from_pem(bytes)
    }

    /// The certificate's encoding.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The bytes that its issuer signed (`TBSCertificate`).
    pub fn signed_bytes(&self) -> &[u8] {
        &self.signed
    }

    /// The parsed certificate.
    pub fn inner(&self) -> &x509_cert::Certificate {
        &self.inner
    }

    /// The subject, in RFC 4514 form.
    pub fn subject(&self) -> Printable {
        Printable(self.inner.tbs_certificate().subject().to_string())
    }

    /// The first common name of the subject, or the empty string.
    pub fn common_name(&self) -> String {
        const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
        let name = self.inner.tbs_certificate().subject();
        name.iter()
            .find(|attribute| attribute.oid == COMMON_NAME)
            .map(|attribute| Printable(attribute.value_as_text()).to_string())
            .unwrap_or_default()
    }

    /// Whether `other` claims to have issued this certificate.
    pub fn names_issuer(&self, other: &Certificate) -> bool {
        self.inner.tbs_certificate().issuer() == other.inner.tbs_certificate().subject()
    }

    /// SHA-384 of the public key (its `SubjectPublicKeyInfo`), hex: a name for whoever holds it.
    pub fn key_fingerprint(&self) -> String {
        let key = self.inner.tbs_certificate().subject_public_key_info().to_der();
        hex::encode(Sha384::digest(key.unwrap_or_default()))
    }

    /// The value of the extension of this number, where the certificate has it.
    pub fn extension(&self, oid: ObjectIdentifier) -> Option<&[u8]> {
        self.extensions()
            .find(|extension| extension.extn_id == oid)
            .map(|e| e.extn_value.as_bytes())
    }

    /// All extensions.
    pub fn extensions(&self) -> impl Iterator<Item = &Extension> {
        self.inner.tbs_certificate().extensions().into_iter().flatten()
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Certificate) -> bool {
        self.der == other.der
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.subject())
    }
}

/// Text from outside, shown without what could drive a terminal or break a line.
pub struct Printable(pub String);

impl fmt::Display for Printable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            write!(f, "{}", if character.is_control() { '\u{fffd}' } else { character })?;
        }
        Ok(())
    }
}

/// The text of a name's attribute, whichever string type carries it.
trait AttributeText {
    fn value_as_text(&self) -> String;
}

impl AttributeText for x509_cert::attr::AttributeTypeAndValue {
    fn value_as_text(&self) -> String {
        String::from_utf8_lossy(self.value.value()).into_owned()
    }
}

/// The contents of a PEM file's blocks, which must all have this label.
fn pem_blocks(pem: &[u8], label: &'static str) -> Result<Vec<Vec<u8>>, Error> {
    let mut rest = str::from_utf8(pem).map_err(|_| Error::NotOnly(label))?.trim();
    let end = format!("-----END {label}-----");
    let mut blocks = Vec::new();
    while !rest.is_empty() {
        let length = rest.find(&end).ok_or(Error::NotOnly(label))? + end.len();
        let (block, behind) = rest.split_at_checked(length).ok_or(Error::NotOnly(label))?;
        let (found, der) = der::pem::decode_vec(block.as_bytes()).map_err(Error::Pem)?;
        if found != label || !block.starts_with("-----BEGIN ") {
            return Err(Error::NotOnly(label));
        }
        blocks.push(der);
        rest = behind.trim_start();
    }
    Ok(blocks)
}

/// The first element of a sequence, header included: in a certificate or revocation list, the part
/// that is signed.
fn first_element(sequence: &[u8]) -> Result<Vec<u8>, der::Error> {
    let mut reader = SliceReader::new(sequence)?;
    let header = der::Header::decode(&mut reader)?;
    let content = reader.read_slice(header.length())?;
    Ok(SliceReader::new(content)?.tlv_bytes()?.to_vec())
}
