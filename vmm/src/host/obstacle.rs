//! What stands in the way of giving a function to a guest, and the command that moves it out.
//!
//! One rule for `ravelinctl devices`, `bind` and the launcher: the first obstacle of a function is the
//! one to remove first.

use super::inventory::{Function, Group, group_node};
use super::{Address, Host, VFIO_PCI};
use serde::Serialize;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// A Linux guest shares its bounce buffers, 64 MiB of them, and each shared page is locked while a
/// device is attached.
const LEAST_MEMLOCK: u64 = 64 << 20;
/// Drivers that own a member of a group without using its DMA, so that the others may be given away
/// (the kernel's `vfio_group_viable`, later `driver_managed_dma`).
const HARMLESS: [&str; 2] = ["pcieport", "pci-stub"];

/// Something in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Obstacle {
    /// The host has no IOMMU at work for the function.
    NoIommu {
        /// The processor's vendor, on whose name the fix depends.
        #[serde(skip)]
        amd: bool,
    },
    /// The kernel has no driver `vfio-pci` loaded.
    VfioPciAbsent,
    /// Another driver has it, or none.
    Driver {
        /// The function.
        #[serde(skip)]
        address: Address,
        /// Which.
        driver: Option<String>,
    },
    /// A driver of the host's has a member of the function's group.
    GroupShared {
        /// The group's number.
        group: u32,
        /// The member.
        member: Address,
        /// Its driver.
        driver: String,
    },
    /// This user may not open a node.
    Permission {
        /// The node.
        node: String,
    },
    /// A node is not there.
    NoNode {
        /// The node.
        node: String,
    },
    /// Too little memory may be locked.
    MemlockLimit {
        /// Bytes.
        limit: u64,
    },
    /// Another process has it.
    Taken {
        /// Its number.
        process: String,
        /// What it is called.
        program: String,
    },
}

impl Obstacle {
    /// What it is, in words.
    pub fn in_words(&self) -> String {
        match self {
            Obstacle::NoIommu { .. } => "no IOMMU is at work for it".into(),
            Obstacle::VfioPciAbsent => "the kernel's driver vfio-pci is not loaded".into(),
            Obstacle::Driver { driver: Some(driver), .. } => format!("it is bound to {driver}"),
            Obstacle::Driver { driver: None, .. } => "no driver has it".into(),
            Obstacle::GroupShared { group, member, driver } => {
                format!("the host uses {member} of its group {group}, by {driver}")
            }
            Obstacle::Permission { node } => format!("this user may not open {node}"),
            Obstacle::NoNode { node } => format!("there is no {node}"),
            Obstacle::MemlockLimit { limit } => {
                format!("this user may lock {limit} bytes of memory, a guest shares more")
            }
            Obstacle::Taken { process, program } => {
                format!("process {process} ({program}) has it")
            }
        }
    }

    /// The command that moves it out of the way, or what else does.
    pub fn fix(&self) -> String {
        match self {
            Obstacle::NoIommu { amd: true } => {
                "switch the IOMMU (AMD-Vi) on in the firmware and boot without amd_iommu=off".into()
            }
            Obstacle::NoIommu { amd: false } => {
                "switch the IOMMU (VT-d) on in the firmware and boot with intel_iommu=on".into()
            }
            Obstacle::VfioPciAbsent => "sudo modprobe vfio-pci".into(),
            Obstacle::Driver { address, .. } => format!("sudo ravelinctl bind {address}"),
            Obstacle::GroupShared { member, .. } => format!("sudo ravelinctl bind {member}"),
            Obstacle::Permission { node } => format!("sudo chown $USER {node}"),
            Obstacle::NoNode { .. } => "sudo modprobe vfio-pci".into(),
            Obstacle::MemlockLimit { .. } => "sudo prlimit --memlock=unlimited --pid $$".into(),
            Obstacle::Taken { .. } => "end that VM, or use another device".into(),
        }
    }
}

/// Everything in the way of this function, what to remove first at the front.
pub(super) fn of(host: &Host, function: &Function) -> Vec<Obstacle> {
    let mut found = Vec::new();
    let Some(group) = &function.iommu_group else {
        return vec![Obstacle::NoIommu { amd: is_amd(host) }];
    };
    if !host.driver(VFIO_PCI).exists() {
        found.push(Obstacle::VfioPciAbsent);
    }
    let bound = function.driver.as_deref() == Some(VFIO_PCI);
    if !bound {
        let (address, driver) = (function.address, function.driver.clone());
        found.push(Obstacle::Driver { address, driver });
    }
    found.extend(shared(group, function.address));
    if bound {
        found.extend(nodes(host, function, group));
    }
    for holder in &function.uses {
        if let super::uses::Use::Process { name, program } = holder {
            found.push(Obstacle::Taken { process: name.clone(), program: program.clone() });
        }
    }
    if let Some(limit) = host.memlock.filter(|limit| *limit < LEAST_MEMLOCK) {
        found.push(Obstacle::MemlockLimit { limit });
    }
    found
}

/// Members of the group that the host's drivers have.
pub(super) fn shared(group: &Group, function: Address) -> Vec<Obstacle> {
    let others = group.members.iter().filter(|member| member.address != function);
    others
        .filter_map(|member| {
            let driver = member.driver.clone()?;
            let harmless = HARMLESS.contains(&&*driver) || driver.starts_with("vfio");
            let obstacle =
                Obstacle::GroupShared { group: group.number, member: member.address, driver };
            (!harmless).then_some(obstacle)
        })
        .collect()
}

/// Nodes that cannot be opened. Either interface is enough: the function's own node with the IOMMU's,
/// or the group's node with the container's.
fn nodes(host: &Host, function: &Function, group: &Group) -> Vec<Obstacle> {
    let of = |name: &str| host.dev.join(name).to_string_lossy().into_owned();
    let older = [of("vfio/vfio"), group_node(host, group)];
    let newer = function.cdev.clone().map(|cdev| [of("iommu"), cdev]);
    let problems = |nodes: &[String; 2]| {
        let problem = |node: &String| match (host.may_open)(Path::new(node)) {
            Ok(()) => None,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Some(Obstacle::NoNode { node: node.clone() })
            }
            Err(_) => Some(Obstacle::Permission { node: node.clone() }),
        };
        nodes.iter().filter_map(problem).collect::<Vec<_>>()
    };
    let newer = newer.as_ref().map(problems);
    match newer {
        Some(newer) if newer.is_empty() => newer,
        // A kernel without the older interface has no nodes of it.
        Some(newer) => match problems(&older) {
            older if older.is_empty() => older,
            _ => newer,
        },
        None => problems(&older),
    }
}

fn is_amd(host: &Host) -> bool {
    fs::read_to_string(host.proc.join("cpuinfo")).is_ok_and(|text| text.contains("AuthenticAMD"))
}
