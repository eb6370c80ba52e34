//! Revocation lists (X.509 CRLs, RFC 5280 section 5) that the caller has as files.
//!
//! A list counts for a certificate when it carries the name and the signature of that
//! certificate's issuer and is current at the time asked about. Without one the answer is
//! "unknown", and what that means is the policy's decision, not this room's.

use std::fmt;

use der::asn1::ObjectIdentifier;
use der::{DateTime, Decode};
use x509_cert::crl::CertificateList;

use super::path::Path;
use super::{Certificate, Error, first_element, pem_blocks, signature};

/// A revocation list and the bytes that its issuer signed.
pub struct RevocationList {
    signed: Vec<u8>,
    inner: CertificateList,
}

impl RevocationList {
    /// The list of a file, in DER or PEM (`X509 CRL`).
    pub fn from_file_bytes(bytes: &[u8]) -> Result<RevocationList, Error> {
        if bytes.first() == Some(&0x30) {
            return RevocationList::from_der(bytes);
        }
        match pem_blocks(bytes, "X509 CRL")?.as_slice() {
            [der] => RevocationList::from_der(der),
            _ => Err(Error::NotOnly("single X509 CRL")),
        }
    }

    fn from_der(der: &[u8]) -> Result<RevocationList, Error> {
        let inner = CertificateList::from_der(der).map_err(Error::Malformed)?;
        Ok(RevocationList { signed: first_element(der).map_err(Error::Malformed)?, inner })
    }

    /// Whether this list speaks for `issuer` at this time; `Err` says why it does not though it
    /// carries the issuer's name.
    fn speaks_for(&self, issuer: &Certificate, at: DateTime) -> Result<bool, &'static str> {
        let list = &self.inner.tbs_cert_list;
        if list.issuer != *issuer.inner().tbs_certificate().subject() {
            return Ok(false);
        }
        let key = issuer.inner().tbs_certificate().subject_public_key_info();
        let signature = self.inner.signature.raw_bytes();
        if self.inner.signature_algorithm != list.signature
            || signature::verify(&list.signature, key, &self.signed, signature).is_err()
        {
            return Err("the list's signature is not the issuer's");
        }
        if at < list.this_update.to_date_time() {
            return Err("the list is from a later time");
        }
        match list.next_update {
            Some(next) if at <= next.to_date_time() => {}
            _ => return Err("the list is out of date"),
        }
        // A critical extension narrows what the list covers (issuing point, delta).
        if list.crl_extensions.iter().flatten().any(|extension| extension.critical) {
            return Err("the list covers only a part, by a critical extension");
        }
        Ok(true)
    }

    fn revokes(&self, certificate: &Certificate) -> bool {
        let serial = certificate.inner().tbs_certificate().serial_number();
        self.inner.tbs_cert_list.revoked_certificates.iter().flatten().any(|revoked| {
            revoked.serial_number == *serial && !is_removal(revoked.crl_entry_extensions.as_ref())
        })
    }
}

/// Whether an entry takes a certificate off a list (reason `removeFromCRL`, 8).
fn is_removal(extensions: Option<&x509_cert::ext::Extensions>) -> bool {
    const REASON: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.21");
    extensions.into_iter().flatten().any(|extension| {
        extension.extn_id == REASON && extension.extn_value.as_bytes() == [0x0a, 1, 8]
    })
}

/// What is known about the revocation of a chain.
pub enum Revocation {
    /// Every certificate asked about is on no list, and there was a list for each.
    Good(usize),
    /// This certificate is revoked.
    Revoked(String),
    /// There is no usable list for this certificate.
    Unknown {
        /// Whose certificate.
        subject: String,
        /// Why.
        why: &'static str,
    },
}

impl fmt::Display for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Revocation::Good(count) => write!(f, "{count} certificates, none on its issuer's list"),
            Revocation::Revoked(subject) => write!(f, "{subject} is revoked"),
            Revocation::Unknown { subject, why } => write!(f, "{subject}: unknown, {why}"),
        }
    }
}

/// Judges the certificates of a path of which the first `exempt` have issuers that publish no
/// list. Revoked outweighs unknown.
pub fn check(path: &Path<'_>, exempt: usize, lists: &[RevocationList], at: DateTime) -> Revocation {
    let (mut good, mut unknown) = (0, None);
    for (place, (certificate, issuer)) in path.links().enumerate() {
        let mut why = "no list of its issuer was given (--crl)";
        let mut covered = false;
        for list in lists {
            match list.speaks_for(issuer, at) {
                Ok(true) if list.revokes(certificate) => {
                    return Revocation::Revoked(certificate.subject().to_string());
                }
                Ok(true) => covered = true,
                Ok(false) => {}
                Err(reason) => why = reason,
            }
        }
        if covered {
            good += 1;
        } else if place >= exempt && unknown.is_none() {
            unknown = Some(Revocation::Unknown { subject: certificate.subject().to_string(), why });
        }
    }
    unknown.unwrap_or(Revocation::Good(good))
}
