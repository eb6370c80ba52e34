//! From an address, or from files that somebody opened for us, to a device in an I/O address space.
//!
//! The character device and iommufd first; group and container where the kernel has no such device or
//! this user may not open it. Before anything is opened, sysfs is asked what could stand in the way, so
//! that each obstacle has an error of its own that names it and what to do. Nothing of the guest's is mapped here: that is [`dma`](super::dma)'s, once the
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
const IOMMUFD: &str = "/dev/iommu";

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
    /// Somebody has it already, and it may be who has handed it in.
    #[error(
        "fd:{0} has an owner already: hand in a file of /dev/vfio/devices that nobody has bound, and \
        end the program that has the device"
    )]
    Owned(RawFd),
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
            let bdf = address_of(&file, sysfs);
            let name = bdf.map_or_else(|| format!("fd:{device}"), |bdf| bdf.to_string());
            by_cdev(&name, file, iommu).map_err(|why| match why {
                Unbound::Taken(_) => Error::Owned(device),
                Unbound::NoIommufd(why) => Error::Descriptor(iommufd, why),
                Unbound::NoDevice(why) => Error::Descriptor(device, why),
                Unbound::Other(error) => error,
            })
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
    let by_group = |files| by_group(bdf, files, sysfs.most_mappings());
    let Some(name) = sysfs.vfio_device(bdf).filter(|_| Path::new(IOMMUFD).exists()) else {
        return by_group(GroupFiles::open(bdf, sysfs)?);
    };
    let path = Path::new("/dev/vfio/devices").join(name);
    match (open(&path), open(Path::new(IOMMUFD))) {
        (Ok(device), Ok(iommufd)) => {
            by_cdev(&bdf.to_string(), device, iommufd).map_err(|why| match why {
                // Nobody gets a group's file either while somebody has its device.
                Unbound::Taken(_) if GroupFiles::open(bdf, sysfs).is_err() => Error::InUse(path),
                Unbound::Taken(why) | Unbound::NoIommufd(why) | Unbound::NoDevice(why) => {
                    refused(&bdf.to_string(), "bind")(why)
                }
                Unbound::Other(error) => error,
            })
        }
        // A host may give its users the older nodes only. Where it does not, the newer one's are named.
        (Err(error), _) | (_, Err(error)) => {
            by_group(GroupFiles::open(bdf, sysfs).map_err(|_| error)?)
        }
    }
}

/// The files of the older interface.
struct GroupFiles {
    /// The group's number.
    number: u32,
    group: File,
    container: File,
}

impl GroupFiles {
    fn open(bdf: Bdf, sysfs: &Sysfs) -> Result<Self, Error> {
        let container = Path::new("/dev/vfio/vfio");
        if !container.exists() {
            return Err(Error::NoInterface);
        }
        let number = sysfs.group(bdf).ok_or(Error::NoIommu(bdf))?;
        let group = open(&Path::new("/dev/vfio").join(number.to_string()))?;
        Ok(Self { number, group, container: open(container)? })
    }
}

/// Why a character device does not come under an iommufd's rule.
enum Unbound {
    /// Its group is open elsewhere, or somebody has bound the device, for all that one can tell.
    Taken(io::Error),
    /// The one file is no iommufd.
    NoIommufd(io::Error),
    /// The other is no character device of VFIO's.
    NoDevice(io::Error),
    /// Anything else.
    Other(Error),
}

fn by_cdev(bdf: &str, device: File, iommufd: File) -> Result<Attached, Unbound> {
    let refused = |step| move |reason| Unbound::Other(refused(bdf, step)(reason));
    uapi::bind(&device, &iommufd).map_err(|reason| match reason.raw_os_error() {
        Some(libc::EPERM) => Unbound::Other(Error::NoInterruptRemapping(bdf.into())),
        Some(libc::EBUSY | libc::EINVAL) => Unbound::Taken(reason),
        Some(libc::EBADF | libc::EBADFD) => Unbound::NoIommufd(reason),
        Some(libc::ENOTTY) => Unbound::NoDevice(reason),
        _ => refused("bind")(reason),
    })?;
    let space = AddressSpace::new(iommufd).map_err(refused("make an I/O address space for"))?;
    uapi::attach(&device, space.id()).map_err(refused("attach"))?;
    finish(bdf.to_owned(), device, Ownership::Iommufd, Arc::new(space)).map_err(Unbound::Other)
}

fn by_group(bdf: Bdf, files: GroupFiles, limit: Option<u64>) -> Result<Attached, Error> {
    let GroupFiles { number, group, container } = files;
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
    finish(name, device, ownership, Arc::new(Container::new(container, limit)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    const BDF: &str = "0000:01:00.0";

    /// A host's sysfs with a device, which nothing is said of yet.
    fn host() -> (tempfile::TempDir, Sysfs, Bdf) {
        let root = tempfile::tempdir().unwrap();
        let (sysfs, bdf) = (Sysfs::at(root.path()), BDF.parse().unwrap());
        fs::create_dir_all(sysfs.device(bdf)).unwrap();
        (root, sysfs, bdf)
    }

    fn bind(sysfs: &Sysfs, bdf: Bdf, driver: &str) {
        symlink(format!("/sys/bus/pci/drivers/{driver}"), sysfs.device(bdf).join("driver"))
            .unwrap();
    }

    /// Puts devices into group 7.
    fn group(root: &Path, sysfs: &Sysfs, members: &[Bdf]) {
        let group = root.join("kernel/iommu_groups/7");
        for bdf in members {
            fs::create_dir_all(group.join("devices").join(bdf.to_string())).unwrap();
            symlink(&group, sysfs.device(*bdf).join("iommu_group")).unwrap();
        }
    }

    #[test]
    fn each_obstacle_that_sysfs_shows_is_named_with_what_to_do() {
        let (root, sysfs, bdf) = host();
        let elsewhere: Bdf = "0000:02:00.0".parse().unwrap();
        let says = |bdf: Bdf, words: &[&str]| {
            let said = check(bdf, &sysfs).unwrap_err().to_string();
            for word in words {
                assert!(said.contains(word), "no {word:?} in {said:?}");
            }
        };
        says(elsewhere, &["0000:02:00.0", "`ravelinctl devices`"]);
        says(bdf, &[BDF, "no IOMMU group", "firmware"]);
        let neighbour: Bdf = "0000:01:00.1".parse().unwrap();
        fs::create_dir_all(sysfs.device(neighbour)).unwrap();
        group(root.path(), &sysfs, &[bdf, neighbour]);
        says(bdf, &["no driver", "`ravelinctl bind 0000:01:00.0`"]);
        bind(&sysfs, bdf, DRIVER);
        check(bdf, &sysfs).unwrap();
        bind(&sysfs, neighbour, "snd_hda_intel");
        says(bdf, &["snd_hda_intel", "group 7", "`ravelinctl bind 0000:01:00.1`"]);
    }

    #[test]
    fn a_container_takes_as_many_mappings_as_the_kernel_says() {
        let (root, sysfs, _) = host();
        assert_eq!(sysfs.most_mappings(), None);
        let module = root.path().join("module/vfio_iommu_type1/parameters");
        fs::create_dir_all(&module).unwrap();
        fs::write(module.join("dma_entry_limit"), "1024\n").unwrap();
        assert_eq!(sysfs.most_mappings(), Some(1024));
    }
}
