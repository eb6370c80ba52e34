//! Takes a function from the host's driver and gives it back, by `driver_override`.
//!
//! The writes are planned first, so that they can be shown instead of made. They name one function
//! and nothing else: its own files, or its address in the bus's. Afterwards the kernel is asked
//! whether the function is where it should be; where it is not, what was written is taken back.

use super::inventory::{self, Function};
use super::obstacle::{self, Obstacle};
use super::{Address, Host, VFIO_PCI, sysfs};
use serde::Serialize;
use std::io;
use std::path::{Path, PathBuf};

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To `vfio-pci`, for guests.
    Bind,
    /// Back to the host's driver.
    Unbind,
}

/// A write to a file of the kernel's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Write {
    /// The file.
    pub path: PathBuf,
    /// What is written. A lone newline empties.
    pub value: String,
}

/// Why a function stays where it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such function.
    #[error("there is no PCI function {0}: see `ravelinctl devices`")]
    NoSuchDevice(Address),
    /// It is a bridge.
    #[error("{0} is a bridge, which no guest can have: bind what stands behind it")]
    Bridge(Address),
    /// The IOMMU is off, or vfio-pci is not there.
    #[error("{address} cannot be bound, as {}: {}", .obstacle.in_words(), .obstacle.fix())]
    NotPossible {
        /// The function.
        address: Address,
        /// What is in the way.
        obstacle: Obstacle,
    },
    /// It works for the host.
    #[error(
        "{address} {what}: use another device, or say `--take {name}` if the host shall lose it"
    )]
    InUse {
        /// The function.
        address: Address,
        /// What it does.
        what: String,
        /// The word that says that it is known.
        name: String,
    },
    /// A VM has it: the kernel would wait for it.
    #[error("{address} {what}: end that VM first")]
    Taken {
        /// The function.
        address: Address,
        /// Who has it.
        what: String,
    },
    /// It is not bound to vfio-pci.
    #[error(
        "{address} is not bound to {VFIO_PCI} but to {driver}, so there is nothing to give back"
    )]
    NotBound {
        /// The function.
        address: Address,
        /// What it is bound to, or "no driver".
        driver: String,
    },
    /// The kernel refused a write.
    #[error("cannot write {value:?} to {}: {}", .path.display(), advice(.source))]
    Write {
        /// The file.
        path: PathBuf,
        /// What was written.
        value: String,
        /// Why it was not taken.
        source: io::Error,
    },
    /// The kernel took the writes and bound the function to something else.
    #[error(
        "{address} went to {driver} and not to {VFIO_PCI}: the kernel's log (`dmesg`) says why"
    )]
    WentElsewhere {
        /// The function.
        address: Address,
        /// Where it is now, or "no driver".
        driver: String,
    },
    /// The driver does not let it go.
    #[error("{0} stays bound to {VFIO_PCI}: the kernel's log (`dmesg`) says why")]
    Stays(Address),
}

/// How writes are made; tests have a kernel of their own.
pub trait Kernel {
    /// Writes to a file that is there.
    ///
    /// # Errors
    /// As the file says.
    fn write(&mut self, path: &Path, value: &str) -> io::Result<()>;
}

/// This machine's kernel.
#[derive(Debug)]
pub struct ThisKernel;

impl Kernel for ThisKernel {
    fn write(&mut self, path: &Path, value: &str) -> io::Result<()> {
        super::write(path, value)
    }
}

/// What is to be done to one function.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which.
    pub address: Address,
    /// Which way.
    pub direction: Direction,
    /// The writes, in order; none where the function is there already.
    pub writes: Vec<Write>,
}

impl Plan {
    /// Plans to bind a function. `take` names what the host may lose by it.
    ///
    /// # Errors
    /// It cannot be bound, or does something for the host that `take` does not name.
    pub fn bind(host: &Host, address: Address, take: &[String]) -> Result<Plan, Error> {
        let function = find(host, address)?;
        let hinders = |obstacle: &&Obstacle| {
            matches!(obstacle, Obstacle::NoIommu { .. } | Obstacle::VfioPciAbsent)
        };
        if let Some(obstacle) = function.obstacles.iter().find(hinders).cloned() {
            return Err(Error::NotPossible { address, obstacle });
        }
        let bound = function.driver.as_deref() == Some(VFIO_PCI);
        if !bound {
            check_uses(host, &function, take)?;
        }
        let writes = if bound { Vec::new() } else { writes(host, &function, VFIO_PCI) };
        Ok(Plan { address, direction: Direction::Bind, writes })
    }

    /// Plans to give a function back.
    ///
    /// # Errors
    /// It is not bound to vfio-pci, or a VM has it.
    pub fn unbind(host: &Host, address: Address) -> Result<Plan, Error> {
        let function = find(host, address)?;
        if function.driver.as_deref() != Some(VFIO_PCI) {
            let driver = function.driver.unwrap_or_else(|| "no driver".into());
            return Err(Error::NotBound { address, driver });
        }
        if let Some(holder) = function.uses.first() {
            return Err(Error::Taken { address, what: holder.in_words() });
        }
        let writes = writes(host, &function, "\n");
        Ok(Plan { address, direction: Direction::Unbind, writes })
    }

    /// Makes the writes and returns the driver that has the function then.
    ///
    /// # Errors
    /// The kernel refuses one, or does something else. What was written is taken back then.
    pub fn carry_out(
        &self,
        host: &Host,
        kernel: &mut impl Kernel,
    ) -> Result<Option<String>, Error> {
        let done = self.writes.iter().try_for_each(|Write { path, value }| {
            let failed = |source| Error::Write { path: path.clone(), value: value.clone(), source };
            kernel.write(path, value).map_err(failed)
        });
        let driver = sysfs::link_name(&host.function(self.address).join("driver"));
        let bound = driver.as_deref() == Some(VFIO_PCI);
        let address = self.address;
        match (done, self.direction) {
            (Ok(()), Direction::Bind) if bound => Ok(driver),
            (Ok(()), Direction::Unbind) if !bound => Ok(driver),
            (Ok(()), Direction::Unbind) => Err(Error::Stays(address)),
            (failed, Direction::Bind) => {
                give_back(host, address, kernel);
                let driver = driver.unwrap_or_else(|| "no driver".into());
                failed.and(Err(Error::WentElsewhere { address, driver }))
            }
            (Err(failed), Direction::Unbind) => Err(failed),
        }
    }
}

/// Takes back what a bind that failed has left. Nothing more can be done where this fails too.
fn give_back(host: &Host, address: Address, kernel: &mut impl Kernel) {
    let _ = kernel.write(&host.function(address).join("driver_override"), "\n");
    if !host.function(address).join("driver").exists() {
        let _ = kernel.write(&host.sys.join("bus/pci/drivers_probe"), &address.to_string());
    }
}

fn find(host: &Host, address: Address) -> Result<Function, Error> {
    let function = inventory::function(host, address).ok_or(Error::NoSuchDevice(address))?;
    if function.is_bridge() { Err(Error::Bridge(address)) } else { Ok(function) }
}

/// Whether the host knows that it loses what the function and its group do for it. Members that a
/// driver has are asked for by their addresses.
fn check_uses(host: &Host, function: &Function, take: &[String]) -> Result<(), Error> {
    let named = |name: &str| take.iter().any(|word| word == name);
    if let Some(lost) = function.uses.iter().find(|lost| !named(lost.name())) {
        let (address, name) = (function.address, lost.name().to_owned());
        return Err(Error::InUse { address, what: lost.in_words(), name });
    }
    let group = function.iommu_group.iter();
    let others = group.flat_map(|group| obstacle::shared(group, function.address));
    for other in others {
        let Obstacle::GroupShared { member, .. } = &other else { continue };
        let name = member.to_string();
        // Idle members may follow one by one; those that work for the host are lost at once, since
        // the kernel gives no member of a group away while a driver has another.
        let uses = inventory::function(host, *member).map(|member| member.uses).unwrap_or_default();
        if !uses.is_empty() && !named(&name) {
            let what = format!("shares its group with {member}, which {}", uses[0].in_words());
            return Err(Error::InUse { address: function.address, what, name });
        }
    }
    Ok(())
}

/// The three steps: say which driver, let the old one go, have the bus look again.
fn writes(host: &Host, function: &Function, only: &str) -> Vec<Write> {
    let (place, address) = (host.function(function.address), function.address.to_string());
    let mut writes = vec![Write { path: place.join("driver_override"), value: only.into() }];
    if let Some(driver) = &function.driver {
        writes.push(Write { path: host.driver(driver).join("unbind"), value: address.clone() });
    }
    writes.push(Write { path: host.sys.join("bus/pci/drivers_probe"), value: address });
    writes
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "run this as root",
        io::ErrorKind::NotFound => "the device went away, or its driver did; look again",
        _ => "the kernel's log (`dmesg`) says why",
    }
}

#[cfg(test)]
mod tests;
