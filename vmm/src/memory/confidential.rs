//! Private memory that this process does not have: a guest_memfd behind every slot, and memory
//! attributes that say which side of a page the guest reaches.
//!
//! Who may convert is for [`PageStateMap`](super::PageStateMap) to say; here KVM and the two memories
//! follow it. A page that goes private: KVM lets go of its shared side (attribute), devices let go of
//! it (their business), then its shared memory is given back. A page that goes shared: KVM lets go of
//! its private side, then that is given back. So a page is held once, and never has two sides.
//!
//! The type of VM decides nothing but how memory begins: an SNP guest is launched into private memory,
//! a software-protected VM boots in shared memory and converts it itself, since nothing can be put into
//! its private memory from outside.

// A slot names memory by its address in this process.
#![allow(unsafe_code)]

use super::{Error, punch, punch_file};
use crate::platform::snp::kernel::{Kernel, Refusal};
use kvm_bindings::{
    KVM_MEM_GUEST_MEMFD, KVM_MEMORY_ATTRIBUTE_PRIVATE, KVM_X86_SNP_VM, KVM_X86_SW_PROTECTED_VM,
    kvm_memory_attributes, kvm_userspace_memory_region2,
};
use ravelin_devices::page_state::{PageState, Refused, Subscriber};
use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use vm_memory::{GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

/// A type of VM whose private memory is the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum VmType {
    /// `KVM_X86_SW_PROTECTED_VM`: what KVM's developers, and `cargo rig snp-memory`, test with.
    SoftwareProtected = KVM_X86_SW_PROTECTED_VM,
    /// `KVM_X86_SNP_VM`.
    Snp = KVM_X86_SNP_VM,
}

impl VmType {
    /// The state that every page begins in.
    pub fn initial(self) -> PageState {
        match self {
            VmType::SoftwareProtected => PageState::Shared,
            VmType::Snp => PageState::Private,
        }
    }
}

/// The private side of a VM's memory.
pub(super) struct Confidential<K> {
    kernel: Arc<K>,
    /// A guest_memfd for each range, from its first byte on.
    private: Vec<(Range<u64>, File)>,
    shared: GuestMemoryMmap,
}

impl<K: Kernel> Confidential<K> {
    /// Makes private memory for each region of `shared`, gives both to the VM, and tells KVM in which
    /// state all of it begins.
    pub(super) fn new(
        kernel: Arc<K>,
        shared: GuestMemoryMmap,
        initial: PageState,
    ) -> Result<Self, Error> {
        let mut private = Vec::with_capacity(shared.num_regions());
        for (slot, region) in (0..).zip(shared.iter()) {
            let (start, bytes) = (region.start_addr().0, region.len());
            let file = kernel
                .create_guest_memfd(bytes)
                .map_err(|refusal| Error::GuestMemfd(bytes, refusal))?;
            let description = kvm_userspace_memory_region2 {
                slot,
                flags: KVM_MEM_GUEST_MEMFD,
                guest_phys_addr: start,
                memory_size: bytes,
                userspace_addr: region.as_ptr().expose_provenance() as u64,
                guest_memfd_offset: 0,
                // A descriptor in use is not negative.
                guest_memfd: file.as_raw_fd() as u32,
                ..Default::default()
            };
            // SAFETY: the mapping is guest memory's, which this process touches through volatile
            // accesses alone, and whoever runs vCPUs keeps the memory.
            unsafe { kernel.set_region(&description) }
                .map_err(|refusal| Error::Slot(start, refusal))?;
            // The layout has checked that no range wraps.
            private.push((start..start + bytes, File::from(file)));
        }
        let all = Self { kernel, private, shared };
        if initial == PageState::Private {
            for (range, _) in &all.private {
                all.set(range, PageState::Private)
                    .map_err(|refusal| Error::Attributes(range.start, refusal))?;
            }
        }
        Ok(all)
    }

    /// Tells KVM which side the guest reaches.
    pub(super) fn set(&self, range: &Range<u64>, state: PageState) -> Result<(), Refusal> {
        let attributes = match state {
            PageState::Private => u64::from(KVM_MEMORY_ATTRIBUTE_PRIVATE),
            PageState::Shared => 0,
        };
        let (address, size) = (range.start, range.end - range.start);
        self.kernel.set_attributes(&kvm_memory_attributes { address, size, attributes, flags: 0 })
    }

    /// Gives private pages back to the kernel.
    fn discard_private(&self, range: &Range<u64>) {
        for (slot, file) in &self.private {
            let part = range.start.max(slot.start)..range.end.min(slot.end);
            if part.start < part.end
                && let Err(error) = punch_file(file, part.start - slot.start, part.end - part.start)
            {
                tracing::warn!(%error, address = part.start, "stale private page not discarded");
            }
        }
    }
}

/// What a [`Memory`](super::Memory) keeps of it: the way to tell KVM once more.
pub(super) trait Attributes: Send + Sync {
    /// Tells KVM which side the guest reaches.
    fn apply(&self, range: &Range<u64>, state: PageState) -> Result<(), Refusal>;
}

impl<K: Kernel + Send + Sync> Attributes for Confidential<K> {
    fn apply(&self, range: &Range<u64>, state: PageState) -> Result<(), Refusal> {
        self.set(range, state)
    }
}

impl<K: Kernel + Send + Sync> Subscriber for Confidential<K> {
    fn before_private(&self, range: Range<u64>) -> Result<(), Refused> {
        self.set(&range, PageState::Private).map_err(|error| {
            tracing::warn!(%error, address = range.start, "KVM did not make pages private");
            Refused
        })
    }

    fn after_private(&self, range: Range<u64>) {
        punch(&self.shared, &range);
    }

    fn after_shared(&self, range: Range<u64>) -> Result<(), Refused> {
        // A refusal leaves the pages private, with all that is on them.
        self.set(&range, PageState::Shared).map_err(|error| {
            tracing::warn!(%error, address = range.start, "KVM did not make pages shared");
            Refused
        })?;
        self.discard_private(&range);
        Ok(())
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod snp_memory;
