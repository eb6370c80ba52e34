//! Authorities: roots, the signers of reference values below them, and intermediates.

use super::desk::{self, SIGNER, SIGNER_KEY};
use super::fields::Fields;
use super::file::{self, For, Over};
use super::time::{At, Span};
use super::{Error, Target};
use crate::authority::Authority;
use crate::key;
use crate::provision::{CHAIN, KEY};
use crate::publication::{REVOCATION_LIST, ROOT};
use clap::Args;
use p384::SecretKey;
use ravelin_dice::issue::{self, Issuer};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const KEY_CONTENT: &str = "private key: keep it offline, for its owner alone";

/// `ravelin maker root`.
#[derive(Args)]
pub(super) struct RootArguments {
    /// Common name of the root: letters, digits, spaces, hyphens and full stops
    #[arg(long)]
    name: String,
    /// Organization, which the names of all authorities below have too
    #[arg(long, default_value = "Ravelin")]
    organization: String,
    /// How long the root and the signer are valid
    #[arg(long = "for", value_name = "SPAN", default_value = "20y")]
    span: Span,
    /// How long the first, empty revocation list is current
    #[arg(long, value_name = "SPAN", default_value = "30d")]
    crl_for: Span,
    #[command(flatten)]
    at: At,
    #[command(flatten)]
    target: Target,
}

/// `ravelin maker signer`.
#[derive(Args)]
pub(super) struct SignerArguments {
    /// The root's directory
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// How long the signer is valid; as long as the root by default
    #[arg(long = "for", value_name = "SPAN")]
    span: Option<Span>,
    #[command(flatten)]
    at: At,
    /// Replace the signer that is there
    #[arg(long)]
    force: bool,
}

/// `ravelin maker intermediate`.
#[derive(Args)]
pub(super) struct IntermediateArguments {
    /// The directory of the root, or of another intermediate
    #[arg(long, value_name = "DIR")]
    issuer: PathBuf,
    /// Common name of the authority
    #[arg(long)]
    name: String,
    /// How long it is valid; as long as its issuer by default
    #[arg(long = "for", value_name = "SPAN")]
    span: Option<Span>,
    #[command(flatten)]
    at: At,
    #[command(flatten)]
    target: Target,
}

pub(super) fn root(arguments: &RootArguments) -> Result<Fields, Error> {
    let RootArguments { name, organization, span, crl_for, at, target } = arguments;
    let over = Over::force(target.force);
    let files = [KEY, ROOT, SIGNER_KEY, SIGNER, REVOCATION_LIST];
    file::prepare(&target.out, &files, over)?;

    let validity = at.lasting(*span)?;
    let key = key::generate()?;
    let issuer = Issuer::root_of(key.clone().into(), name, organization, validity)?;
    let list = issue::revocation_list(&issuer, &BTreeSet::new(), 1, at.lasting(*crl_for)?)?;
    let root = Authority::root(issuer);

    write_key(&target.out.join(KEY), &key, over)?;
    let path = |name: &str| target.out.join(name);
    file::write(&path(ROOT), root.issuer().certificate(), For::Everyone, over)?;
    file::write(&path(REVOCATION_LIST), &list, For::Everyone, over)?;
    write_signer(&target.out, &root, validity, over)?;
    let written = vec![
        Fields::file(&path(KEY), KEY_CONTENT),
        Fields::file(&path(ROOT), "certificate: what verifiers pin (--root)"),
        Fields::file(&path(SIGNER_KEY), "private key of the signer of reference values"),
        Fields::file(&path(SIGNER), "certificate of that signer"),
        Fields::file(&path(REVOCATION_LIST), "revocation list, empty, number 1 (--crl)"),
    ];
    Ok(described("root", &root).list("files", written))
}

pub(super) fn signer(arguments: &SignerArguments) -> Result<Fields, Error> {
    let directory = &arguments.root;
    let over = Over::force(arguments.force);
    let root = desk::root(directory)?;
    file::prepare(directory, &[SIGNER_KEY, SIGNER], over)?;
    let validity = arguments.at.within(arguments.span, root.issuer().validity())?;
    write_signer(directory, &root, validity, over)?;
    let written = vec![
        Fields::file(&directory.join(SIGNER_KEY), KEY_CONTENT),
        Fields::file(&directory.join(SIGNER), "certificate"),
    ];
    Ok(Fields::of_kind("reference-signer")
        .with("issuer", root.issuer().name())
        .with("not_before", validity.not_before)
        .with("not_after", validity.not_after)
        .list("files", written))
}

pub(super) fn intermediate(arguments: &IntermediateArguments) -> Result<Fields, Error> {
    let IntermediateArguments { issuer, name, span, at, target } = arguments;
    let over = Over::force(target.force);
    let issuer = desk::authority(issuer)?;
    let validity = at.within(*span, issuer.issuer().validity())?;
    file::prepare(&target.out, &[KEY, CHAIN], over)?;
    let key = key::generate()?;
    let authority = issuer.intermediate(key.clone().into(), name, validity)?;
    write_key(&target.out.join(KEY), &key, over)?;
    file::write(&target.out.join(CHAIN), &authority.chain(), For::Everyone, over)?;
    let written = vec![
        Fields::file(&target.out.join(KEY), KEY_CONTENT),
        Fields::file(&target.out.join(CHAIN), "certificates from the root to it"),
    ];
    Ok(described("intermediate", &authority).list("files", written))
}

/// Writes a private key.
pub(super) fn write_key(path: &Path, key: &SecretKey, over: Over) -> Result<(), Error> {
    Ok(file::write(path, key::to_pem(key)?.as_bytes(), For::Owner, over)?)
}

fn write_signer(
    directory: &Path,
    root: &Authority,
    validity: ravelin_dice::time::Validity,
    over: Over,
) -> Result<(), Error> {
    let key = key::generate()?;
    let certificate = issue::reference_signer_certificate(
        root.issuer(),
        &p384::ecdsa::VerifyingKey::from(key.public_key()),
        "Reference Values",
        validity,
    )?;
    write_key(&directory.join(SIGNER_KEY), &key, over)?;
    Ok(file::write(&directory.join(SIGNER), &certificate, For::Everyone, over)?)
}

fn described(kind: &str, authority: &Authority) -> Fields {
    let issuer = authority.issuer();
    Fields::of_kind(kind)
        .with("name", issuer.name())
        .with("not_before", issuer.validity().not_before)
        .with("not_after", issuer.validity().not_after)
}
