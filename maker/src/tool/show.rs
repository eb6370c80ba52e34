//! `ravelin maker show`: what a file says, for a person and as JSON.
//!
//! What is signed by a root (reference values, revocation lists) is shown only if it verifies. The
//! certificates of a chain are shown as they are. Of a private key nothing is shown but its public
//! half's digest.

use super::fields::Fields;
use super::{desk, file};
use crate::key;
use crate::provision::{CHAIN, KEY};
use crate::publication::ROOT;
use clap::Args;
use der::{Decode, Encode};
use ravelin_attestation::corim::Manifest;
use ravelin_attestation::{ReferenceValues, RevocationList, TrustAnchor};
use ravelin_dice::time::UnixTime;
use ravelin_dice::{CertificateId, Chain, DeviceInfo, TcbInfo, oid, spdm_extension};
use std::path::{Path, PathBuf};
use x509_cert::Certificate;
use x509_cert::crl::CertificateList;
use x509_cert::ext::pkix::{BasicConstraints, SubjectAltName};
use x509_cert::name::Name;
use x509_cert::time::Time;

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{} is nothing that a maker makes: a key, certificates, reference values or a \
             revocation list", .0.display())]
    Unknown(PathBuf),
    #[error("{} is signed by a root, and there is no {ROOT} beside it: give --root FILE", .0.display())]
    NoRoot(PathBuf),
    #[error("{} is no root's certificate", .0.display())]
    Root(PathBuf, #[source] ravelin_dice::Error),
    #[error("{} does not verify against the root", .0.display())]
    Values(PathBuf, #[source] ravelin_attestation::reference_values::Error),
    #[error("{} does not verify against the root", .0.display())]
    List(PathBuf, #[source] ravelin_attestation::revocation::Error),
}

/// `ravelin maker show`.
#[derive(Args)]
pub(super) struct Arguments {
    /// A file: key, certificate, chain (DER or PEM), reference values, revocation list; or the
    /// directory of a root, an intermediate or a device
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// The root's certificate (DER) to verify reference values and lists against; by default
    /// root.der beside the file
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Fields, super::Error> {
    let path = resolve(&arguments.path);
    let bytes = file::read(&path)?;
    if contains(&bytes, b"PRIVATE KEY-----") {
        return private_key(&path);
    }
    match bytes.first() {
        // A tagged COSE_Sign1 (RFC 9052, 2).
        Some(0xd2) => {
            let root = root(arguments, &path)?;
            let values = ReferenceValues::verify(&bytes, root);
            let values = values.map_err(|error| Error::Values(path, error))?;
            let signer = hex(&values.signer().serial);
            Ok(reference_values(values.manifest())
                .with("signature", "verified against the root")
                .with("signer_serial_number", signer))
        }
        Some(0x30)
            if CertificateList::<x509_cert::certificate::Rfc5280>::from_der(&bytes).is_ok() =>
        {
            let root = root(arguments, &path)?;
            let list = RevocationList::verify(&bytes, &root);
            let list = list.map_err(|error| Error::List(path, error))?;
            Ok(Fields::of_kind("revocation-list")
                .with("issuer", printable(root.name()))
                .with("signature", "verified against the root")
                .number("number", list.number())
                .with("this_update", list.validity().not_before)
                .with("next_update", list.validity().not_after)
                .list("revoked", list.certificates().map(revoked).collect()))
        }
        _ => {
            let certificates = certificates(&path)?;
            let shown = certificates.iter().map(|der| certificate(der)).collect::<Option<_>>();
            let shown = shown.ok_or(Error::Unknown(path))?;
            Ok(Fields::of_kind("certificates").list("certificates", shown))
        }
    }
}

/// The file that a directory of the maker's is about.
fn resolve(path: &Path) -> PathBuf {
    let inside = [ROOT, CHAIN, KEY].map(|name| path.join(name));
    let found = inside.into_iter().find(|file| path.is_dir() && file.is_file());
    found.unwrap_or_else(|| path.to_path_buf())
}

fn root(arguments: &Arguments, path: &Path) -> Result<TrustAnchor, super::Error> {
    let Some(given) = &arguments.root else {
        let beside = path.parent().filter(|directory| directory.join(ROOT).is_file());
        return match beside {
            Some(directory) => Ok(desk::anchor(directory)?),
            None => Err(Error::NoRoot(path.to_path_buf()).into()),
        };
    };
    let anchor = TrustAnchor::new(&file::read(given)?);
    Ok(anchor.map_err(|error| Error::Root(given.clone(), error))?)
}

fn private_key(path: &Path) -> Result<Fields, super::Error> {
    let key = key::read(path)?;
    let digest = ravelin_dice::certificate::key_digest(key.verifying_key()).unwrap_or([0; 48]);
    Ok(Fields::of_kind("private-key")
        .with("algorithm", "ECDSA P-384")
        .with("public_key_sha384", hex(&digest)))
}

/// The certificates in a file, DER: one or several behind one another, or PEM.
pub(super) fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, super::Error> {
    let bytes = file::read(path)?;
    let unknown = || Error::Unknown(path.to_path_buf());
    if contains(&bytes, b"-----BEGIN CERTIFICATE-----") {
        let chain = Certificate::load_pem_chain(&bytes).map_err(|_| unknown())?;
        let der = chain.iter().map(Encode::to_der).collect::<Result<_, _>>();
        return Ok(der.map_err(|_| unknown())?);
    }
    let chain = Chain::split(&bytes).map_err(|_| unknown())?;
    Ok(chain.into_iter().map(<[u8]>::to_vec).collect())
}

/// What a certificate says; `None` if it is none.
fn certificate(der: &[u8]) -> Option<Fields> {
    let certificate = Certificate::from_der(der).ok()?;
    let content = certificate.tbs_certificate();
    let validity = content.validity();
    let authority = content.get_extension::<BasicConstraints>().ok()?;
    let mut fields = Fields::default()
        .with("subject", printable(content.subject()))
        .with("issuer", printable(content.issuer()))
        .with("serial_number", hex(content.serial_number().as_bytes()))
        .with("not_before", unix(validity.not_before))
        .with("not_after", unix(validity.not_after))
        .truth("authority", authority.is_some_and(|(_, constraints)| constraints.ca));
    let names = content.get_extension::<SubjectAltName>().ok()?;
    if let Some(device) = names.and_then(|(_, names)| DeviceInfo::from_alt_name(&names)) {
        fields = fields.with("device", printable(device.text()));
    }
    for extension in content.extensions().into_iter().flatten() {
        let value = extension.extn_value.as_bytes();
        if extension.extn_id == oid::DMTF_SPDM_EXTENSION {
            let marks = [
                (oid::DMTF_HARDWARE_IDENTITY, "hardware identity"),
                (oid::DMTF_MUTABLE_CERTIFICATE, "mutable certificate"),
            ];
            let carried = |mark| spdm_extension::carries(value, mark) == Some(true);
            let mark = marks.iter().find(|(mark, _)| carried(*mark));
            fields = fields.with("spdm", mark.map_or("unknown", |(_, name)| *name));
        }
        if extension.extn_id == oid::TCG_DICE_TCB_INFO {
            fields = match TcbInfo::decode(value) {
                Some(tcb) => fields
                    .with("firmware_version", printable(&tcb.version))
                    .number("svn", tcb.svn.into())
                    .with("firmware_id", hex(&tcb.firmware_id)),
                None => fields.with("firmware_version", "not of the profile"),
            };
        }
    }
    Some(fields)
}

/// What reference values say.
pub(super) fn reference_values(manifest: &Manifest) -> Fields {
    let releases = manifest.releases.iter().map(|release| {
        Fields::default()
            .with("vendor", printable(&release.vendor))
            .with("model", printable(&release.model))
            .with("version", printable(&release.version))
            .number("svn", release.svn.into())
            .with("firmware_id", hex(&release.firmware_id()))
    });
    Fields::of_kind("reference-values")
        .with("id", printable(&manifest.id))
        .with("not_before", manifest.validity.not_before)
        .with("not_after", manifest.validity.not_after)
        .list("releases", releases.collect())
}

/// A revoked certificate.
pub(super) fn revoked(id: &CertificateId) -> Fields {
    let issuer = Name::from_der(&id.issuer).map_or("unreadable".to_owned(), printable);
    Fields::default().with("serial_number", hex(&id.serial)).with("issuer", issuer)
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    hex::encode(bytes)
}

/// A name in a document of whoever made it, fit for a terminal.
fn printable(text: impl ToString) -> String {
    text.to_string().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn unix(time: Time) -> UnixTime {
    UnixTime(time.to_unix_duration().as_secs())
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
