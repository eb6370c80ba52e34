//! A window of memory that a device gives to guest and device alike: always shared, never guest
//! memory, wherever its BAR is now.
//!
//! A Linux guest's user program has no way of its own to memory that is shared with the host; a BAR
//! that is memory gives it one. The window has two faces, which move together: the VMM's [`Slot`]
//! lets the guest reach the memory at full speed, and the device's [`DmaGate`](crate::dma_gate)
//! admits accesses to exactly the addresses where the guest finds it. While the window is nowhere,
//! both are closed. Where it may be is for [`Slot`] to say.

use std::ops::Range;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use vm_memory::{Address, GuestMemoryBackend, GuestMemoryMmap};

/// The VMM's part: what the guest finds at an address.
pub trait Slot: Send + Sync {
    /// Lets the guest reach the window's memory at these addresses, which the guest has chosen. They
    /// may be anywhere: over guest memory, over another window, past the address space.
    ///
    /// # Errors
    /// [`Refused`] where the window cannot be there; the guest then finds nothing of it.
    fn map(&self, addresses: Range<u64>) -> Result<(), Refused>;
    /// Takes the memory away from where it was mapped last.
    fn unmap(&self);
}

/// The window cannot be at these addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// Memory that guest and device share, at an address that the guest chooses.
pub struct SharedWindow {
    /// By offset in the window, from 0.
    memory: GuestMemoryMmap,
    size: u64,
    slot: Box<dyn Slot>,
    /// First address. An access by the device holds it for reading as long as it touches memory, so
    /// that a move waits for what is in flight.
    place: RwLock<Option<u64>>,
}

impl SharedWindow {
    /// A window that is nowhere yet. `memory` begins at address 0 and has no holes.
    pub fn new(memory: GuestMemoryMmap, slot: Box<dyn Slot>) -> Self {
        let size = memory.last_addr().raw_value() + 1;
        Self { memory, size, slot, place: RwLock::new(None) }
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The memory, by offset.
    pub fn memory(&self) -> &GuestMemoryMmap {
        &self.memory
    }

    /// The addresses at which guest and device reach it now.
    pub fn addresses(&self) -> Option<Range<u64>> {
        let start = *self.place.read().unwrap_or_else(PoisonError::into_inner);
        start.map(|start| start..start + self.size)
    }

    /// Follows the BAR: `place` is where the guest wants the window now. Where it cannot be it is
    /// nowhere.
    pub(crate) fn follow(&self, place: Option<u64>) {
        // Waits for the device's accesses in flight.
        let mut now = self.place.write().unwrap_or_else(PoisonError::into_inner);
        if *now == place {
            return;
        }
        if now.take().is_some() {
            self.slot.unmap();
        }
        *now = place.filter(|start| {
            let addresses = start.checked_add(self.size).map(|end| *start..end);
            addresses.is_some_and(|addresses| self.slot.map(addresses).is_ok())
        });
    }

    /// Admits a device's access that lies within the window as a whole: its offset, and a guard for
    /// as long as it lasts. `None` for every other access.
    pub(crate) fn admit(&self, address: u64, length: u64) -> Option<Admitted<'_>> {
        let place = self.place.read().unwrap_or_else(PoisonError::into_inner);
        let offset = address.checked_sub((*place)?)?;
        let end = offset.checked_add(length)?;
        (end <= self.size).then_some(Admitted { memory: &self.memory, offset, _place: place })
    }
}

/// An access that may take place, as long as this lives.
pub(crate) struct Admitted<'a> {
    /// [`SharedWindow::memory`].
    pub(crate) memory: &'a GuestMemoryMmap,
    /// Where in it.
    pub(crate) offset: u64,
    _place: RwLockReadGuard<'a, Option<u64>>,
}

#[cfg(test)]
pub(crate) mod tests;
