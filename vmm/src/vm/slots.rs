//! Memory slots: which memory answers which guest-physical address.
//!
//! With a C-bit, an address that carries it reaches private memory and the same address without it
//! shared memory: two slots for each range.

// Registering memory with KVM is what makes it the guest's.
#![allow(unsafe_code)]

use super::Error;
use crate::memory::Memory;
use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::VmFd;
use vm_memory::{GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

/// Gives the VM its memory. `memory` must live as long as the VM runs, which [`Vm`](super::Vm)
/// sees to.
pub(super) fn insert(vm: &VmFd, memory: &Memory, c_bit: Option<u8>) -> Result<(), Error> {
    let mut next = 0;
    if let Some(c_bit) = c_bit {
        insert_all(vm, &mut next, memory.private(), 1 << c_bit)?;
    }
    insert_all(vm, &mut next, memory.shared(), 0)
}

fn insert_all(
    vm: &VmFd,
    next: &mut u32,
    memory: &GuestMemoryMmap,
    alias: u64,
) -> Result<(), Error> {
    for region in memory.iter() {
        let slot = kvm_userspace_memory_region {
            slot: *next,
            flags: 0,
            guest_phys_addr: region.start_addr().0 | alias,
            memory_size: region.len(),
            userspace_addr: region.as_ptr() as u64,
        };
        // SAFETY: the region is a mapping of its own that this process reads and writes only
        // through volatile accesses, and it stays mapped while vCPUs run: `Vm` owns both.
        unsafe { vm.set_user_memory_region(slot) }
            .map_err(|error| Error::Step("take a memory slot", error))?;
        *next += 1;
    }
    Ok(())
}
