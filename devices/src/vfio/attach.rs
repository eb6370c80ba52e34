//! From an address, or from files that somebody opened for us, to a device in an I/O address space.
//!
//! The character device and iommufd first, group and container second. Before anything is opened,
//! sysfs is asked what could stand in the way, so that each obstacle has an error of its own that names
//! it and what to do. Nothing of the guest's is mapped here: that is [`dma`](super::dma)'s, once the
//! device follows the page-state map.

use super::dma::Iommu;
use super::hardware::Hardware;
use super::iommu::{AddressSpace, Container};
use super::kernel::{KernelDevice, Ownership, address_of};
use super::sysfs::{Bdf, Sysfs};
use super::uapi;
use std::ffi::CString;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The driver that gives a device away.
const DRIVER: &str = "vfio-pci";

/// What is to be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The device at an address of the host's.
    Address(Bdf),
    /// Files that a launcher with more rights has opened: a VFIO character device, and `/dev/iommu`.
    Files {
        /// The device's descriptor.
        device: RawFd,
        /// The iommufd's descriptor.
        iommufd: RawFd,
    },
}

/// The kernel's two interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// Character device and iommufd.
    Cdev,
    /// IOMMU group and container.
    Group,
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Interface::Cdev => "cdev",
            Interface::Group => "group",
        })
    }
}

/// Why a device cannot be attached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No device is there.
    #[error("no PCI device is at {0}: `ravelinctl devices` lists those that are")]
    Absent(Bdf),
    /// Another driver has it, or none.
    #[error("{bdf} is bound to {}, not to {DRIVER}: `ravelinctl bind {bdf}` changes that",
        driver.as_deref().unwrap_or("no driver"))]
    NotBound {
        /// The device.
        bdf: Bdf,
        /// Its driver.
        driver: Option<String>,
    },
    /// The host uses a device that the IOMMU cannot tell from it.
    #[error(
        "{bdf} shares IOMMU group {group} with {other}, which the host uses by {driver}: \
        `ravelinctl bind {other}` takes that device from the host too"
    )]
    GroupInUse {
        /// The device.
        bdf: Bdf,
        /// Its group.
        group: u32,
        /// The other device.
        other: Bdf,
        /// Its driver.
        driver: String,
    },
    /// Nothing confines its DMA.
    #[error(
        "{0} has no IOMMU group, so that nothing confines its DMA: turn the IOMMU on in the \
        firmware and on the kernel's command line (intel_iommu=on)"
    )]
    NoIommu(Bdf),
    /// A file may not be opened.
    #[error("no permission on {}: give it to this user (chown), or hand files in with \
        vfio=fd:N,iommufd=fd:M", .0.display())]
    Permission(PathBuf),
    /// Somebody else has it.
    #[error("{} is in use: end the program that has the device", .0.display())]
    InUse(PathBuf),
    /// The kernel has neither interface.
    #[error(
        "the kernel has neither /dev/iommu nor /dev/vfio/vfio: load vfio-pci and \
        vfio_iommu_type1, or iommufd"
    )]
    NoInterface,
    /// A descriptor that is none, or none of these.
    #[error("fd:{0} is no open file of that kind: hand in a VFIO character device and /dev/iommu")]
    Descriptor(RawFd, #[source] io::Error),
    /// The kernel refuses a step.
    #[error("the kernel refuses to {step} {bdf}")]
    Refused {
        /// The device.
        bdf: String,
        /// The step.
        step: &'static str,
        /// Why.
        #[source]
        reason: io::Error,
    },
    /// The platform cannot remap interrupts, and a device could forge them.
    #[error(
        "the IOMMU does not remap interrupts, so that {0} could forge them: turn interrupt \
        remapping on in the firmware"
    )]
    NoInterruptRemapping(String),
}

/// A device in an I/O address space.
pub struct Attached {
    /// The device.
    pub hardware: Arc<dyn Hardware>,
    /// What its DMA goes through.
    pub iommu: Arc<dyn Iommu>,
    /// How it was attached.
    pub interface: Interface,
}

/// Attaches a device.
///
/// # Errors
/// Something stands in the way; the error names it.
pub fn attach(source: Source, sysfs: &Sysfs) -> Result<Attached, Error> {
    match source {
        Source::Address(bdf) => {
            check(bdf, sysfs)?;
            by_address(bdf, sysfs)
        }
        Source::Files { device, iommufd } => {
            let adopt = |number| uapi::adopt(number).map_err(|why| Error::Descriptor(number, why));
            let (file, iommu) = (adopt(device)?, adopt(iommufd)?);
            let bdf = address_of(&file, sysfs).map(|bdf| bdf.to_string());
            by_cdev(bdf.unwrap_or_else(|| format!("fd:{device}")), file, iommu)
        }
    }
}

/// What sysfs knows to be in the way of using a device.
///
/// # Errors
/// The first obstacle.
pub fn check(bdf: Bdf, sysfs: &Sysfs) -> Result<(), Error> {
    if !sysfs.has(bdf) {
        return Err(Error::Absent(bdf));
    }
    let group = sysfs.group(bdf).ok_or(Error::NoIommu(bdf))?;
    let driver = sysfs.driver(bdf);
    if driver.as_deref() != Some(DRIVER) {
        return Err(Error::NotBound { bdf, driver });
    }
    match sysfs.group_in_use(bdf).into_iter().next() {
        Some((other, driver)) => Err(Error::GroupInUse { bdf, group, other, driver }),
        None => Ok(()),
    }
}

fn by_address(bdf: Bdf, sysfs: &Sysfs) -> Result<Attached, Error> {
    let iommu = Path::new("/dev/iommu");
    if let Some(name) = sysfs.vfio_device(bdf).filter(|_| iommu.exists()) {
        let device = open(&Path::new("/dev/vfio/devices").join(name))?;
        return by_cdev(bdf.to_string(), device, open(iommu)?);
    }
    let container = Path::new("/dev/vfio/vfio");
    if !container.exists() {
        return Err(Error::NoInterface);
    }
    let number = sysfs.group(bdf).ok_or(Error::NoIommu(bdf))?;
    let group = open(&Path::new("/dev/vfio").join(number.to_string()))?;
    by_group(bdf, number, group, open(container)?)
}

fn by_cdev(bdf: String, device: File, iommufd: File) -> Result<Attached, Error> {
    let refused = |step| refused(&bdf, step);
    uapi::bind(&device, &iommufd).map_err(|reason| match reason.raw_os_error() {
        Some(libc::EPERM) => Error::NoInterruptRemapping(bdf.clone()),
        // A character device that somebody else has bound, or a group that somebody has open.
        Some(libc::EINVAL | libc::EBUSY) => Error::InUse(PathBuf::from(&bdf)),
        _ => refused("bind")(reason),
    })?;
    let space = AddressSpace::new(iommufd).map_err(refused("make an I/O address space for"))?;
    uapi::attach(&device, space.id()).map_err(refused("attach"))?;
    finish(bdf, device, Ownership::Iommufd, Arc::new(space))
}

fn by_group(bdf: Bdf, number: u32, group: File, container: File) -> Result<Attached, Error> {
    let name = bdf.to_string();
    let refused = |step| refused(&name, step);
    let version = uapi::api_version(&container).map_err(refused("open a container for"))?;
    if version != 0 || !uapi::has_iommu(&container, uapi::TYPE1_V2).unwrap_or(false) {
        return Err(Error::NoInterface);
    }
    let flags = uapi::group_flags(&group).map_err(refused("look at the group of"))?;
    if flags & uapi::GROUP_VIABLE == 0 {
        let other = io::Error::other("another device of its group has a driver of the host's");
        return Err(refused("take the group of")(other));
    }
    uapi::set_container(&group, &container).map_err(refused("take the group of"))?;
    uapi::set_iommu(&container, uapi::TYPE1_V2).map_err(|reason| match reason.raw_os_error() {
        Some(libc::EPERM) => Error::NoInterruptRemapping(name.clone()),
        _ => refused("give an IOMMU to")(reason),
    })?;
    let c_name = CString::new(name.clone()).map_err(|error| refused("name")(error.into()))?;
    let device = uapi::group_device(&group, &c_name).map_err(refused("open"))?;
    let container = Arc::new(container);
    let ownership = Ownership::Group { number, group, _container: container.clone() };
    finish(name, device, ownership, Arc::new(Container(container)))
}

fn finish(
    bdf: String,
    device: File,
    ownership: Ownership,
    iommu: Arc<dyn Iommu>,
) -> Result<Attached, Error> {
    let interface = ownership.interface();
    let hardware = KernelDevice::new(bdf.clone(), device, ownership);
    let hardware = hardware.map_err(refused(&bdf, "describe"))?;
    Ok(Attached { hardware: Arc::new(hardware), iommu, interface })
}

fn refused(bdf: &str, step: &'static str) -> impl Fn(io::Error) -> Error {
    move |reason| Error::Refused { bdf: bdf.to_owned(), step, reason }
}

fn open(path: &Path) -> Result<File, Error> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    file.map_err(|reason| match reason.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => Error::Permission(path.into()),
        Some(libc::EBUSY) => Error::InUse(path.into()),
        _ => Error::Refused { bdf: path.display().to_string(), step: "open", reason },
    })
}
