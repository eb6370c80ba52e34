//! What the tests with VFIO share: the machine's devices, a VM with one of them, the kernel's log.
//!
//! They need an IOMMU with devices that nobody misses, and to be root: `cargo rig vfio` has both.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

pub mod kernel_log;
pub mod vm;

use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

/// No step takes this long, even in an emulated machine on a loaded host.
pub const PATIENCE: Duration = Duration::from_secs(300);

const PCI: &str = "/sys/bus/pci/devices";

/// Devices of the machine, by what they are.
#[derive(Clone, Copy, Debug)]
pub enum Device {
    /// QEMU's teaching device, alone in its IOMMU group.
    Edu,
    /// Another, which shares its group with a device of the host's.
    EduBesideOther,
    /// An NVMe controller.
    Nvme,
}

impl Device {
    /// Its address.
    pub fn address(self) -> String {
        let (id, alone) = match self {
            Device::Edu => ("1234:11e8", true),
            Device::EduBesideOther => ("1234:11e8", false),
            Device::Nvme => ("1b36:0010", true),
        };
        let all = fs::read_dir(PCI).unwrap().map(|entry| entry.unwrap().file_name());
        let mut all: Vec<String> = all.map(|name| name.into_string().unwrap()).collect();
        all.sort();
        let is_it = |address: &String| {
            let id_of = |name| attribute(address, name).trim_start_matches("0x").to_owned();
            let others = others_with_a_driver(address);
            format!("{}:{}", id_of("vendor"), id_of("device")) == id && others.is_empty() == alone
        };
        all.into_iter().find(is_it).unwrap_or_else(|| panic!("the machine has no {self:?}"))
    }

    /// Its address, once it is bound to vfio-pci.
    pub fn bound(self) -> String {
        let address = self.address();
        ravelinctl_ok(&["bind", &address]);
        address
    }
}

/// A file of a PCI function's.
pub fn attribute(address: &str, name: &str) -> String {
    fs::read_to_string(place(address).join(name)).unwrap().trim().to_owned()
}

pub fn place(address: &str) -> PathBuf {
    Path::new(PCI).join(address)
}

pub fn driver(address: &str) -> Option<String> {
    let link = fs::read_link(place(address).join("driver")).ok()?;
    Some(link.file_name()?.to_str()?.to_owned())
}

/// Members of its group, besides itself and bridges, that have a driver.
pub fn others_with_a_driver(address: &str) -> Vec<String> {
    let members = fs::read_dir(place(address).join("iommu_group/devices")).into_iter().flatten();
    let members = members.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let bridge = |member: &String| attribute(member, "class").starts_with("0x06");
    members
        .filter(|member| member != address && !bridge(member) && driver(member).is_some())
        .collect()
}

/// The nodes of a device in the kernel's older interface: its group's and the container's.
pub fn group_nodes(address: &str) -> [String; 2] {
    let group = fs::read_link(place(address).join("iommu_group")).unwrap();
    let number = group.file_name().unwrap().to_str().unwrap();
    [format!("/dev/vfio/{number}"), "/dev/vfio/vfio".into()]
}

/// The nodes of a device in the kernel's newest interface.
pub fn nodes(address: &str) -> [String; 2] {
    if !has_cdev() {
        return group_nodes(address);
    }
    let name = fs::read_dir(place(address).join("vfio-dev")).unwrap().next().unwrap().unwrap();
    let name = name.file_name().into_string().unwrap();
    [format!("/dev/vfio/devices/{name}"), "/dev/iommu".into()]
}

/// Who may open a node.
pub fn give(node: &str, everybody: bool) {
    let mode = if everybody { 0o666 } else { 0o600 };
    fs::set_permissions(node, fs::Permissions::from_mode(mode)).unwrap();
}

/// Whether the kernel has VFIO's newer interface.
pub fn has_cdev() -> bool {
    Path::new("/dev/iommu").exists()
}

pub fn ravelinctl(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ravelinctl")).args(arguments).output().unwrap()
}

pub fn ravelinctl_ok(arguments: &[&str]) -> String {
    let output = ravelinctl(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// What `ravelinctl devices` says of one device.
pub fn described(address: &str) -> Value {
    let text = ravelinctl_ok(&["devices", address, "--json"]);
    let object: Value = serde_json::from_str(&text).unwrap();
    object["devices"][0].clone()
}

/// Waits until something is there.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
