//! `ravelinctl devices`: what the host has, and what stands in the way of giving it to a VM.

use super::{Document, Output, row};
use crate::cli::{Error, output};
use crate::host::inventory::{self, Function, Group, Link};
use crate::host::{Address, Host, binding};
use serde::Serialize;

/// Runs the command. Without addresses, for every function.
pub(super) fn show(host: &Host, addresses: &[Address], output: Output) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Content {
        devices: Vec<Function>,
    }
    let devices = match addresses {
        [] => inventory::functions(host),
        some => some.iter().map(|address| find(host, *address)).collect::<Result<_, Error>>()?,
    };
    if output.json {
        output::json(&Document { schema: "ravelin.devices/1", content: Content { devices } });
        return Ok(());
    }
    if devices.is_empty() {
        output::line("This host has no PCI devices.");
    }
    for device in &devices {
        in_words(device);
    }
    Ok(())
}

fn find(host: &Host, address: Address) -> Result<Function, Error> {
    inventory::function(host, address).ok_or(binding::Error::NoSuchDevice(address).into())
}

fn in_words(device: &Function) {
    let Function { address, vendor, device: id, .. } = device;
    output::line(output::heading(&format!("{address}  {vendor:04x}:{id:04x}  {}", device.kind())));
    row("driver", device.driver.as_deref().unwrap_or("none"));
    row(
        "group",
        device.iommu_group.as_ref().map_or("none".into(), |group| of_group(group, *address)),
    );
    row(
        "reset",
        match device.reset_methods.is_empty() {
            true => "no way".into(),
            false => device.reset_methods.join(", "),
        },
    );
    if let Some(Link { speed, width, max_speed, max_width }) = &device.link {
        row("link", format_args!("{speed} x{width}, of {max_speed} x{max_width}"));
    }
    for found in &device.uses {
        row("in use", format_args!("it {}", found.in_words()));
    }
    match device.obstacles.as_slice() {
        [] => row("state", output::judged("ready for a VM", true)),
        obstacles => {
            for obstacle in obstacles {
                row("in the way", output::judged(&obstacle.in_words(), false));
                row("", obstacle.fix());
            }
        }
    }
}

fn of_group(group: &Group, own: Address) -> String {
    let others: Vec<String> = group
        .members
        .iter()
        .filter(|member| member.address != own)
        .map(|member| match (&member.driver, member.bridge) {
            (_, true) => format!("{} (bridge)", member.address),
            (Some(driver), false) => format!("{} ({driver})", member.address),
            (None, false) => member.address.to_string(),
        })
        .collect();
    match others.as_slice() {
        [] => format!("{}, alone", group.number),
        others => format!("{}, with {}", group.number, others.join(", ")),
    }
}
