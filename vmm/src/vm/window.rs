//! The shared windows of GPUs, as memory slots: a guest that touches one touches memory, without an
//! exit.
//!
//! Where a window may be is decided here: among the BARs, and over no other window, which KVM sees
//! to. So the guest cannot lay one over its own memory, its interrupt controllers or configuration
//! space, nor have a device reach anything there.

// Registering memory with KVM is what makes it the guest's.
#![allow(unsafe_code)]

use crate::memory::{self, shared_by_offset};
use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::VmFd;
use ravelin_devices::page_state::PAGE_SIZE;
use ravelin_devices::shared_window::{Refused, SharedWindow, Slot};
use ravelin_gpu_abi::SHARED_WINDOW_SIZE;
use std::ops::Range;
use std::sync::Arc;
use vm_memory::{GuestMemoryBackend, GuestMemoryMmap};

/// The first slot of windows. Guest memory has fewer than so many, and KVM more than all of them.
const FIRST_SLOT: u32 = 64;

/// A window for the GPU of this number, which is nowhere until the GPU's BAR is somewhere in `bars`.
pub(super) fn new(
    vm: Arc<VmFd>,
    number: u32,
    bars: Range<u64>,
) -> Result<SharedWindow, memory::Error> {
    let memory = shared_by_offset(SHARED_WINDOW_SIZE, c"ravelin-window")?;
    let slot = FIRST_SLOT + number;
    let slot = WindowSlot { vm, slot, bars, memory: memory.clone() };
    Ok(SharedWindow::new(memory, Box::new(slot)))
}

/// A memory slot and the memory that it shows.
struct WindowSlot {
    vm: Arc<VmFd>,
    slot: u32,
    bars: Range<u64>,
    memory: GuestMemoryMmap,
}

impl WindowSlot {
    /// Shows the first `length` bytes at an address. No bytes: takes the slot away.
    fn set(&self, address: u64, length: u64) -> Result<(), kvm_ioctls::Error> {
        let host = self.memory.iter().next().map_or(0, |region| region.as_ptr() as u64);
        let region = kvm_userspace_memory_region {
            slot: self.slot,
            flags: 0,
            guest_phys_addr: address,
            memory_size: length,
            userspace_addr: host,
        };
        // SAFETY: the memory is a mapping of its own that this process touches through volatile
        // accesses alone, and it stays mapped until the slot is gone: `self` holds it, and takes
        // the slot away when it goes.
        unsafe { self.vm.set_user_memory_region(region) }
    }
}

impl Slot for WindowSlot {
    fn map(&self, addresses: Range<u64>) -> Result<(), Refused> {
        let Range { start, end } = addresses;
        let inside = self.bars.start <= start && end <= self.bars.end;
        if !inside || !start.is_multiple_of(PAGE_SIZE) {
            return Err(Refused);
        }
        self.set(start, end - start).map_err(|error| {
            // The guest has put it over another one; it finds none there.
            tracing::warn!(%error, start, "shared window not placed");
            Refused
        })
    }

    fn unmap(&self) {
        if let Err(error) = self.set(0, 0) {
            tracing::error!(%error, "shared window not taken away");
        }
    }
}

impl Drop for WindowSlot {
    fn drop(&mut self) {
        // Fails where there is none.
        let _ = self.set(0, 0);
    }
}
