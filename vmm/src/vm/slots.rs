//! Memory slots: which memory answers which guest-physical address.
//!
//! With a C-bit, an address that carries it reaches private memory and the same address without it
//! shared memory: two slots for each range. A Linux kernel may begin in a decompressor that knows no
//! C-bit; for it the second slot begins as private memory and is changed over later.

// Registering memory with KVM is what makes it the guest's.
#![allow(unsafe_code)]

use super::Error;
use crate::memory::Memory;
use crate::platform::conversions::ALWAYS_PRIVATE;
use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::VmFd;
use std::sync::{Arc, Mutex, PoisonError};
use vm_memory::{GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

/// Gives the VM its memory. `memory` must live as long as the VM runs, which [`Vm`](super::Vm)
/// sees to.
pub(super) fn insert(vm: &VmFd, memory: &Memory, c_bit: Option<u8>) -> Result<(), Error> {
    let mut next = 0;
    if let Some(c_bit) = c_bit {
        for slot in slots(memory.private(), &mut next) {
            set(vm, Slot { address: slot.address | 1 << c_bit, ..slot })?;
        }
    }
    slots(memory.shared(), &mut next).into_iter().try_for_each(|slot| set(vm, slot))
}

/// The same for Linux on a platform with a C-bit. Addresses without it begin as private memory too,
/// and all but the first MiB become shared memory when the result is opened.
pub(super) fn insert_for_linux(
    vm: &Arc<VmFd>,
    memory: &Memory,
    c_bit: u8,
) -> Result<SharedAlias, Error> {
    let mut next = 0;
    for slot in slots(memory.private(), &mut next) {
        set(vm, Slot { address: slot.address | 1 << c_bit, ..slot })?;
    }
    let first = next;
    let closed = apart(slots(memory.private(), &mut next), first);
    let open = apart(slots(memory.shared(), &mut next), first);
    closed.iter().try_for_each(|slot| set(vm, *slot))?;
    let open = open.into_iter().filter(|slot| slot.address >= ALWAYS_PRIVATE).collect();
    Ok(SharedAlias { vm: vm.clone(), slots: Mutex::new(open) })
}

/// The addresses without the C-bit, on their way from private to shared memory.
pub(crate) struct SharedAlias {
    vm: Arc<VmFd>,
    /// Those to change over; empty once that is done.
    slots: Mutex<Vec<Slot>>,
}

impl SharedAlias {
    /// Lets addresses without the C-bit reach shared memory. Only the first call does anything.
    pub(crate) fn open(&self) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        for slot in slots.drain(..) {
            // A slot's memory cannot be exchanged, only the slot. No other vCPU runs yet.
            let changed =
                set(&self.vm, Slot { length: 0, ..slot }).and_then(|()| set(&self.vm, slot));
            if let Err(error) = changed {
                // The guest then finds its private memory, or none, where no device looks.
                tracing::error!(%error, slot.address, "shared memory not opened");
            }
        }
    }
}

/// A memory slot of KVM's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    number: u32,
    address: u64,
    length: u64,
    /// Where the memory is in this process.
    host: u64,
}

/// A slot for each region.
fn slots(memory: &GuestMemoryMmap, next: &mut u32) -> Vec<Slot> {
    let slots = memory.iter().map(|region| {
        let number = *next;
        *next += 1;
        let (address, length) = (region.start_addr().0, region.len());
        Slot { number, address, length, host: region.as_ptr() as u64 }
    });
    slots.collect()
}

/// Slots from `first` on, with the part that is always private in slots of its own.
fn apart(slots: Vec<Slot>, first: u32) -> Vec<Slot> {
    let mut parts = Vec::new();
    for slot in slots {
        let below = ALWAYS_PRIVATE.saturating_sub(slot.address).min(slot.length);
        let low = Slot { length: below, ..slot };
        let high = Slot {
            address: slot.address + below,
            length: slot.length - below,
            host: slot.host + below,
            ..slot
        };
        parts.extend([low, high].into_iter().filter(|part| part.length > 0));
    }
    (first..).zip(parts).map(|(number, part)| Slot { number, ..part }).collect()
}

fn set(vm: &VmFd, slot: Slot) -> Result<(), Error> {
    let region = kvm_userspace_memory_region {
        slot: slot.number,
        flags: 0,
        guest_phys_addr: slot.address,
        memory_size: slot.length,
        userspace_addr: slot.host,
    };
    // SAFETY: the slot was made from a mapping that this process reads and writes only through
    // volatile accesses, and which stays mapped while vCPUs run: `Vm` owns both.
    unsafe { vm.set_user_memory_region(region) }
        .map_err(|error| Error::Step("take a memory slot", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_mebibyte_gets_a_slot_of_its_own() {
        let low = Slot { number: 9, address: 0, length: 256 << 20, host: 0x7f00_0000_0000 };
        let high = Slot { number: 10, address: 4 << 30, length: 1 << 30, host: 0x7e00_0000_0000 };
        let parts = apart(vec![low, high], 2);
        assert_eq!(
            parts,
            [
                Slot { number: 2, length: 1 << 20, ..low },
                Slot { number: 3, address: 1 << 20, length: 255 << 20, host: 0x7f00_0010_0000 },
                Slot { number: 4, ..high },
            ]
        );
    }
}
