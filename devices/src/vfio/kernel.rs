//! A device that the kernel's VFIO has opened for us.

// A region's mapping is memory that a device writes.
#![allow(unsafe_code)]

use super::hardware::{BusNeighbour, Hardware, InterruptKind, Mapping, Region, RegionIndex};
use super::sysfs::{Bdf, Sysfs};
use super::uapi;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;
use std::sync::Arc;
use vmm_sys_util::eventfd::EventFd;

/// How a device came to us, which is also how we prove that its neighbours are ours.
pub(super) enum Ownership {
    /// Through its IOMMU group.
    Group {
        /// The group's number.
        number: u32,
        /// The group, open.
        group: File,
        /// The container that it is in.
        _container: Arc<File>,
    },
    /// Through an iommufd. The kernel knows what else it has.
    Iommufd,
}

/// A device.
pub(super) struct KernelDevice {
    bdf: String,
    device: File,
    /// After the device: it is closed first.
    ownership: Ownership,
    resettable: bool,
    /// Where each region is in the device's file.
    offsets: [u64; REGIONS as usize],
}

/// BARs, expansion ROM, configuration space.
const REGIONS: u32 = 8;

impl KernelDevice {
    pub(super) fn new(bdf: String, device: File, ownership: Ownership) -> io::Result<Self> {
        let flags = uapi::device_flags(&device)?;
        if flags & uapi::DEVICE_PCI == 0 {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "no PCI device"));
        }
        let mut offsets = [0; REGIONS as usize];
        for (index, offset) in (0..).zip(&mut offsets) {
            // A region that the device does not have may be an error here; its size is 0 later.
            *offset = uapi::region(&device, index).map_or(0, |(_, _, offset)| offset);
        }
        let resettable = flags & uapi::DEVICE_RESETS != 0;
        Ok(Self { bdf, device, ownership, resettable, offsets })
    }

    /// Where an access is in the device's file.
    fn at(&self, index: RegionIndex, offset: u64) -> io::Result<u64> {
        let region = self.offsets.get(index as usize).copied();
        region.and_then(|start| start.checked_add(offset)).ok_or(io::ErrorKind::InvalidInput.into())
    }

    fn is_ours(&self, dependent: &uapi::Dependent, all_owned: Option<bool>) -> bool {
        match (&self.ownership, all_owned) {
            // Either the kernel says of all at once that they are ours, or it marks who is not.
            (Ownership::Iommufd, Some(owned)) => owned || dependent.id != u32::MAX,
            (Ownership::Group { number, .. }, _) => dependent.id == *number,
            (Ownership::Iommufd, None) => false,
        }
    }
}

impl Hardware for KernelDevice {
    fn bdf(&self) -> &str {
        &self.bdf
    }

    fn region(&self, index: RegionIndex) -> io::Result<Region> {
        let (mappable, size, _) = uapi::region(&self.device, index)?;
        Ok(Region { size, mappable })
    }

    fn read(&self, index: RegionIndex, offset: u64, data: &mut [u8]) -> io::Result<()> {
        uapi::read(&self.device, self.at(index, offset)?, data)
    }

    fn write(&self, index: RegionIndex, offset: u64, data: &[u8]) -> io::Result<()> {
        uapi::write(&self.device, self.at(index, offset)?, data)
    }

    fn map(&self, index: RegionIndex, offset: u64, length: u64) -> io::Result<Mapping> {
        let size = usize::try_from(length).map_err(io::Error::other)?;
        let at = self.at(index, offset)?;
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: a new mapping at an address of the kernel's choice. Nothing in this process
        // touches it: it is for the guest's memory slots.
        let place = unsafe { mmap(ptr::null_mut(), size, protection, flags, &self.device, at) }?;
        let owner = Mapped { address: place as usize, size };
        Ok(Mapping { host: place as u64, length, owner: Box::new(owner) })
    }

    fn interrupts(&self, kind: InterruptKind) -> io::Result<u32> {
        uapi::interrupts(&self.device, index_of(kind))
    }

    fn set_interrupts(&self, kind: InterruptKind, events: &[Arc<EventFd>]) -> io::Result<()> {
        let events: Vec<RawFd> = events.iter().map(|event| event.as_raw_fd()).collect();
        uapi::set_interrupts(&self.device, index_of(kind), &events)
    }

    fn on_release_request(&self, event: &EventFd) -> io::Result<()> {
        uapi::set_interrupts(&self.device, uapi::REQUEST, &[event.as_raw_fd()])
    }

    fn resettable(&self) -> bool {
        self.resettable
    }

    fn reset(&self) -> io::Result<()> {
        uapi::reset(&self.device)
    }

    fn bus_neighbours(&self) -> io::Result<Vec<BusNeighbour>> {
        let (all_owned, dependents) = uapi::dependents(&self.device)?;
        let neighbours = dependents.iter().map(|dependent| {
            let (device, function) = (dependent.devfn >> 3, dependent.devfn & 7);
            let bdf = Bdf { domain: dependent.segment, bus: dependent.bus, device, function };
            let bdf = bdf.to_string();
            let ours = bdf == self.bdf || self.is_ours(dependent, all_owned);
            BusNeighbour { bdf, ours }
        });
        Ok(neighbours.collect())
    }

    fn reset_bus(&self) -> io::Result<()> {
        match &self.ownership {
            Ownership::Group { group, .. } => uapi::reset_bus(&self.device, &[group.as_raw_fd()]),
            Ownership::Iommufd => uapi::reset_bus(&self.device, &[]),
        }
    }
}

fn index_of(kind: InterruptKind) -> u32 {
    match kind {
        InterruptKind::Msi => uapi::MSI,
        InterruptKind::MsiX => uapi::MSIX,
    }
}

/// A mapping, taken away when it goes.
struct Mapped {
    address: usize,
    size: usize,
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, whole, and whoever had its address has let go of it:
        // the memory slots that show it go before it does.
        if let Err(error) = unsafe { munmap(self.address as *mut _, self.size) } {
            tracing::error!(%error, "a BAR's mapping stays");
        }
    }
}

impl Ownership {
    /// The interface's name.
    pub(super) fn interface(&self) -> super::attach::Interface {
        match self {
            Ownership::Group { .. } => super::attach::Interface::Group,
            Ownership::Iommufd => super::attach::Interface::Cdev,
        }
    }
}

/// What a device's BDF is by its file, where sysfs is there to ask.
pub(super) fn address_of(device: &File, sysfs: &Sysfs) -> Option<Bdf> {
    sysfs.of_file(device).ok().flatten()
}
