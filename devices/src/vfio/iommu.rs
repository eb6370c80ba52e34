//! I/O address spaces of the kernel's: a container of the group interface, and one of an iommufd.

use super::dma::Iommu;
use super::uapi;
use iommufd_bindings::iommufd as sys;
use iommufd_ioctls::{IommuFd, IommufdError};
use std::fs::File;
use std::io;
use std::mem::size_of;
use std::sync::Arc;

/// Mappings of a container, where the kernel does not say otherwise.
const TYPE1_LIMIT: u64 = 65_535;

/// A container with a type 1 IOMMU.
pub(super) struct Container {
    file: Arc<File>,
    limit: u64,
}

impl Container {
    /// One that takes so many mappings, if the kernel has said it.
    pub(super) fn new(file: Arc<File>, limit: Option<u64>) -> Self {
        Self { file, limit: limit.unwrap_or(TYPE1_LIMIT) }
    }
}

impl Iommu for Container {
    fn map(&self, iova: u64, host: u64, length: u64) -> io::Result<()> {
        uapi::map_dma(&self.file, iova, host, length)
    }

    fn unmap(&self, iova: u64, length: u64) -> io::Result<()> {
        match uapi::unmap_dma(&self.file, iova, length)? {
            unmapped if unmapped == length => Ok(()),
            unmapped => {
                Err(io::Error::other(format!("{unmapped:#x} of {length:#x} bytes unmapped")))
            }
        }
    }

    fn limit(&self) -> u64 {
        self.limit
    }
}

/// An I/O address space of an iommufd.
pub(super) struct AddressSpace {
    iommufd: IommuFd,
    id: u32,
}

impl AddressSpace {
    /// An empty one.
    pub(super) fn new(iommufd: File) -> io::Result<Self> {
        let iommufd = IommuFd::new_from_fd(iommufd);
        let mut alloc = sys::iommu_ioas_alloc {
            size: size_of::<sys::iommu_ioas_alloc>() as u32,
            flags: 0,
            out_ioas_id: 0,
        };
        iommufd.alloc_iommu_ioas(&mut alloc).map_err(reason)?;
        Ok(Self { iommufd, id: alloc.out_ioas_id })
    }

    /// Its id.
    pub(super) fn id(&self) -> u32 {
        self.id
    }
}

impl Iommu for AddressSpace {
    fn map(&self, iova: u64, host: u64, length: u64) -> io::Result<()> {
        let map = sys::iommu_ioas_map {
            size: size_of::<sys::iommu_ioas_map>() as u32,
            flags: sys::iommufd_ioas_map_flags_IOMMU_IOAS_MAP_FIXED_IOVA
                | sys::iommufd_ioas_map_flags_IOMMU_IOAS_MAP_READABLE
                | sys::iommufd_ioas_map_flags_IOMMU_IOAS_MAP_WRITEABLE,
            ioas_id: self.id,
            __reserved: 0,
            user_va: host,
            length,
            iova,
        };
        self.iommufd.map_iommu_ioas(&map).map_err(reason)
    }

    fn unmap(&self, iova: u64, length: u64) -> io::Result<()> {
        let size = size_of::<sys::iommu_ioas_unmap>() as u32;
        let mut unmap = sys::iommu_ioas_unmap { size, ioas_id: self.id, iova, length };
        self.iommufd.unmap_iommu_ioas(&mut unmap).map_err(reason)
    }

    fn limit(&self) -> u64 {
        // Memory alone limits it.
        u64::from(u32::MAX)
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        // Still in use where the device has not been closed; it goes with the iommufd then.
        let _ = self.iommufd.destroy_iommu_object(self.id);
    }
}

/// The kernel's reason.
fn reason(error: IommufdError) -> io::Error {
    match error {
        IommufdError::IommuIoasAlloc(errno)
        | IommufdError::IommuIoasMap(errno)
        | IommufdError::IommuIoasUnmap(errno) => io::Error::from_raw_os_error(errno.errno()),
        other => io::Error::other(other),
    }
}
