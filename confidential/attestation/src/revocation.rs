//! Revocation: certificates that their maker no longer stands for.
//!
//! An X.509 certificate revocation list (RFC 5280, 5), version 2, signed by the pinned root.
//! It is an *indirect* one (5.2.5): besides the root's own certificates (device identities,
//! intermediates, signers of reference values) it can name those that a device issued (attestation
//! keys), each by its issuer's name and its serial number.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use der::oid::AssociatedOid;
use der::{Decode, Encode};
use p384::ecdsa::DerSignature;
use p384::ecdsa::signature::Verifier;
use ravelin_dice::certificate::signed_part;
use ravelin_dice::oid::{CE_CERTIFICATE_ISSUER, CE_ISSUING_DISTRIBUTION_POINT, ECDSA_WITH_SHA384};
use ravelin_dice::time::Validity;
use ravelin_dice::{CertificateId, TrustAnchor, UnixTime};
use x509_cert::Version;
use x509_cert::crl::{CertificateList, RevokedCert};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::crl::dp::IssuingDistributionPoint;
use x509_cert::ext::pkix::name::{GeneralName, GeneralNames};
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, CrlNumber};

/// Most bytes of a list.
pub const MAX_LIST: usize = 4 << 20;

/// Why a revocation list is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a revocation list of the profile.
    #[error("Not a revocation list that can be judged: {0}")]
    Malformed(&'static str),
    /// Not the pinned root's.
    #[error("The revocation list is not the pinned root's")]
    UnknownRoot,
    /// The root did not sign it.
    #[error("The signature of the revocation list is wrong")]
    BadSignature,
}

/// A revocation list whose signature was verified.
#[derive(Clone, Debug)]
pub struct RevocationList {
    root: Vec<u8>,
    number: u64,
    validity: Validity,
    revoked: BTreeSet<CertificateId>,
}

impl RevocationList {
    /// Verifies a list, DER, against the pinned root. Whether it is out of date is judged with the
    /// evidence.
    ///
    /// # Errors
    /// Where it is not a complete list by the root, or holds something critical that is not
    /// understood.
    pub fn verify(bytes: &[u8], root: &TrustAnchor) -> Result<RevocationList, Error> {
        let malformed = |_| Error::Malformed("not DER");
        if bytes.len() > MAX_LIST {
            return Err(Error::Malformed("too long"));
        }
        let list = CertificateList::<x509_cert::certificate::Rfc5280>::from_der(bytes)
            .map_err(malformed)?;
        let content = &list.tbs_cert_list;
        if content.issuer != *root.name() {
            return Err(Error::UnknownRoot);
        }
        for algorithm in [&list.signature_algorithm, &content.signature] {
            if algorithm.oid != ECDSA_WITH_SHA384 || algorithm.parameters.is_some() {
                return Err(Error::Malformed("algorithm"));
            }
        }
        let signature = list.signature.as_bytes().ok_or(Error::BadSignature)?;
        let signature = DerSignature::from_bytes(signature).map_err(|_| Error::BadSignature)?;
        let signed = signed_part(bytes).map_err(malformed)?;
        root.key().verify(signed, &signature).map_err(|_| Error::BadSignature)?;

        if content.version != Version::V2 {
            return Err(Error::Malformed("version"));
        }
        let extensions = content.crl_extensions.as_deref().unwrap_or(&[]);
        check_extensions(extensions)?;
        let next_update = content.next_update.ok_or(Error::Malformed("no next update"))?;
        Ok(RevocationList {
            root: root.der().to_vec(),
            number: number(extensions)?,
            validity: Validity {
                not_before: UnixTime(content.this_update.to_unix_duration().as_secs()),
                not_after: UnixTime(next_update.to_unix_duration().as_secs()),
            },
            revoked: entries(
                content.issuer.to_der().map_err(malformed)?,
                content.revoked_certificates.as_deref().unwrap_or(&[]),
            )?,
        })
    }

    /// Whether this certificate is revoked.
    pub fn contains(&self, certificate: &CertificateId) -> bool {
        self.revoked.contains(certificate)
    }

    /// The revoked certificates.
    pub fn certificates(&self) -> impl Iterator<Item = &CertificateId> {
        self.revoked.iter()
    }

    /// The list's number, which grows with each list of the root's; 0 for one without.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Number of certificates that are revoked.
    pub fn len(&self) -> usize {
        self.revoked.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.revoked.is_empty()
    }

    /// From when the list is, and when the next one was due.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Whether this root signed the list.
    pub fn is_of(&self, root: &TrustAnchor) -> bool {
        self.root == root.der()
    }
}

/// The list is a full one, that names every issuer and every reason.
fn check_extensions(extensions: &[Extension]) -> Result<(), Error> {
    for extension in extensions {
        let value = extension.extn_value.as_bytes();
        match extension.extn_id {
            CrlNumber::OID | AuthorityKeyIdentifier::OID => {}
            CE_ISSUING_DISTRIBUTION_POINT => {
                let scope = IssuingDistributionPoint::from_der(value)
                    .map_err(|_| Error::Malformed("issuing distribution point"))?;
                if scope.only_contains_user_certs
                    || scope.only_contains_ca_certs
                    || scope.only_contains_attribute_certs
                    || scope.only_some_reasons.is_some()
                    || !scope.indirect_crl
                {
                    return Err(Error::Malformed("it does not speak of all certificates"));
                }
            }
            _ if extension.critical => {
                return Err(Error::Malformed("a critical extension is not understood"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// CRLNumber (RFC 5280, 5.2.3), as far as eight bytes hold it.
fn number(extensions: &[Extension]) -> Result<u64, Error> {
    let Some(found) = extensions.iter().find(|extension| extension.extn_id == CrlNumber::OID)
    else {
        return Ok(0);
    };
    u64::from_der(found.extn_value.as_bytes()).map_err(|_| Error::Malformed("CRL number"))
}

/// An entry's issuer is the one of the entry before, and the list's to begin with (RFC 5280,
/// 5.3.3).
fn entries(mut issuer: Vec<u8>, entries: &[RevokedCert]) -> Result<BTreeSet<CertificateId>, Error> {
    let mut revoked = BTreeSet::new();
    for entry in entries {
        for extension in entry.crl_entry_extensions.as_deref().unwrap_or(&[]) {
            if extension.extn_id == CE_CERTIFICATE_ISSUER {
                let names = GeneralNames::from_der(extension.extn_value.as_bytes()).ok();
                let Some([GeneralName::DirectoryName(name)]) = names.as_deref() else {
                    return Err(Error::Malformed("certificate issuer"));
                };
                issuer = name.to_der().map_err(|_| Error::Malformed("certificate issuer"))?;
            } else if extension.critical {
                return Err(Error::Malformed("a critical entry extension is not understood"));
            }
        }
        let serial = entry.serial_number.as_bytes().to_vec();
        revoked.insert(CertificateId { issuer: issuer.clone(), serial });
    }
    Ok(revoked)
}
