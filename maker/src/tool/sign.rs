//! `ravelin maker sign`: the maker's word on its firmware.

use super::description::Description;
use super::desk;
use super::fields::Fields;
use super::file::{self, For, Over};
use super::time::{At, Span};
use crate::{FirmwareImage, FirmwareSet, MODEL, VENDOR};
use clap::Args;
use p384::ecdsa::Signature;
use p384::ecdsa::signature::Signer;
use ravelin_attestation::ReferenceValues;
use ravelin_attestation::corim::{Manifest, Release};
use ravelin_dice::Component;
use std::path::{Path, PathBuf};

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{}: {}", .0.display(), .1)]
    Description(PathBuf, String),
    #[error("{} is no firmware image", .0.display())]
    Image(PathBuf, #[source] crate::firmware::Error),
    #[error("{} is the image of the {}", .0.display(), .1)]
    Misplaced(PathBuf, Component),
    #[error(
        "the signer of reference values is revoked: make another one with \
             `ravelin maker signer --force`"
    )]
    Revoked,
    #[error("what was signed does not verify")]
    Unverified(#[source] ravelin_attestation::reference_values::Error),
}

/// `ravelin maker sign`.
#[derive(Args)]
pub(super) struct Arguments {
    /// The root's directory, with the signer
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    #[command(flatten)]
    source: Source,
    /// Vendor of the GPUs, for --firmware and --built-in
    #[arg(long, default_value = VENDOR)]
    vendor: String,
    /// Model of the GPUs, for --firmware and --built-in
    #[arg(long, default_value = MODEL)]
    model: String,
    /// Name of the document, for --firmware and --built-in
    #[arg(long, default_value = "Reference values")]
    id: String,
    /// How long it may be relied on
    #[arg(long = "for", value_name = "SPAN", default_value = "1y")]
    span: Span,
    #[command(flatten)]
    at: At,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Overwrite what is there
    #[arg(long)]
    force: bool,
}

/// What is vouched for.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// A description: TOML or JSON with id, vendor, model, and for each [[release]] version, svn and
    /// SHA-384 of boot-rom, hrot, sec2, engines and vbios
    #[arg(long, value_name = "FILE")]
    description: Option<PathBuf>,
    /// A directory with a release's images, as `ravelin maker firmware` writes them; may be repeated
    #[arg(long, value_name = "DIR")]
    firmware: Vec<PathBuf>,
    /// Every release that Ravelin's GPU model has built in
    #[arg(long)]
    built_in: bool,
}

/// Name of the file with a component's image.
pub(super) fn image_name(component: Component) -> &'static str {
    match component {
        Component::BootRom => "boot-rom.rvfw",
        Component::Hrot => "hrot.rvfw",
        Component::Sec2 => "sec2.rvfw",
        Component::Engines => "engines.rvfw",
        Component::Vbios => "vbios.rvfw",
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<Fields, super::Error> {
    let Arguments { root, source, vendor, model, id, span, at, out, force } = arguments;
    let (id, releases) = match &source.description {
        Some(path) => {
            let described = Description::parse(&file::read(path)?)
                .map_err(|why| Error::Description(path.clone(), why))?;
            (described.id.clone(), described.releases())
        }
        None => {
            let sets = if source.built_in {
                FirmwareSet::releases().to_vec()
            } else {
                source.firmware.iter().map(|path| firmware(path)).collect::<Result<_, _>>()?
            };
            let named = |set: &FirmwareSet| Release {
                vendor: vendor.clone(),
                model: model.clone(),
                ..set.to_release()
            };
            (id.clone(), sets.iter().map(named).collect())
        }
    };
    let manifest = Manifest { id, validity: at.lasting(*span)?, releases };
    let document = sign(root, &manifest)?;
    file::write(out, &document, For::Everyone, Over::force(*force))?;
    Ok(super::show::reference_values(&manifest)
        .list("files", vec![Fields::file(out, "signed reference values (--reference-values)")]))
}

fn firmware(directory: &Path) -> Result<FirmwareSet, super::Error> {
    let mut set = FirmwareSet::current();
    for component in Component::ALL {
        let path = directory.join(image_name(component));
        let image = FirmwareImage::decode(&file::read(&path)?)
            .map_err(|error| Error::Image(path.clone(), error))?;
        if image.component != component {
            return Err(Error::Misplaced(path, image.component).into());
        }
        set = set.with(image);
    }
    Ok(set)
}

/// Signs, and reads what was signed as a verifier will.
fn sign(directory: &Path, manifest: &Manifest) -> Result<Vec<u8>, super::Error> {
    let anchor = desk::anchor(directory)?;
    let (certificate, id) = desk::signer_certificate(directory)?;
    if desk::revocation_list(directory, &anchor)?.is_some_and(|list| list.contains(&id)) {
        return Err(Error::Revoked.into());
    }
    let key = desk::signer_key(directory)?;
    let name = anchor.name().to_string();
    let document = ReferenceValues::sign(manifest, &certificate, &name, |message| {
        let signature: Signature = key.sign(message);
        signature.to_vec()
    })
    .ok_or(crate::Error::Cbor)?;
    ReferenceValues::verify(&document, anchor).map_err(Error::Unverified)?;
    Ok(document)
}
