//! `ravelinctl bind` and `ravelinctl unbind`: a device of the host's changes its driver.

use super::{Document, Output};
use crate::cli::{Error, output};
use crate::host::binding::{Plan, ThisKernel, Write};
use crate::host::{Address, Host};
use serde::Serialize;

/// Which device, and whether it is meant.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct What {
    /// The device, as 0000:01:00.0
    #[arg(value_name = "ADDRESS")]
    address: Address,
    /// Write nothing; print what would be written, as commands for a shell
    #[arg(long)]
    dry_run: bool,
}

/// What was written, or would be.
#[derive(Serialize)]
struct Content<'a> {
    address: Address,
    dry_run: bool,
    writes: &'a [Write],
    /// The driver afterwards; absent where nothing was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    driver: Option<Option<String>>,
}

/// Runs `ravelinctl bind`.
pub(super) fn bind(host: &Host, what: What, take: &[String], output: Output) -> Result<(), Error> {
    let plan = Plan::bind(host, what.address, take)?;
    if plan.writes.is_empty() && !output.json {
        output::line(format_args!("{} is bound to vfio-pci already.", what.address));
        return Ok(());
    }
    let Some(driver) = carry_out(host, &plan, what, "ravelin.bind/1", output)? else {
        return Ok(());
    };
    output::line(format_args!(
        "{} is bound to {}: `ravelin run --gpu vfio={}` gives it to a VM.",
        what.address,
        driver.as_deref().unwrap_or("no driver"),
        what.address
    ));
    Ok(())
}

/// Runs `ravelinctl unbind`.
pub(super) fn unbind(host: &Host, what: What, output: Output) -> Result<(), Error> {
    let plan = Plan::unbind(host, what.address)?;
    let Some(driver) = carry_out(host, &plan, what, "ravelin.unbind/1", output)? else {
        return Ok(());
    };
    match driver {
        Some(driver) => output::line(format_args!("{} is bound to {driver}.", what.address)),
        None => output::line(format_args!(
            "{0} has no driver now. The host's comes by: sudo modprobe \"$(cat \
             /sys/bus/pci/devices/{0}/modalias)\"",
            what.address
        )),
    }
    Ok(())
}

/// Shows the plan or carries it out. The driver afterwards, where there is something left to say.
#[allow(clippy::option_option, reason = "nothing to say is not no driver")]
fn carry_out(
    host: &Host,
    plan: &Plan,
    what: What,
    schema: &'static str,
    output: Output,
) -> Result<Option<Option<String>>, Error> {
    let driver = match what.dry_run {
        true => None,
        false => Some(plan.carry_out(host, &mut ThisKernel)?),
    };
    let What { address, dry_run } = what;
    if output.json {
        let content = Content { address, dry_run, writes: &plan.writes, driver };
        output::json(&Document { schema, content });
        return Ok(None);
    }
    if dry_run {
        for Write { path, value } in &plan.writes {
            output::line(format_args!("echo {} > {}", value.trim_end(), path.display()));
        }
    }
    Ok(driver)
}
