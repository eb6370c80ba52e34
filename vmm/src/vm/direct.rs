//! Physical devices' pages as memory slots: a guest that touches one touches the device, without an
//! exit.
//!
//! They may be among the BARs and nowhere else, and over no other slot, which KVM sees to: a guest that
//! moves a BAR over its own memory, its interrupt controllers or another device finds nothing there.

// Registering memory with KVM is what makes it the guest's.
#![allow(unsafe_code)]

use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::VmFd;
use ravelin_devices::page_state::PAGE_SIZE;
use ravelin_devices::vfio::device::Slots;
use ravelin_devices::vfio::hardware::Mapping;
use ravelin_devices::vfio::interrupts::Refused;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// The first slot of devices' pages; below are memory's and windows'.
const FIRST_SLOT: u32 = 128;
/// One behind the last. KVM takes 32,764.
const END_SLOT: u32 = 16_384;

/// The slots of all physical devices of a VM.
pub(super) struct DirectSlots {
    vm: Arc<VmFd>,
    bars: Range<u64>,
    /// By number: what each shows, which stays mapped as long as the slot.
    shown: Mutex<BTreeMap<u32, Arc<Mapping>>>,
}

impl DirectSlots {
    pub(super) fn new(vm: Arc<VmFd>, bars: Range<u64>) -> Self {
        Self { vm, bars, shown: Mutex::default() }
    }

    /// No bytes: takes the slot away.
    fn set(
        &self,
        slot: u32,
        address: u64,
        mapping: &Mapping,
        length: u64,
    ) -> Result<(), kvm_ioctls::Error> {
        let region = kvm_userspace_memory_region {
            slot,
            flags: 0,
            guest_phys_addr: address,
            memory_size: length,
            userspace_addr: mapping.host,
        };
        // SAFETY: the mapping is a device's, which nothing in this process touches, and `shown` keeps
        // it until the slot is gone.
        unsafe { self.vm.set_user_memory_region(region) }
    }
}

impl Slots for DirectSlots {
    fn show(&self, address: u64, mapping: &Arc<Mapping>) -> Result<u32, Refused> {
        let end = address.checked_add(mapping.length).ok_or(Refused)?;
        let inside = self.bars.start <= address && end <= self.bars.end;
        if !inside || !address.is_multiple_of(PAGE_SIZE) {
            return Err(Refused);
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let free = (FIRST_SLOT..END_SLOT).find(|slot| !shown.contains_key(slot)).ok_or(Refused)?;
        self.set(free, address, mapping, mapping.length).map_err(|error| {
            // The guest has put it over another one; its accesses trap.
            tracing::warn!(%error, address, "device's pages not placed");
            Refused
        })?;
        shown.insert(free, mapping.clone());
        Ok(free)
    }

    fn hide(&self, slot: u32) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mapping) = shown.get(&slot) else { return };
        match self.set(slot, 0, mapping, 0) {
            Ok(()) => drop(shown.remove(&slot)),
            Err(error) => tracing::error!(%error, slot, "device's pages not taken away"),
        }
    }
}
