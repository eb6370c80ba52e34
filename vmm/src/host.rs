//! The host that the launcher runs on: which PCI functions it has, what stands in the way of giving
//! one to a guest, and how to take one from the host's driver and give it back.
//!
//! Everything is read below directories that are parameters, so that tests have a host of their own.
//! Nothing here opens a device: that is left to whoever attaches it.

pub mod address;
pub mod binding;
pub mod inventory;
pub mod obstacle;
mod sysfs;
mod uses;

pub use address::Address;

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

/// The driver that hands a function to user programs.
pub const VFIO_PCI: &str = "vfio-pci";

/// Where a host shows itself, and what this process may do on it.
#[derive(Clone, Debug)]
pub struct Host {
    /// As `/sys`.
    pub sys: PathBuf,
    /// As `/dev`.
    pub dev: PathBuf,
    /// As `/proc`.
    pub proc: PathBuf,
    /// Whether this process may open a device node for reading and writing.
    pub may_open: fn(&Path) -> io::Result<()>,
    /// Bytes that this process may lock in memory; none where there is no limit.
    pub memlock: Option<u64>,
}

impl Host {
    /// The host of this process.
    pub fn this() -> Self {
        Self {
            sys: "/sys".into(),
            dev: "/dev".into(),
            proc: "/proc".into(),
            may_open: opens,
            memlock: memlock_limit(),
        }
    }

    /// Where the bus keeps what it says of a function.
    fn function(&self, address: Address) -> PathBuf {
        self.sys.join("bus/pci/devices").join(address.to_string())
    }

    /// Where a driver of the bus is.
    fn driver(&self, name: &str) -> PathBuf {
        self.sys.join("bus/pci/drivers").join(name)
    }
}

/// A node of VFIO's may be open once only, so this asks for permission and opens nothing.
fn opens(node: &Path) -> io::Result<()> {
    use rustix::fs::{Access, access};
    Ok(access(node, Access::READ_OK | Access::WRITE_OK)?)
}

/// The limit as VFIO applies it: not at all to who has CAP_IPC_LOCK.
fn memlock_limit() -> Option<u64> {
    const CAP_IPC_LOCK: u32 = 14;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let capabilities = effective.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    if capabilities.is_some_and(|set| set >> CAP_IPC_LOCK & 1 == 1) {
        return None;
    }
    rustix::process::getrlimit(rustix::process::Resource::Memlock).current
}

/// Writes to a file that the kernel shows; never makes one.
fn write(path: &Path, value: &str) -> io::Result<()> {
    use std::io::Write;
    OpenOptions::new().write(true).open(path)?.write_all(value.as_bytes())
}

#[cfg(test)]
mod fake;
