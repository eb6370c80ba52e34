//! What needs no root of one's own: the GPU model's firmware, and the development maker's
//! publication.

use super::fields::Fields;
use super::file::{self, For, Over};
use super::sign::image_name;
use super::{Error, Target};
use crate::publication::publication as files;
use crate::{FirmwareSet, Maker};
use clap::Args;
use ravelin_dice::Component;
use std::path::PathBuf;

/// `ravelin maker firmware`.
#[derive(Args)]
pub(super) struct FirmwareArguments {
    /// The release before the current one
    #[arg(long)]
    previous: bool,
    #[command(flatten)]
    target: Target,
}

/// `ravelin maker reference-values`.
#[derive(Args)]
pub(super) struct PublicationArguments {
    /// The directory to write to; what is there is overwritten, since it can always be made again
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(super) fn firmware(arguments: &FirmwareArguments) -> Result<Fields, Error> {
    let FirmwareArguments { previous, target } = arguments;
    let set = if *previous { FirmwareSet::previous() } else { FirmwareSet::current() };
    let over = Over::force(target.force);
    file::prepare(&target.out, &Component::ALL.map(image_name), over)?;
    let mut written = Vec::new();
    for component in Component::ALL {
        let path = target.out.join(image_name(component));
        file::write(&path, &set.image(component).encode(), For::Everyone, over)?;
        written.push(Fields::file(&path, &component.to_string()));
    }
    Ok(Fields::of_kind("firmware")
        .with("version", set.version())
        .number("svn", set.svn().into())
        .with("firmware_id", super::show::hex(&set.id()))
        .list("files", written))
}

pub(super) fn publication(arguments: &PublicationArguments) -> Result<Fields, Error> {
    let maker = Maker::development()?;
    file::prepare(&arguments.out, &[], Over::Anything)?;
    let mut written = Vec::new();
    for file in files(&maker)? {
        let path = arguments.out.join(file.name);
        file::write(&path, &file.bytes, For::Everyone, Over::Anything)?;
        written.push(Fields::file(&path, &format!("{} bytes", file.bytes.len())));
    }
    Ok(Fields::of_kind("publication")
        .with("maker", maker.root().name())
        .with("warning", "its root key is public: worth nothing outside tests")
        .list("files", written))
}
