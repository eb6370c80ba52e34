//! Issuing revocation lists: X.509 CRLs, version 2, indirect (RFC 5280, 5). `ravelin-attestation`
//! reads them.
//!
//! Written without x509-cert's builder, which has no way to add the issuing distribution point; and
//! that crate's type for it carries another extension's OID, so it is given here.

use super::{Error, Issuer, key_id};
use crate::certificate::CertificateId;
use crate::oid;
use crate::time::Validity;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use der::asn1::{BitString, OctetString};
use der::{Decode, Encode};
use p384::ecdsa::DerSignature;
use p384::ecdsa::signature::Signer;
use x509_cert::Version;
use x509_cert::certificate::Rfc5280;
use x509_cert::crl::{CertificateList, RevokedCert, TbsCertList};
use x509_cert::ext::pkix::crl::dp::IssuingDistributionPoint;
use x509_cert::ext::pkix::name::{GeneralName, GeneralNames};
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, CrlNumber};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::time::Time;

/// The list of these certificates, of whatever issuer, signed by `issuer`. `number` grows with each
/// list; `validity` is from this update to the next one.
///
/// # Errors
/// If an issuer's name is no DER, a serial number has more than 20 bytes, or a time cannot be
/// written.
pub fn revocation_list(
    issuer: &Issuer,
    revoked: &BTreeSet<CertificateId>,
    number: u64,
    validity: Validity,
) -> Result<Vec<u8>, Error> {
    let algorithm = AlgorithmIdentifierOwned { oid: oid::ECDSA_WITH_SHA384, parameters: None };
    let this_update = validity.not_before.to_x509()?;
    let own_name = issuer.name().to_der()?;
    // The issuer's own first: an entry that names no issuer has the one of the entry before.
    let (own, others): (Vec<_>, Vec<_>) = revoked.iter().partition(|id| id.issuer == own_name);
    let entries = own
        .into_iter()
        .map(|id| entry(id, this_update, false))
        .chain(others.into_iter().map(|id| entry(id, this_update, true)))
        .collect::<Result<Vec<_>, Error>>()?;

    let content = TbsCertList::<Rfc5280> {
        version: Version::V2,
        signature: algorithm.clone(),
        issuer: issuer.name().clone(),
        this_update,
        next_update: Some(validity.not_after.to_x509()?),
        revoked_certificates: (!entries.is_empty()).then_some(entries),
        crl_extensions: Some(list_extensions(issuer, number)?),
    };
    let signature: DerSignature = issuer.key.sign(&content.to_der()?);
    let list = CertificateList {
        tbs_cert_list: content,
        signature_algorithm: algorithm,
        signature: BitString::from_bytes(signature.as_bytes())?,
    };
    Ok(list.to_der()?)
}

fn list_extensions(issuer: &Issuer, number: u64) -> Result<Vec<Extension>, Error> {
    let authority = AuthorityKeyIdentifier {
        key_identifier: Some(OctetString::new(key_id(issuer.public_key()))?),
        ..Default::default()
    };
    let scope = IssuingDistributionPoint {
        distribution_point: None,
        only_contains_user_certs: false,
        only_contains_ca_certs: false,
        only_some_reasons: None,
        indirect_crl: true,
        only_contains_attribute_certs: false,
    };
    let name = Name::default();
    Ok(alloc::vec![
        authority.to_extension(&name, &[])?,
        CrlNumber::try_from(number)?.to_extension(&name, &[])?,
        (oid::CE_ISSUING_DISTRIBUTION_POINT, true, &scope).to_extension(&name, &[])?,
    ])
}

fn entry(id: &CertificateId, date: Time, named: bool) -> Result<RevokedCert, Error> {
    let mut extensions = Vec::new();
    if named {
        let names: GeneralNames =
            alloc::vec![GeneralName::DirectoryName(Name::from_der(&id.issuer)?)];
        extensions
            .push((oid::CE_CERTIFICATE_ISSUER, true, &names).to_extension(&Name::default(), &[])?);
    }
    Ok(RevokedCert {
        serial_number: SerialNumber::new(&id.serial)?,
        revocation_date: date,
        crl_entry_extensions: (!extensions.is_empty()).then_some(extensions),
    })
}
