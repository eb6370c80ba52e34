//! `ravelin maker provision`: a device, as it leaves the factory.

use super::fields::Fields;
use super::file::{self, For, Over};
use super::time::{At, Span};
use super::{Error, Target, desk, root};
use crate::provision::{CHAIN, KEY};
use crate::{MODEL, VENDOR, key};
use clap::Args;
use ravelin_dice::DeviceInfo;
use std::path::PathBuf;

/// `ravelin maker provision`.
#[derive(Args)]
pub(super) struct Arguments {
    /// The directory of the root or intermediate that issues the identity
    #[arg(long, value_name = "DIR")]
    issuer: PathBuf,
    /// Serial number, unique among the manufacturer's devices
    #[arg(long)]
    serial: String,
    /// Manufacturer, as reference values name the vendor
    #[arg(long, default_value = VENDOR)]
    manufacturer: String,
    /// Product, as reference values name the model
    #[arg(long, default_value = MODEL)]
    product: String,
    /// How long the identity is valid; as long as its issuer by default
    #[arg(long = "for", value_name = "SPAN")]
    span: Option<Span>,
    #[command(flatten)]
    at: At,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(arguments: &Arguments) -> Result<Fields, Error> {
    let Arguments { issuer, serial, manufacturer, product, span, at, target } = arguments;
    let over = Over::force(target.force);
    let authority = desk::authority(issuer)?;
    let validity = at.within(*span, authority.issuer().validity())?;
    let device = DeviceInfo {
        manufacturer: manufacturer.clone(),
        product: product.clone(),
        serial: serial.clone(),
    };
    let key = key::generate()?;
    let identity = authority.device(key.clone().into(), &device, validity)?;
    file::prepare(&target.out, &[KEY, CHAIN], over)?;
    root::write_key(&target.out.join(KEY), &key, over)?;
    file::write(&target.out.join(CHAIN), &identity.chain(), For::Everyone, over)?;
    let written = vec![
        Fields::file(&target.out.join(KEY), "identity key: belongs in the device alone"),
        Fields::file(&target.out.join(CHAIN), "certificates from the root to the identity"),
    ];
    Ok(Fields::of_kind("device")
        .with("device", device.text())
        .with("identity", super::show::hex(&identity.digest().unwrap_or([0; 48])))
        .with("issuer", authority.issuer().name())
        .with("not_before", validity.not_before)
        .with("not_after", validity.not_after)
        .list("files", written))
}
