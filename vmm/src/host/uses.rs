//! What a PCI function does for the host now: disks, networks, the console, a VM.
//!
//! Taking a function from the host takes these too, so whoever binds one has to know. Each use has
//! the name by which the host knows it.

use super::{Address, Host, sysfs};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Something that would be lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Use {
    /// A file system or swap space that is in use.
    Disk {
        /// The disk, as `nvme0n1`.
        name: String,
        /// Where it is mounted, or "swap".
        mount: String,
    },
    /// A network interface that is up.
    Network {
        /// The interface, as `eth0`.
        name: String,
        /// No other interface of the host's that is a device is up.
        only: bool,
    },
    /// The host's screen.
    Console {
        /// "console".
        name: String,
    },
    /// A process has the function through VFIO.
    Process {
        /// Its number.
        name: String,
        /// What it is called.
        program: String,
    },
}

impl Use {
    /// The name to ask for it by.
    pub fn name(&self) -> &str {
        match self {
            Use::Disk { name, .. }
            | Use::Network { name, .. }
            | Use::Console { name }
            | Use::Process { name, .. } => name,
        }
    }

    /// In words, behind the function's address.
    pub fn in_words(&self) -> String {
        match self {
            Use::Disk { name, mount } if mount == "/" => {
                format!("has the root file system ({name})")
            }
            Use::Disk { name, mount } => format!("has {mount} ({name})"),
            Use::Network { name, only: true } => format!("is the host's only network ({name})"),
            Use::Network { name, only: false } => format!("is a network that is up ({name})"),
            Use::Console { .. } => "is the host's screen (console)".into(),
            Use::Process { name, program } => format!("is in process {name}'s hands ({program})"),
        }
    }
}

/// What the function does for the host. `nodes` are its nodes for user programs.
pub(super) fn of(host: &Host, address: Address, nodes: &[String]) -> Vec<Use> {
    let Ok(place) = fs::canonicalize(host.function(address)) else { return Vec::new() };
    let mut uses = disks(host, &place);
    uses.extend(networks(host, &place));
    if sysfs::line(&place.join("boot_vga")).as_deref() == Some("1")
        && sysfs::link_name(&place.join("driver")).is_some_and(|driver| driver != super::VFIO_PCI)
    {
        uses.push(Use::Console { name: "console".into() });
    }
    uses.extend(processes(host, nodes));
    uses
}

fn disks(host: &Host, place: &Path) -> Vec<Use> {
    let block = host.sys.join("class/block");
    let mounts = mounts(host);
    let mut uses = Vec::new();
    for disk in sysfs::names(&block).iter().filter(|name| is_below(&block.join(name), place)) {
        // Partitions are below the same function; what is stacked on them is not.
        for part in stack(&block, disk) {
            let Some(number) = sysfs::line(&block.join(&part).join("dev")) else { continue };
            let here = mounts.iter().filter(|(device, _)| *device == number || *device == part);
            for (_, mount) in here {
                let found = Use::Disk { name: disk.clone(), mount: mount.clone() };
                if !uses.contains(&found) {
                    uses.push(found);
                }
            }
        }
    }
    uses
}

/// A disk and what is built of it: encrypted volumes, logical volumes, arrays.
fn stack(block: &Path, disk: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut pending = vec![disk.to_owned()];
    while let Some(name) = pending.pop() {
        if all.insert(name.clone()) {
            pending.extend(sysfs::names(&block.join(&name).join("holders")));
        }
    }
    all
}

/// What is mounted: the device's number or name, and where. Swap has its device's name; so have file
/// systems like btrfs, whose number is made up.
fn mounts(host: &Host) -> Vec<(String, String)> {
    let read = |file| fs::read_to_string(host.proc.join(file)).unwrap_or_default();
    let mut mounts = Vec::new();
    for line in read("self/mountinfo").lines() {
        // proc(5): mount id, parent id, major:minor, root, mount point, ... "-", type, source.
        let words: Vec<&str> = line.split(' ').collect();
        let [_, _, number, _, mount, ..] = words[..] else { continue };
        mounts.push((number.to_owned(), mount.to_owned()));
        let source = words.iter().position(|word| *word == "-").and_then(|at| words.get(at + 2));
        if let Some(name) = source.and_then(|source| source.strip_prefix("/dev/")) {
            mounts.push((name.to_owned(), mount.to_owned()));
        }
    }
    let swaps = read("swaps");
    let names = swaps.lines().filter_map(|line| line.split(' ').next()?.strip_prefix("/dev/"));
    mounts.extend(names.map(|name| (name.to_owned(), "swap".to_owned())));
    mounts
}

fn networks(host: &Host, place: &Path) -> Vec<Use> {
    let net = host.sys.join("class/net");
    let up: Vec<String> = sysfs::names(&net)
        .into_iter()
        .filter(|name| net.join(name).join("device").exists() && is_up(&net.join(name)))
        .collect();
    let only = up.len() == 1;
    let mine = up.into_iter().filter(|name| is_below(&net.join(name), place));
    mine.map(|name| Use::Network { name, only }).collect()
}

/// IFF_UP: somebody has switched it on, whether a cable is in or not.
fn is_up(interface: &Path) -> bool {
    sysfs::hexadecimal(&interface.join("flags")).is_some_and(|flags| flags & 1 == 1)
}

fn is_below(link: &Path, place: &Path) -> bool {
    fs::canonicalize(link).is_ok_and(|path| path.starts_with(place))
}

/// Those that have one of these nodes open, as far as this user may see it.
fn processes(host: &Host, nodes: &[String]) -> Vec<Use> {
    if nodes.is_empty() {
        return Vec::new();
    }
    let numbers = sysfs::names(&host.proc).into_iter();
    let numbers = numbers.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    let holds = |number: &String| {
        let files = host.proc.join(number).join("fd");
        sysfs::names(&files).iter().any(|file| {
            let target = fs::read_link(files.join(file)).ok();
            target
                .and_then(|path| path.to_str().map(str::to_owned))
                .is_some_and(|t| nodes.contains(&t))
        })
    };
    let holders = numbers.filter(holds).map(|name| {
        let program = sysfs::line(&host.proc.join(&name).join("comm")).unwrap_or_default();
        Use::Process { name, program }
    });
    holders.collect()
}
