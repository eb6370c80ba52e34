//! `ravelin maker revoke` and `crl`: what the maker no longer stands for.
//!
//! The list in the root's directory is the state: a new one has its entries and the next number, and
//! takes its place.

use super::fields::Fields;
use super::file::{self, For, Over};
use super::time::{At, Span};
use super::{desk, show};
use crate::provision::CHAIN;
use crate::publication::REVOCATION_LIST;
use base64ct::{Base64, Encoding};
use clap::Args;
use ravelin_dice::time::{UnixTime, Validity};
use ravelin_dice::{CertificateId, issue};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Why no list was issued.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{} holds no certificate of the profile", .0.display())]
    Certificate(PathBuf, #[source] ravelin_dice::Error),
    #[error("{path} is no saved evidence with a GPU {gpu}", path = .0.display(), gpu = .1)]
    Evidence(PathBuf, usize),
    #[error("the current list is of {0}: a newer one cannot be older")]
    Older(UnixTime),
    #[error("the current list has the highest number there is")]
    Number,
}

/// What both commands take.
#[derive(Args)]
struct Common {
    /// The root's directory, with the current list
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// Time until the next list is due
    #[arg(long = "for", value_name = "SPAN", default_value = "30d")]
    span: Span,
    #[command(flatten)]
    at: At,
}

/// `ravelin maker revoke`.
#[derive(Args)]
pub(super) struct RevokeArguments {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    what: What,
}

/// What is revoked.
#[derive(Args)]
#[group(required = true, multiple = true)]
struct What {
    /// The identity of the device, or the authority, in this directory; may be repeated
    #[arg(long, value_name = "DIR")]
    device: Vec<PathBuf>,
    /// The last certificate in this file, DER or PEM; may be repeated
    #[arg(long, value_name = "FILE")]
    certificate: Vec<PathBuf>,
    /// The attestation keys in this saved evidence (evidence.json); --gpu chooses one
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
    /// The signer of reference values
    #[arg(long)]
    signer: bool,
    /// Which GPU of --evidence, from 0; all by default
    #[arg(long, value_name = "N", requires = "evidence")]
    gpu: Option<usize>,
}

/// `ravelin maker crl`.
#[derive(Args)]
pub(super) struct RenewArguments {
    #[command(flatten)]
    common: Common,
}

pub(super) fn revoke(arguments: &RevokeArguments) -> Result<Fields, super::Error> {
    let RevokeArguments { common, what } = arguments;
    let mut revoked = BTreeSet::new();
    for directory in &what.device {
        let path = directory.join(CHAIN);
        revoked.insert(certificate(&path)?);
    }
    for path in &what.certificate {
        revoked.insert(certificate(path)?);
    }
    if let Some(path) = &what.evidence {
        revoked.extend(attestation_keys(path, what.gpu)?);
    }
    if what.signer {
        revoked.insert(desk::signer_certificate(&common.root)?.1);
    }
    issue(common, revoked)
}

pub(super) fn renew(arguments: &RenewArguments) -> Result<Fields, super::Error> {
    issue(&arguments.common, BTreeSet::new())
}

fn issue(common: &Common, new: BTreeSet<CertificateId>) -> Result<Fields, super::Error> {
    let root = desk::root(&common.root)?;
    let current = desk::revocation_list(&common.root, &desk::anchor(&common.root)?)?;
    let validity: Validity = common.at.lasting(common.span)?;
    let mut revoked: BTreeSet<CertificateId> = BTreeSet::new();
    let mut number = 1;
    if let Some(current) = &current {
        let since = current.validity().not_before;
        if validity.not_before < since {
            return Err(Error::Older(since).into());
        }
        number = current.number().checked_add(1).ok_or(Error::Number)?;
        revoked.extend(current.certificates().cloned());
    }
    let added = new.difference(&revoked).count();
    revoked.extend(new);
    let list = issue::revocation_list(root.issuer(), &revoked, number, validity)?;
    let path = common.root.join(REVOCATION_LIST);
    file::write(&path, &list, For::Everyone, Over::Anything)?;
    Ok(Fields::of_kind("revocation-list")
        .with("issuer", root.issuer().name())
        .number("number", number)
        .with("this_update", validity.not_before)
        .with("next_update", validity.not_after)
        .number("added", added as u64)
        .list("revoked", revoked.iter().map(show::revoked).collect())
        .list("files", vec![Fields::file(&path, "the list (--crl)")]))
}

/// The last certificate of a file.
fn certificate(path: &Path) -> Result<CertificateId, super::Error> {
    let wrong = |error| Error::Certificate(path.to_path_buf(), error);
    let bytes = show::certificates(path)?;
    let last = bytes.last().ok_or(wrong(ravelin_dice::Error::Malformed { index: 0 }))?;
    Ok(CertificateId::of(last).map_err(wrong)?)
}

/// The attestation certificates of saved evidence: the last of each GPU's chain.
fn attestation_keys(path: &Path, gpu: Option<usize>) -> Result<Vec<CertificateId>, super::Error> {
    let none = |at| Error::Evidence(path.to_path_buf(), at);
    let file: serde_json::Value =
        serde_json::from_slice(&file::read(path)?).map_err(|_| none(gpu.unwrap_or(0)))?;
    let count = file["gpus"].as_array().map_or(0, Vec::len);
    let chosen = gpu.map_or(0..count.max(1), |at| at..at.saturating_add(1));
    let leaf = |at: usize| {
        let certificates = file["gpus"][at]["certificates"].as_array()?;
        Base64::decode_vec(certificates.last()?.as_str()?).ok()
    };
    let mut found = Vec::new();
    for at in chosen {
        let der = leaf(at).ok_or_else(|| none(at))?;
        let id = CertificateId::of(&der);
        found.push(id.map_err(|error| Error::Certificate(path.to_path_buf(), error))?);
    }
    Ok(found)
}
