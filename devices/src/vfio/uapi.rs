//! The VFIO and iommufd calls of the kernel (`linux/vfio.h`, `linux/iommufd.h`) as functions with
//! results, nothing more.
//!
//! Ours and not `vfio-ioctls`: of that crate `reset` has no result, reads and writes of regions only
//! log, nothing resets a bus, and no file descriptor can be handed in. Structures are
//! `vfio-bindings`'; those that end in an array are built as words here. The calls on `/dev/iommu` are
//! `iommufd-ioctls`'.

// Calls of the kernel.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::raw::{c_int, c_ulong};
use std::os::unix::fs::FileExt;
use vfio_bindings::bindings::vfio as sys;
use vmm_sys_util::ioctl::{ioctl, ioctl_with_mut_ref, ioctl_with_ref, ioctl_with_val};
use vmm_sys_util::ioctl_io_nr;

mod number {
    #![allow(missing_docs)]
    use super::{ioctl_io_nr, sys};

    macro_rules! vfio {
        ($($name:ident = $number:literal;)*) => {
            $(ioctl_io_nr!($name, sys::VFIO_TYPE as u32, sys::VFIO_BASE + $number);)*
        };
    }
    vfio! {
        GET_API_VERSION = 0;
        CHECK_EXTENSION = 1;
        SET_IOMMU = 2;
        GROUP_GET_STATUS = 3;
        GROUP_SET_CONTAINER = 4;
        GROUP_GET_DEVICE_FD = 6;
        DEVICE_GET_INFO = 7;
        DEVICE_GET_REGION_INFO = 8;
        DEVICE_GET_IRQ_INFO = 9;
        DEVICE_SET_IRQS = 10;
        DEVICE_RESET = 11;
        DEVICE_GET_PCI_HOT_RESET_INFO = 12;
        DEVICE_PCI_HOT_RESET = 13;
        IOMMU_MAP_DMA = 13;
        IOMMU_UNMAP_DMA = 14;
        DEVICE_BIND_IOMMUFD = 18;
        DEVICE_ATTACH_IOMMUFD_PT = 19;
    }
}

/// The type 1 interface, second version: an unmap takes whole mappings.
pub(super) const TYPE1_V2: u32 = sys::VFIO_TYPE1v2_IOMMU;
/// A group whose devices are all VFIO's or nobody's.
pub(super) const GROUP_VIABLE: u32 = sys::VFIO_GROUP_FLAGS_VIABLE;
/// A device whose function can be reset.
pub(super) const DEVICE_RESETS: u32 = sys::VFIO_DEVICE_FLAGS_RESET;
/// A device on a PCI bus.
pub(super) const DEVICE_PCI: u32 = sys::VFIO_DEVICE_FLAGS_PCI;
/// MSI's interrupt index.
pub(super) const MSI: u32 = sys::VFIO_PCI_MSI_IRQ_INDEX;
/// MSI-X's interrupt index.
pub(super) const MSIX: u32 = sys::VFIO_PCI_MSIX_IRQ_INDEX;
/// The interrupt index of the host's wish to have the device back.
pub(super) const REQUEST: u32 = sys::VFIO_PCI_REQ_IRQ_INDEX;
/// Most words of an answer about neighbours: 255 functions and more, at 2 words each.
const HOT_RESET_WORDS: usize = 3 + 2 * 1024;

fn done(result: c_int) -> io::Result<u32> {
    u32::try_from(result).map_err(|_| io::Error::last_os_error())
}

fn plain(file: &File, number: c_ulong) -> io::Result<u32> {
    // SAFETY: the call takes no memory.
    done(unsafe { ioctl(file, number) })
}

fn value(file: &File, number: c_ulong, value: u32) -> io::Result<u32> {
    // SAFETY: the call takes a number.
    done(unsafe { ioctl_with_val(file, number, value.into()) })
}

fn tell<T>(file: &File, number: c_ulong, argument: &T) -> io::Result<u32> {
    // SAFETY: each caller below passes the structure that the call reads; `argsz` in it is its size.
    done(unsafe { ioctl_with_ref(file, number, argument) })
}

fn ask<T>(file: &File, number: c_ulong, argument: &mut T) -> io::Result<u32> {
    // SAFETY: each caller below passes the structure that the call fills; `argsz` in it is its size,
    // and the kernel writes no more than so much.
    done(unsafe { ioctl_with_mut_ref(file, number, argument) })
}

/// The words of a structure that ends in an array, and how many bytes they are.
fn words(parts: &[&[u32]]) -> Vec<u32> {
    let mut words = vec![0];
    parts.iter().for_each(|part| words.extend_from_slice(part));
    let size = words.len() * size_of::<u32>();
    if let (Some(first), Ok(size)) = (words.first_mut(), u32::try_from(size)) {
        *first = size;
    }
    words
}

fn tell_words(file: &File, number: c_ulong, words: &[u32]) -> io::Result<u32> {
    // SAFETY: the first word is the size of all of them, and the call reads no more.
    done(unsafe { vmm_sys_util::ioctl::ioctl_with_ptr(file, number, words.as_ptr()) })
}

/// A descriptor of this process's own for one that it was handed.
pub(super) fn adopt(number: RawFd) -> io::Result<File> {
    // SAFETY: any number may be asked about.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was made a moment ago and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) }.into())
}

/// The version of a container's interface.
pub(super) fn api_version(container: &File) -> io::Result<u32> {
    plain(container, number::GET_API_VERSION())
}

/// Whether a container knows a kind of IOMMU.
pub(super) fn has_iommu(container: &File, kind: u32) -> io::Result<bool> {
    Ok(value(container, number::CHECK_EXTENSION(), kind)? > 0)
}

/// Gives a container with a group in it its IOMMU.
pub(super) fn set_iommu(container: &File, kind: u32) -> io::Result<()> {
    value(container, number::SET_IOMMU(), kind).map(drop)
}

/// A group's flags.
pub(super) fn group_flags(group: &File) -> io::Result<u32> {
    let mut status = sys::vfio_group_status { argsz: 8, flags: 0 };
    ask(group, number::GROUP_GET_STATUS(), &mut status)?;
    Ok(status.flags)
}

/// Puts a group into a container.
pub(super) fn set_container(group: &File, container: &File) -> io::Result<()> {
    tell(group, number::GROUP_SET_CONTAINER(), &container.as_raw_fd()).map(drop)
}

/// Opens a device of a group's.
pub(super) fn group_device(group: &File, bdf: &std::ffi::CStr) -> io::Result<File> {
    // SAFETY: the call reads the name up to its end.
    let fd = done(unsafe {
        vmm_sys_util::ioctl::ioctl_with_ptr(group, number::GROUP_GET_DEVICE_FD(), bdf.as_ptr())
    })?;
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the call has made the descriptor and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) }.into())
}

/// Puts a device under an iommufd's rule; its id there.
pub(super) fn bind(device: &File, iommufd: &File) -> io::Result<u32> {
    let mut bind = sys::vfio_device_bind_iommufd {
        // Without the token, which older kernels do not have.
        argsz: 16,
        flags: 0,
        iommufd: iommufd.as_raw_fd(),
        out_devid: 0,
        token_uuid_ptr: 0,
    };
    ask(device, number::DEVICE_BIND_IOMMUFD(), &mut bind)?;
    Ok(bind.out_devid)
}

/// Puts a device into an I/O address space.
pub(super) fn attach(device: &File, ioas: u32) -> io::Result<()> {
    let mut attach = sys::vfio_device_attach_iommufd_pt {
        // Without the PASID, which older kernels do not have.
        argsz: 12,
        flags: 0,
        pt_id: ioas,
        pasid: 0,
    };
    ask(device, number::DEVICE_ATTACH_IOMMUFD_PT(), &mut attach).map(drop)
}

/// A device's flags.
pub(super) fn device_flags(device: &File) -> io::Result<u32> {
    let mut info = sys::vfio_device_info {
        argsz: size_of::<sys::vfio_device_info>() as u32,
        flags: 0,
        num_regions: 0,
        num_irqs: 0,
        cap_offset: 0,
        pad: 0,
    };
    ask(device, number::DEVICE_GET_INFO(), &mut info)?;
    Ok(info.flags)
}

/// A region: flags, bytes, and where it is in the device's file.
pub(super) fn region(device: &File, index: u32) -> io::Result<(bool, u64, u64)> {
    let mut info = sys::vfio_region_info {
        argsz: size_of::<sys::vfio_region_info>() as u32,
        flags: 0,
        index,
        cap_offset: 0,
        size: 0,
        offset: 0,
    };
    ask(device, number::DEVICE_GET_REGION_INFO(), &mut info)?;
    Ok((info.flags & sys::VFIO_REGION_INFO_FLAG_MMAP != 0, info.size, info.offset))
}

/// How many interrupts of an index a device has.
pub(super) fn interrupts(device: &File, index: u32) -> io::Result<u32> {
    let mut info = sys::vfio_irq_info { argsz: 16, flags: 0, index, count: 0 };
    ask(device, number::DEVICE_GET_IRQ_INFO(), &mut info)?;
    Ok(info.count)
}

/// Has events written for a device's interrupts, from the first on. No events: turns the index off.
pub(super) fn set_interrupts(device: &File, index: u32, events: &[RawFd]) -> io::Result<()> {
    let data = match events {
        [] => sys::VFIO_IRQ_SET_DATA_NONE,
        _ => sys::VFIO_IRQ_SET_DATA_EVENTFD,
    };
    let flags = data | sys::VFIO_IRQ_SET_ACTION_TRIGGER;
    let count = u32::try_from(events.len()).map_err(io::Error::other)?;
    let events: Vec<u32> = events.iter().map(|event| event.cast_unsigned()).collect();
    let words = words(&[&[flags, index, 0, count], &events]);
    tell_words(device, number::DEVICE_SET_IRQS(), &words).map(drop)
}

/// Resets a function.
pub(super) fn reset(device: &File) -> io::Result<()> {
    plain(device, number::DEVICE_RESET()).map(drop)
}

/// A function that a bus reset reaches: its group or iommufd id, and its address.
pub(super) struct Dependent {
    pub(super) id: u32,
    pub(super) segment: u16,
    pub(super) bus: u8,
    pub(super) devfn: u8,
}

/// Everyone that a bus reset reaches. Whether their ids are those of one iommufd, and all of them
/// are ours there.
pub(super) fn dependents(device: &File) -> io::Result<(Option<bool>, Vec<Dependent>)> {
    let mut answer = vec![0u32; HOT_RESET_WORDS];
    answer[0] = (HOT_RESET_WORDS * size_of::<u32>()) as u32;
    // SAFETY: the first word is the size of all of them, and the kernel writes no more.
    done(unsafe {
        let number = number::DEVICE_GET_PCI_HOT_RESET_INFO();
        vmm_sys_util::ioctl::ioctl_with_mut_ptr(device, number, answer.as_mut_ptr())
    })?;
    let (flags, count) = (answer[1], answer[2] as usize);
    let by_device = flags & sys::VFIO_PCI_HOT_RESET_FLAG_DEV_ID != 0;
    let owned = flags & sys::VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED != 0;
    let dependents = answer[3..].chunks_exact(2).take(count).map(|words| {
        let [segment_low, segment_high, bus, devfn] = words[1].to_le_bytes();
        Dependent {
            id: words[0],
            segment: u16::from_le_bytes([segment_low, segment_high]),
            bus,
            devfn,
        }
    });
    Ok((by_device.then_some(owned), dependents.collect()))
}

/// Resets a bus. The groups that prove that its devices are ours; none under an iommufd.
pub(super) fn reset_bus(device: &File, groups: &[RawFd]) -> io::Result<()> {
    let count = u32::try_from(groups.len()).map_err(io::Error::other)?;
    let groups: Vec<u32> = groups.iter().map(|group| group.cast_unsigned()).collect();
    let words = words(&[&[0, count], &groups]);
    tell_words(device, number::DEVICE_PCI_HOT_RESET(), &words).map(drop)
}

/// Maps memory of this process in a container.
pub(super) fn map_dma(container: &File, iova: u64, host: u64, length: u64) -> io::Result<()> {
    let map = sys::vfio_iommu_type1_dma_map {
        argsz: size_of::<sys::vfio_iommu_type1_dma_map>() as u32,
        flags: sys::VFIO_DMA_MAP_FLAG_READ | sys::VFIO_DMA_MAP_FLAG_WRITE,
        vaddr: host,
        iova,
        size: length,
    };
    tell(container, number::IOMMU_MAP_DMA(), &map).map(drop)
}

/// Takes mappings of a container away; how many bytes they were.
pub(super) fn unmap_dma(container: &File, iova: u64, length: u64) -> io::Result<u64> {
    let mut unmap = sys::vfio_iommu_type1_dma_unmap {
        argsz: size_of::<sys::vfio_iommu_type1_dma_unmap>() as u32,
        iova,
        size: length,
        ..Default::default()
    };
    ask(container, number::IOMMU_UNMAP_DMA(), &mut unmap)?;
    Ok(unmap.size)
}

/// Reads a device's file, all of `data`.
pub(super) fn read(device: &File, at: u64, data: &mut [u8]) -> io::Result<()> {
    device.read_exact_at(data, at)
}

/// Writes a device's file, all of `data`.
pub(super) fn write(device: &File, at: u64, data: &[u8]) -> io::Result<()> {
    device.write_all_at(data, at)
}
