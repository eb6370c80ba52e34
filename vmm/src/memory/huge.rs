//! Memory in huge pages: anonymous, and at addresses that a huge page may have.
//!
//! KVM maps guest memory in pages of 2 MiB where the host's memory is such a page and both addresses
//! are aligned alike. The kernel is asked for huge pages, not made to give them: where it has none,
//! or transparent huge pages are off, memory is the same in small pages.

// Mappings are raw addresses.
#![allow(unsafe_code)]

use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use std::ffi::c_void;
use std::ptr;

/// Bytes of a huge page.
const HUGE: usize = 2 << 20;

/// An anonymous mapping at a multiple of 2 MiB; unmapped when dropped.
pub(super) struct HugeMapping {
    address: *mut c_void,
    length: usize,
}

// SAFETY: the mapping belongs to no thread, and this type itself does not touch its bytes.
unsafe impl Send for HugeMapping {}
// SAFETY: as above.
unsafe impl Sync for HugeMapping {}

impl HugeMapping {
    /// Maps so many bytes, a multiple of the page size, zeroed and without reserve.
    pub(super) fn new(length: usize) -> Result<Self, Errno> {
        let reserved = length.checked_add(HUGE).ok_or(Errno::NOMEM)?;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice replaces none.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), reserved, protection, flags) }?;
        let head = start.addr().next_multiple_of(HUGE) - start.addr();
        let address = start.wrapping_byte_add(head);
        let mapping = Self { address, length };
        if head > 0 {
            // SAFETY: these bytes are in front of the part that is kept, and nobody knows them.
            unsafe { munmap(start, head) }?;
        }
        // SAFETY: as above, behind it.
        unsafe { munmap(address.wrapping_byte_add(length), reserved - head - length) }?;
        // SAFETY: the mapping is ours, and this advice changes no byte of it.
        if let Err(error) = unsafe { madvise(address, length, Advice::LinuxHugepage) } {
            tracing::warn!(%error, "no huge pages: the kernel has no transparent ones");
        }
        Ok(mapping)
    }

    /// The first byte.
    pub(super) fn address(&self) -> *mut u8 {
        self.address.cast()
    }
}

impl Drop for HugeMapping {
    fn drop(&mut self) {
        // SAFETY: `Memory` keeps this as long as anything that refers to the mapping.
        let unmapped = unsafe { munmap(self.address, self.length) };
        debug_assert!(unmapped.is_ok());
    }
}
