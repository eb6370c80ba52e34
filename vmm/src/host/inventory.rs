//! The PCI functions of a host, as its kernel shows them below `/sys/bus/pci`.
//!
//! What is in the way of using one is [`obstacle`]'s to say.

use super::obstacle::{self, Obstacle};
use super::uses::{self, Use};
use super::{Address, Host, sysfs};
use serde::Serialize;

/// Base class of bridges (PCI Code and ID Assignment Specification): what makes up the buses.
const BRIDGE: u32 = 0x06;

/// A PCI function.
#[derive(Clone, Debug, Serialize)]
pub struct Function {
    /// Where it stands.
    pub address: Address,
    /// Vendor id.
    pub vendor: u16,
    /// Device id.
    pub device: u16,
    /// Class code: base class, subclass, programming interface.
    pub class: u32,
    /// The driver that it is bound to.
    pub driver: Option<String>,
    /// The only driver that it may be bound to, where somebody has said so.
    pub driver_override: Option<String>,
    /// The IOMMU group; none without an IOMMU.
    pub iommu_group: Option<Group>,
    /// Ways to reset it, as the kernel has them, the preferred one first.
    pub reset_methods: Vec<String>,
    /// The link to it; none where it is part of the chipset.
    pub link: Option<Link>,
    /// Its node for user programs, in VFIO's newer interface.
    pub cdev: Option<String>,
    /// What it does for the host.
    pub uses: Vec<Use>,
    /// What stands in the way of giving it to a guest.
    pub obstacles: Vec<Obstacle>,
}

/// Functions that an IOMMU cannot tell apart or that reach each other past it: they go to one guest
/// together, or stay unused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Its number.
    pub number: u32,
    /// All members, the function itself included.
    pub members: Vec<Member>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Where it stands.
    pub address: Address,
    /// Its driver.
    pub driver: Option<String>,
    /// Whether it is a bridge.
    pub bridge: bool,
}

/// A PCI Express link, in the kernel's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    /// As it runs, such as "16.0 GT/s PCIe".
    pub speed: String,
    /// Lanes in use.
    pub width: String,
    /// As it could run.
    pub max_speed: String,
    /// Lanes that there are.
    pub max_width: String,
}

impl Function {
    /// Whether it makes up the buses rather than standing on one.
    pub fn is_bridge(&self) -> bool {
        self.class >> 16 == BRIDGE
    }

    /// What it is, by its class.
    pub fn kind(&self) -> &'static str {
        match (self.class >> 16, self.class >> 8 & 0xff) {
            (0x01, 0x08) => "NVMe controller",
            (0x01, _) => "storage controller",
            (0x02, _) => "network controller",
            (0x03, 0x00) => "VGA controller",
            (0x03, 0x02) => "3D controller",
            (0x03, _) => "display controller",
            (0x04, _) => "multimedia controller",
            (0x05, _) => "memory controller",
            (BRIDGE, _) => "bridge",
            (0x07, _) => "communication controller",
            (0x08, _) => "system peripheral",
            (0x0c, 0x03) => "USB controller",
            (0x0c, _) => "serial bus controller",
            (0x10, _) => "encryption controller",
            (0x11, _) => "signal processing controller",
            (0x12, _) => "processing accelerator",
            _ => "device",
        }
    }
}

/// Every function of the host's that is no bridge, in order. None on a host without PCI.
pub fn functions(host: &Host) -> Vec<Function> {
    let names = sysfs::names(&host.sys.join("bus/pci/devices"));
    let mut addresses: Vec<Address> = names.iter().filter_map(|name| name.parse().ok()).collect();
    addresses.sort();
    let all = addresses.into_iter().filter_map(|address| function(host, address));
    all.filter(|function| !function.is_bridge()).collect()
}

/// One function; none where there is none.
pub fn function(host: &Host, address: Address) -> Option<Function> {
    let place = host.function(address);
    let number = |file: &str| sysfs::hexadecimal(&place.join(file));
    let word = |file: &str| sysfs::line(&place.join(file));
    let iommu_group = group(host, address);
    let cdev = sysfs::names(&place.join("vfio-dev")).into_iter().next();
    let cdev = cdev.map(|name| node(host, &format!("vfio/devices/{name}")));
    let mut nodes: Vec<String> = cdev.iter().cloned().collect();
    nodes.extend(iommu_group.iter().map(|group| group_node(host, group)));
    let mut function = Function {
        address,
        vendor: number("vendor")?.try_into().ok()?,
        device: number("device")?.try_into().ok()?,
        class: number("class")?,
        driver: sysfs::link_name(&place.join("driver")),
        // The kernel writes "(null)" where there is none.
        driver_override: word("driver_override").filter(|name| name != "(null)"),
        iommu_group,
        reset_methods: word("reset_method")
            .map(|line| line.split_whitespace().map(str::to_owned).collect())
            .unwrap_or_default(),
        link: link(&word),
        cdev,
        uses: uses::of(host, address, &nodes),
        obstacles: Vec::new(),
    };
    function.obstacles = obstacle::of(host, &function);
    Some(function)
}

/// The node of a group, in VFIO's older interface.
pub(super) fn group_node(host: &Host, group: &Group) -> String {
    node(host, &format!("vfio/{}", group.number))
}

fn node(host: &Host, name: &str) -> String {
    host.dev.join(name).to_string_lossy().into_owned()
}

fn group(host: &Host, address: Address) -> Option<Group> {
    let place = host.function(address).join("iommu_group");
    let number = sysfs::link_name(&place)?.parse().ok()?;
    let addresses = sysfs::names(&place.join("devices"));
    let members = addresses.iter().filter_map(|name| name.parse().ok()).map(|address: Address| {
        let place = host.function(address);
        Member {
            address,
            driver: sysfs::link_name(&place.join("driver")),
            bridge: sysfs::hexadecimal(&place.join("class")).is_some_and(|c| c >> 16 == BRIDGE),
        }
    });
    Some(Group { number, members: members.collect() })
}

/// The kernel says "Unknown" or a width of 0 where there is no link.
fn link(word: &impl Fn(&str) -> Option<String>) -> Option<Link> {
    let link = Link {
        speed: word("current_link_speed")?,
        width: word("current_link_width")?,
        max_speed: word("max_link_speed")?,
        max_width: word("max_link_width")?,
    };
    (link.width != "0" && !link.speed.starts_with("Unknown")).then_some(link)
}

#[cfg(test)]
mod tests;
