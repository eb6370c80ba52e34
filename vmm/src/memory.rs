//! Guest memory: where its bytes are, and which side of a page still has any.
//!
//! Where the platform keeps private and shared memory apart there are two of everything: a mapping,
//! of a memfd as a rule, and a set of memory slots each. Devices get [`Memory::shared`] and nothing else. Where
//! it does not, both are the same memory.
//!
//! A page that changes sides loses what stood on the side it left (the hole is punched), so that
//! nothing private is left behind and memory is held once. What stands on the side it enters is
//! not touched. Who may change sides is for [`PageStateMap`] to say.
//!
//! The private side stays out of core dumps. It may be asked for in huge pages, and then is
//! [`anonymous`] memory; so is memory that is not split, as whoever has it in small pages pays for it
//! with every page that a guest touches first. Where the kernel keeps the private side for the guest
//! alone, [`confidential`] has what there is to have.

// `madvise` takes a raw address.
#![allow(unsafe_code)]

mod anonymous;
mod confidential;

pub use confidential::VmType;

use crate::platform::snp::kernel::{Kernel, Refusal};
use confidential::{Attributes, Confidential};
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
    /// The kernel would give guest memory to children of this process.
    #[error("cannot keep guest memory to this process")]
    Fork(#[source] io::Error),
    /// The kernel gave no private memory of that size.
    #[error("cannot make {0} bytes of private memory: {fix}", fix = fix(.1))]
    GuestMemfd(u64, #[source] Refusal),
    /// KVM refuses a memory slot.
    #[error("KVM refused the memory slot at {0:#x}: {fix}", fix = fix(.1))]
    Slot(u64, #[source] Refusal),
    /// KVM does not tell private pages from shared ones.
    #[error("KVM did not take the state of the pages at {0:#x}: {fix}", fix = fix(.1))]
    Attributes(u64, #[source] Refusal),
    /// The ranges do not make an address space.
    #[error("guest memory ranges make no address space")]
    Regions(#[from] GuestRegionCollectionError),
    /// The ranges do not make a page-state map.
    #[error("guest memory ranges make no page-state map")]
    PageStates(#[from] page_state::Error),
}

/// What to do where KVM gives a confidential VM no memory.
fn fix(refusal: &Refusal) -> &'static str {
    match refusal.errno {
        libc::EMFILE | libc::ENFILE => "allow more open files (ulimit -n)",
        libc::ENOMEM | libc::ENOSPC => "give the host more memory, or end another guest",
        libc::ENOTTY | libc::EINVAL | libc::EOPNOTSUPP | libc::EPERM => "see `ravelin doctor snp`",
        _ => "see the kernel's log (dmesg | grep -i kvm)",
    }
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
    Mapped(GuestMemoryMmap),
    /// With the kernel, for the guest alone.
    Kernel(Arc<dyn Attributes>),
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
        let initial = if split { PageState::Private } else { PageState::Shared };
        let pages = Arc::new(PageStateMap::new(ranges.iter().cloned(), initial)?);
        let private = match kind {
            Pages::Any if split => map(ranges, c"ravelin-private")?,
            Pages::Any | Pages::Huge => collect(ranges, |length, size| {
                anonymous::map(size).map_err(|error| Error::Map(length, error))
            })?,
        };
        if kind == Pages::Huge {
            advise(&private, Advice::LinuxHugepage).unwrap_or_else(|errno| {
                tracing::warn!(%errno, "no huge pages: the kernel has no transparent ones");
            });
        }
        if !split {
            // No child of this process has a use for it. And mappings of one kind that touch become one:
            // guest memory and the stack of a thread, which would then be given a huge page.
            advise(&private, Advice::LinuxDontFork).map_err(|errno| Error::Fork(errno.into()))?;
            let shared = private.clone();
            return Ok(Memory { shared, private: PrivateSide::Mapped(private), pages, split });
        }
        advise(&private, Advice::LinuxDontDump).map_err(|errno| Error::Dump(errno.into()))?;
        let shared = map(ranges, c"ravelin-shared")?;
        pages.subscribe(Arc::new(Discard { private: private.clone(), shared: shared.clone() }))?;
        Ok(Memory { private: PrivateSide::Mapped(private), shared, pages, split })
    }

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
            PrivateSide::Mapped(private) => private,
            PrivateSide::Kernel(_) => &self.shared,
        }
    }

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
    private: GuestMemoryMmap,
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
        punch(&self.private, &range);
        Ok(())
    }
}

/// So many bytes of memory that are no guest memory, by offset from 0.
pub(crate) fn shared_by_offset(length: u64, name: &CStr) -> Result<GuestMemoryMmap, Error> {
    map(std::slice::from_ref(&(0..length)), name)
}

fn map(ranges: &[Range<u64>], name: &CStr) -> Result<GuestMemoryMmap, Error> {
    collect(ranges, |length, size| {
        let failed = |errno: rustix::io::Errno| Error::File(length, errno.into());
        let file = File::from(memfd_create(name, MemfdFlags::CLOEXEC).map_err(failed)?);
        ftruncate(&file, length).map_err(failed)?;
        MmapRegion::from_file(FileOffset::new(file, 0), size)
            .map_err(|error| Error::Map(length, error))
    })
}

/// Memory that has a region for each range, made from its length.
fn collect(
    ranges: &[Range<u64>],
    make: impl Fn(u64, usize) -> Result<MmapRegion, Error>,
) -> Result<GuestMemoryMmap, Error> {
    let regions = ranges.iter().map(|range| {
        let length = range.end - range.start;
        let size = usize::try_from(length)
            .map_err(|_| Error::File(length, io::ErrorKind::FileTooLarge.into()))?;
        // The layout has checked that no range wraps.
        GuestRegionMmap::new(make(length, size)?, GuestAddress(range.start))
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
