//! A chain of certificates up to a pinned root (RFC 5280, section 6, without policies and name
//! constraints, which no maker here uses: a critical extension that is not understood is refused).
//!
//! Signatures and constraints are one question, the time another, so that a report can say which of
//! the two failed. Revocation is [`super::crl`]'s.

use der::asn1::ObjectIdentifier;
use der::{DateTime, Decode};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, KeyUsage, SubjectKeyIdentifier,
};

use super::{Certificate, signature};

const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const AUTHORITY_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");
const SUBJECT_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const CERTIFICATE_POLICIES: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.32");

/// What a critical extension may be. The last three constrain uses that this verifier does not
/// make of a certificate.
const UNDERSTOOD: [ObjectIdentifier; 7] = [
    BASIC_CONSTRAINTS,
    KEY_USAGE,
    AUTHORITY_KEY,
    SUBJECT_KEY,
    EXTENDED_KEY_USAGE,
    SUBJECT_ALT_NAME,
    CERTIFICATE_POLICIES,
];

/// Why a chain does not lead to the root.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing to check.
    #[error("the chain is empty")]
    Empty,
    /// The chain ends with a self-signed certificate that is not the pinned root, or its last
    /// certificate names another issuer.
    #[error("unknown root: the chain ends at {found}, the pinned root is {pinned}")]
    UnknownRoot {
        /// Where the chain ends.
        found: String,
        /// The root that was asked for.
        pinned: String,
    },
    /// A certificate does not name the next one as its issuer.
    #[error("{subject} was not issued by the next certificate, {issuer}")]
    Issuer {
        /// Whose certificate.
        subject: String,
        /// The next one's subject.
        issuer: String,
    },
    /// The signature on a certificate is not its issuer's.
    #[error("the signature on the certificate of {subject} is not valid: {source}")]
    Signature {
        /// Whose certificate.
        subject: String,
        /// What is wrong with it.
        source: signature::Error,
    },
    /// An issuer that may not issue.
    #[error("{subject} may not issue certificates: {why}")]
    NotAnIssuer {
        /// Whose certificate.
        subject: String,
        /// The constraint that it breaks.
        why: &'static str,
    },
    /// The end certificate may not sign.
    #[error("{subject} may not sign evidence: its key usage lacks digitalSignature")]
    NotASigner {
        /// Whose certificate.
        subject: String,
    },
    /// An extension that must be understood and is not, or cannot be read.
    #[error("{subject} has extension {oid}, which is critical or malformed and not understood")]
    Extension {
        /// Whose certificate.
        subject: String,
        /// The extension.
        oid: ObjectIdentifier,
    },
    /// The two copies of the signature algorithm differ.
    #[error("{subject} names two signature algorithms")]
    TwoAlgorithms {
        /// Whose certificate.
        subject: String,
    },
}

/// A certificate that is not valid at the time asked about.
#[derive(Debug, thiserror::Error)]
#[error("{subject} is valid from {not_before} to {not_after}, not at {at}")]
pub struct TimeError {
    /// Whose certificate.
    pub subject: String,
    /// Start of validity.
    pub not_before: DateTime,
    /// End of validity.
    pub not_after: DateTime,
    /// The time asked about.
    pub at: DateTime,
}

/// A chain in order, the root not among it, and the root.
pub struct Path<'a> {
    certificates: &'a [Certificate],
    root: &'a Certificate,
}

impl<'a> Path<'a> {
    /// The path from `chain` (end certificate first) to `root`, which may be the chain's last
    /// certificate too.
    pub fn new(chain: &'a [Certificate], root: &'a Certificate) -> Result<Path<'a>, Error> {
        let certificates = match chain {
            [below @ .., last] if last == root => below,
            _ => chain,
        };
        let last = certificates.last().ok_or(Error::Empty)?;
        if !last.names_issuer(root) {
            return Err(Error::UnknownRoot {
                found: last.subject().to_string(),
                pinned: root.subject().to_string(),
            });
        }
        if last.names_issuer(last) {
            // Same name as the root, but another certificate.
            return Err(Error::UnknownRoot {
                found: format!("another certificate named {}", last.subject()),
                pinned: root.subject().to_string(),
            });
        }
        Ok(Path { certificates, root })
    }

    /// Each certificate with its issuer, end certificate first.
    pub fn links(&self) -> impl Iterator<Item = (&'a Certificate, &'a Certificate)> {
        let issuers = self.certificates.iter().skip(1).chain([self.root]);
        self.certificates.iter().zip(issuers)
    }

    /// Checks every name, signature and constraint, the root's signature on itself included.
    pub fn verify(&self) -> Result<(), Error> {
        for (below, (certificate, issuer)) in self.links().enumerate() {
            let subject = || certificate.subject().to_string();
            if !certificate.names_issuer(issuer) || !key_identifiers_agree(certificate, issuer)? {
                return Err(Error::Issuer {
                    subject: subject(),
                    issuer: issuer.subject().to_string(),
                });
            }
            check_extensions(certificate)?;
            check_signature(certificate, issuer)?;
            check_issuer(issuer, below)?;
        }
        check_extensions(self.root)?;
        check_signature(self.root, self.root)?;
        match self.certificates.first() {
            Some(end) => check_signer(end),
            None => Err(Error::Empty),
        }
    }

    /// Checks that every certificate, the root included, is valid at this time.
    pub fn verify_time(&self, at: DateTime) -> Result<(), TimeError> {
        for certificate in self.certificates.iter().chain([self.root]) {
            let validity = certificate.inner().tbs_certificate().validity();
            let (not_before, not_after) =
                (validity.not_before.to_date_time(), validity.not_after.to_date_time());
            if at < not_before || at > not_after {
                let subject = certificate.subject().to_string();
                return Err(TimeError { subject, not_before, not_after, at });
            }
        }
        Ok(())
    }
}

/// Reads a standard extension, if there is one.
fn read<'a, T: Decode<'a>>(
    certificate: &'a Certificate,
    oid: ObjectIdentifier,
) -> Result<Option<T>, Error> {
    certificate
        .extension(oid)
        .map(|value| {
            T::from_der(value)
                .map_err(|_| Error::Extension { subject: certificate.subject().to_string(), oid })
        })
        .transpose()
}

fn check_extensions(certificate: &Certificate) -> Result<(), Error> {
    let mut seen = Vec::new();
    for extension in certificate.extensions() {
        let oid = extension.extn_id;
        if (extension.critical && !UNDERSTOOD.contains(&oid)) || seen.contains(&oid) {
            return Err(Error::Extension { subject: certificate.subject().to_string(), oid });
        }
        seen.push(oid);
    }
    Ok(())
}

fn check_signature(certificate: &Certificate, issuer: &Certificate) -> Result<(), Error> {
    let inner = certificate.inner();
    let subject = || certificate.subject().to_string();
    if inner.signature_algorithm() != inner.tbs_certificate().signature() {
        return Err(Error::TwoAlgorithms { subject: subject() });
    }
    signature::verify(
        inner.signature_algorithm(),
        issuer.inner().tbs_certificate().subject_public_key_info(),
        certificate.signed_bytes(),
        inner.signature().raw_bytes(),
    )
    .map_err(|source| Error::Signature { subject: subject(), source })
}

/// Checks that this certificate may issue one with `below` further issuers below it.
fn check_issuer(issuer: &Certificate, below: usize) -> Result<(), Error> {
    let refuse = |why| Err(Error::NotAnIssuer { subject: issuer.subject().to_string(), why });
    let Some(constraints) = read::<BasicConstraints>(issuer, BASIC_CONSTRAINTS)? else {
        return refuse("it has no basic constraints");
    };
    if !constraints.ca {
        return refuse("it is an end certificate");
    }
    if constraints.path_len_constraint.is_some_and(|most| below > usize::from(most)) {
        return refuse("the chain below it is longer than it allows");
    }
    match read::<KeyUsage>(issuer, KEY_USAGE)? {
        Some(usage) if !usage.key_cert_sign() => refuse("its key usage lacks keyCertSign"),
        _ => Ok(()),
    }
}

fn check_signer(end: &Certificate) -> Result<(), Error> {
    match read::<KeyUsage>(end, KEY_USAGE)? {
        Some(usage) if !usage.digital_signature() => {
            Err(Error::NotASigner { subject: end.subject().to_string() })
        }
        _ => Ok(()),
    }
}

/// Whether the key identifiers, where both certificates carry them, name the same key.
fn key_identifiers_agree(certificate: &Certificate, issuer: &Certificate) -> Result<bool, Error> {
    let authority = read::<AuthorityKeyIdentifier>(certificate, AUTHORITY_KEY)?;
    let subject = read::<SubjectKeyIdentifier>(issuer, SUBJECT_KEY)?;
    Ok(match (authority.and_then(|authority| authority.key_identifier), subject) {
        (Some(named), Some(own)) => named == own.0,
        _ => true,
    })
}
