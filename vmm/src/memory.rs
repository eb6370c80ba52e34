//! Guest memory: where its bytes are, and which side of a page still has any.
//!
//! Where the platform keeps private and shared memory apart there are two of everything: a memfd,
//! a mapping and a set of memory slots each. Devices get [`Memory::shared`] and nothing else. Where
//! it does not, both are the same memory.
//!
//! A page that changes sides loses what stood on the side it left (the hole is punched), so that
//! nothing private is left behind and memory is held once. What stands on the side it enters is
//! not touched. Who may change sides is for [`PageStateMap`] to say.
//!
//! The private side stays out of core dumps. It may be in [`huge`] pages. Where the kernel keeps it for
//! the guest alone, [`confidential`] has what there is to have.

// `madvise` takes a raw address.
#![allow(unsafe_code)]

mod confidential;
mod huge;

pub use confidential::VmType;

use crate::platform::snp::kernel::{Kernel, Refusal};
use confidential::{Attributes, Confidential};
use huge::HugeMapping;
use ravelin_devices::page_state::{self, PageState, PageStateMap, Refused, Subscriber};
use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, ftruncate, memfd_create};
use rustix::mm::{Advice, madvise};
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use vm_memory::mmap::MmapRegionError;
use vm_memory::{
    FileOffset, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion,
    GuestRegionCollectionError, GuestRegionMmap, MmapRegion,
};

/// Why there is no guest memory.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel gave no memfd of that size.
    #[error("cannot make a memory file of {0} bytes")]
    File(u64, #[source] io::Error),
    /// The file could not be mapped.
    #[error("cannot map {0} bytes of guest memory")]
    Map(u64, #[source] MmapRegionError),
    /// The kernel would put private memory into a core dump.
    #[error("cannot keep private guest memory out of core dumps")]
    Dump(#[source] io::Error),
    /// The kernel gave no private memory of that size.
    #[error("cannot make {0} bytes of private memory")]
    GuestMemfd(u64, #[source] Refusal),
    /// KVM refuses a memory slot.
    #[error("KVM refused the memory slot at {0:#x}")]
    Slot(u64, #[source] Refusal),
    /// KVM does not tell private pages from shared ones.
    #[error("KVM did not take the state of the pages at {0:#x}")]
    Attributes(u64, #[source] Refusal),
    /// The ranges do not make an address space.
    #[error("guest memory ranges make no address space")]
    Regions(#[from] GuestRegionCollectionError),
    /// The ranges do not make a page-state map.
    #[error("guest memory ranges make no page-state map")]
    PageStates(#[from] page_state::Error),
}

/// A VM's memory.
pub struct Memory {
    private: PrivateSide,
    shared: GuestMemoryMmap,
    pages: Arc<PageStateMap>,
    split: bool,
}

/// Where private memory is.
enum PrivateSide {
    /// In this process too.
    Mapped(Private),
    #[allow(dead_code, reason = "vm.rs launches with it once images are there")]
    /// With the kernel, for the guest alone.
    Kernel(Arc<dyn Attributes>),
}

/// The private side.
#[derive(Clone)]
struct Private {
    memory: GuestMemoryMmap,
    /// What it lies in, where that is not files of its own.
    _mappings: Arc<[HugeMapping]>,
}

/// In what pages memory is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pages {
    /// Whatever the kernel gives.
    #[default]
    Any,
    /// Huge ones for private memory, or for all where nothing is private.
    Huge,
}

impl Memory {
    /// Memory for these ranges. `split`: private and shared pages are apart, and every page begins
    /// as private; otherwise all of it is shared.
    ///
    /// # Errors
    /// The kernel has no such memory to give.
    pub fn new(ranges: &[Range<u64>], split: bool, kind: Pages) -> Result<Memory, Error> {
        let (initial, private_name) = match split {
            true => (PageState::Private, c"ravelin-private"),
            false => (PageState::Shared, c"ravelin-memory"),
        };
        let pages = Arc::new(PageStateMap::new(ranges.iter().cloned(), initial)?);
        let private = match kind {
            Pages::Huge if split => Private::huge(ranges)?,
            _ => Private { memory: map(ranges, private_name)?, _mappings: Arc::new([]) },
        };
        if !split {
            if kind == Pages::Huge {
                advise(&private.memory, Advice::LinuxHugepage).unwrap_or_else(|errno| {
                    tracing::warn!(%errno, "no huge pages: the kernel has no transparent ones");
                });
            }
            let shared = private.memory.clone();
            return Ok(Memory { shared, private: PrivateSide::Mapped(private), pages, split });
        }
        advise(&private.memory, Advice::LinuxDontDump)
            .map_err(|errno| Error::Dump(errno.into()))?;
        let shared = map(ranges, c"ravelin-shared")?;
        pages.subscribe(Arc::new(Discard { private: private.clone(), shared: shared.clone() }))?;
        Ok(Memory { private: PrivateSide::Mapped(private), shared, pages, split })
    }

    #[allow(dead_code, reason = "vm.rs launches with it once images are there")]
    /// Memory whose private side is the kernel's, in slots of a VM of this type.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn of_kernel<K: Kernel + Send + Sync + 'static>(
        kernel: Arc<K>,
        ranges: &[Range<u64>],
        kind: VmType,
    ) -> Result<Memory, Error> {
        let pages = Arc::new(PageStateMap::new(ranges.iter().cloned(), kind.initial())?);
        let shared = map(ranges, c"ravelin-shared")?;
        let private = Arc::new(Confidential::new(kernel, shared.clone(), kind.initial())?);
        pages.subscribe(private.clone())?;
        Ok(Memory { private: PrivateSide::Kernel(private), shared, pages, split: true })
    }

    /// Where a guest is put before it begins: its private memory, or where this process does not have
    /// that, the shared side, from which a launch takes it. Never for a device.
    pub(crate) fn private(&self) -> &GuestMemoryMmap {
        match &self.private {
            PrivateSide::Mapped(private) => &private.memory,
            PrivateSide::Kernel(_) => &self.shared,
        }
    }

    #[allow(dead_code, reason = "vm.rs launches with it once images are there")]
    /// Gives back what a launch has copied into private memory. Nothing may be shared yet.
    pub(crate) fn forget_what_was_launched(&self) {
        debug_assert_eq!(self.pages.shared_pages(), 0);
        if let PrivateSide::Kernel(_) = self.private {
            for region in self.shared.iter() {
                let start = region.start_addr().0;
                punch(&self.shared, &(start..start + region.len()));
            }
        }
    }

    /// Tells KVM once more in which state these pages are by the map. For a guest that faults where
    /// map and guest agree, because KVM refused when it was told first.
    ///
    /// # Errors
    /// KVM refuses again, or the pages are not in one state.
    pub(crate) fn tell_again(&self, range: &Range<u64>, state: PageState) -> Result<(), Refusal> {
        let hold = self.pages.hold();
        let shared = hold.check_shared(range.start, range.end - range.start).is_ok();
        match &self.private {
            PrivateSide::Kernel(attributes) if shared == (state == PageState::Shared) => {
                attributes.apply(range, state)
            }
            _ => Err(Refusal { errno: libc::EINVAL, firmware: None }),
        }
    }

    /// What the guest reaches without the C-bit. Pages that are private read as zeros here.
    pub fn shared(&self) -> &GuestMemoryMmap {
        &self.shared
    }

    /// Whether private and shared pages are apart.
    pub fn is_split(&self) -> bool {
        self.split
    }

    /// Who may see which page now.
    pub fn pages(&self) -> &Arc<PageStateMap> {
        &self.pages
    }
}

/// Empties the side that a page has left.
struct Discard {
    private: Private,
    shared: GuestMemoryMmap,
}

impl Subscriber for Discard {
    fn before_private(&self, _: Range<u64>) -> Result<(), Refused> {
        Ok(())
    }

    fn after_private(&self, range: Range<u64>) {
        punch(&self.shared, &range);
    }

    fn after_shared(&self, range: Range<u64>) -> Result<(), Refused> {
        punch(&self.private.memory, &range);
        Ok(())
    }
}

impl Private {
    /// Private memory in huge pages, as far as the kernel has them.
    fn huge(ranges: &[Range<u64>]) -> Result<Self, Error> {
        let (mut mappings, mut regions) = (Vec::new(), Vec::new());
        for range in ranges {
            let length = range.end - range.start;
            let failed = |errno: rustix::io::Errno| Error::File(length, errno.into());
            let size = usize::try_from(length).map_err(|_| failed(rustix::io::Errno::NOMEM))?;
            let mapping = HugeMapping::new(size).map_err(failed)?;
            let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE);
            // SAFETY: the mapping is that long, and `Private` keeps it as long as the region.
            let region =
                unsafe { MmapRegion::build_raw(mapping.address(), size, protection, flags) };
            let region = region.map_err(|error| Error::Map(length, error))?;
            mappings.push(mapping);
            // The layout has checked that no range wraps.
            regions.push(
                GuestRegionMmap::new(region, GuestAddress(range.start))
                    .ok_or(Error::Regions(GuestRegionCollectionError::NoMemoryRegion))?,
            );
        }
        let memory = GuestMemoryMmap::from_regions(regions)?;
        Ok(Self { memory, _mappings: mappings.into() })
    }
}

/// So many bytes of memory that are no guest memory, by offset from 0.
pub(crate) fn shared_by_offset(length: u64, name: &CStr) -> Result<GuestMemoryMmap, Error> {
    map(std::slice::from_ref(&(0..length)), name)
}

fn map(ranges: &[Range<u64>], name: &CStr) -> Result<GuestMemoryMmap, Error> {
    let regions = ranges.iter().map(|range| {
        let length = range.end - range.start;
        let failed = |errno: rustix::io::Errno| Error::File(length, errno.into());
        let file = File::from(memfd_create(name, MemfdFlags::CLOEXEC).map_err(failed)?);
        ftruncate(&file, length).map_err(failed)?;
        let size = usize::try_from(length)
            .map_err(|_| Error::File(length, io::ErrorKind::FileTooLarge.into()))?;
        let region = MmapRegion::from_file(FileOffset::new(file, 0), size)
            .map_err(|error| Error::Map(length, error))?;
        // The layout has checked that no range wraps.
        GuestRegionMmap::new(region, GuestAddress(range.start))
            .ok_or(Error::Regions(GuestRegionCollectionError::NoMemoryRegion))
    });
    Ok(GuestMemoryMmap::from_regions(regions.collect::<Result<_, _>>()?)?)
}

fn advise(memory: &GuestMemoryMmap, advice: Advice) -> Result<(), rustix::io::Errno> {
    memory.iter().try_for_each(|region| {
        // SAFETY: the mapping is the region's own, whole, and the advice given here changes no byte.
        unsafe { madvise(region.as_ptr().cast(), region.size(), advice) }
    })
}

/// Gives the range's pages back to the kernel: they read as zeros from then on.
fn punch(memory: &GuestMemoryMmap, range: &Range<u64>) {
    let mut address = range.start;
    while address < range.end {
        let Some(region) = memory.find_region(GuestAddress(address)) else { return };
        let end = range.end.min(region.start_addr().0 + region.len());
        let (offset, length) = (address - region.start_addr().0, end - address);
        let emptied = match region.file_offset() {
            Some(file) => punch_file(file.file(), file.start() + offset, length),
            // SAFETY: the range lies in the region. It is the guest's, who has left these pages: that
            // they read as zeros from now on is what the call is for.
            None => unsafe {
                let start = region.as_ptr().wrapping_add(offset as usize);
                madvise(start.cast(), length as usize, Advice::LinuxDontNeed)
            },
        };
        if let Err(error) = emptied {
            // The page has changed sides all the same; what it left is only the guest's loss.
            tracing::warn!(%error, address, "stale page not discarded");
        }
        address = end;
    }
}

/// Gives a file's pages back to the kernel.
fn punch_file(file: &File, offset: u64, length: u64) -> Result<(), rustix::io::Errno> {
    fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, length)
}

#[cfg(test)]
mod tests;
