//! Several accesses to guest memory that belong together, such as a walk along a ring.
//!
//! While a transaction lives no page changes its state, so what one access has admitted still holds
//! at the next. It is a [`GuestMemory`] of the shared pages alone: each access is put to the gate's
//! rule, and the slices of memory that it hands out cannot outlive it.

use super::{DmaGate, Error};
use crate::page_state::Hold;
use std::cell::Cell;
use vm_memory::guest_memory::GuestMemorySliceIterator;
use vm_memory::{
    GuestAddress, GuestMemory, GuestMemoryBackend, GuestMemoryError, GuestMemoryMmap,
    GuestMemoryResult, Permissions,
};

/// Guest memory as a device may see it, for a moment. Conversions wait for it to end: take it for
/// bookkeeping, not for I/O.
pub struct Transaction<'gate> {
    gate: &'gate DmaGate,
    hold: Hold<'gate>,
    refused: Cell<bool>,
}

impl<'gate> Transaction<'gate> {
    pub(super) fn new(gate: &'gate DmaGate) -> Self {
        Self { gate, hold: gate.pages.hold(), refused: Cell::new(false) }
    }

    /// Whether an access was refused. Walkers of rings take an error for the end of a chain.
    pub fn refused(&self) -> bool {
        self.refused.get()
    }

    fn admit(&self, kind: &str, address: u64, length: usize) -> Result<(), Error> {
        // No bytes are no access.
        if length == 0 {
            return Ok(());
        }
        self.gate.admit(&self.hold, address, length).inspect_err(|error| {
            self.refused.set(true);
            self.gate.refuse(kind, address, length, error);
        })
    }
}

impl GuestMemory for Transaction<'_> {
    type PhysicalMemory = GuestMemoryMmap;
    type Bitmap = ();

    fn check_range(&self, address: GuestAddress, count: usize, access: Permissions) -> bool {
        self.admit(kind(access), address.0, count).is_ok()
    }

    fn get_slices<'a>(
        &'a self,
        address: GuestAddress,
        count: usize,
        access: Permissions,
    ) -> GuestMemoryResult<impl GuestMemorySliceIterator<'a, ()>> {
        self.admit(kind(access), address.0, count)
            .map_err(|_| GuestMemoryError::InvalidGuestAddress(address))?;
        let memory: &'a GuestMemoryMmap = &self.gate.shared;
        Ok(GuestMemoryBackend::get_slices(memory, address, count))
    }
}

fn kind(access: Permissions) -> &'static str {
    if access.has_write() { "write" } else { "read" }
}
