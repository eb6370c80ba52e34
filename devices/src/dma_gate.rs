//! The DMA gate: the only way any device reaches guest memory.
//!
//! A device holds a gate, never memory. The gate admits an access only when every page of it is
//! shared now, and keeps the pages shared until the copy is over, so that a conversion to private
//! waits for what is in flight. An access that is refused moves no byte: a read fills nothing, a
//! write lands nowhere; it is counted and logged.
//!
//! A device that has a [`SharedWindow`] reaches that too, by the addresses at which the guest finds
//! it. It is no guest memory and always shared; an access lies within it as a whole, or is one to
//! guest memory.
//!
//! The memory behind the gate is the *shared* side alone. Even an error here could not show a device
//! private memory where the platform keeps the two apart.
//!
//! A device that walks rings takes a [`Transaction`] for several accesses to guest memory, each of
//! which is admitted by itself.

mod transaction;

pub use transaction::Transaction;

use crate::page_state::{self, Hold, PageStateMap};
use crate::shared_window::SharedWindow;
use ravelin_gpu_model::{DmaFault, HostMemory};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use vm_memory::{Bytes, GuestAddress, GuestMemoryError, GuestMemoryMmap};

/// Why a device's access to guest memory was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The range is not guest memory that is shared now.
    #[error("device access refused by the page state")]
    Page(#[from] page_state::Error),
    /// The guest does not let the device use the bus.
    #[error("device access while the function's bus master bit is off")]
    NoBusMaster,
    /// The page state and the memory disagree about where guest memory is.
    #[error("device access to memory that the VMM has not mapped")]
    Memory(#[from] GuestMemoryError),
}

/// One device's way to guest memory.
pub struct DmaGate {
    device: String,
    pages: Arc<PageStateMap>,
    shared: GuestMemoryMmap,
    bus_master: AtomicBool,
    window: Option<Arc<SharedWindow>>,
    refusals: AtomicU64,
}

impl DmaGate {
    /// A gate for the device of this name, over the shared side of guest memory. It is open until
    /// a function's bus master bit says otherwise.
    pub fn new(
        device: impl Into<String>,
        pages: Arc<PageStateMap>,
        shared: GuestMemoryMmap,
    ) -> Self {
        let (bus_master, refusals) = (AtomicBool::new(true), AtomicU64::new(0));
        Self { device: device.into(), pages, shared, window: None, bus_master, refusals }
    }

    /// The same gate, to the device's window as well.
    pub fn with_window(self, window: Arc<SharedWindow>) -> Self {
        Self { window: Some(window), ..self }
    }

    /// The device's window, if it has one.
    pub fn window(&self) -> Option<&Arc<SharedWindow>> {
        self.window.as_ref()
    }

    /// Follows the function's bus master bit: while it is off nothing passes.
    pub fn set_bus_master(&self, on: bool) {
        self.bus_master.store(on, Ordering::SeqCst);
    }

    /// Whether the guest lets the device use the bus.
    pub fn bus_master(&self) -> bool {
        self.bus_master.load(Ordering::SeqCst)
    }

    /// Admits several accesses one by one, with no conversion between them.
    pub fn transaction(&self) -> Transaction<'_> {
        Transaction::new(self)
    }

    /// Copies guest memory at `address` into `buffer`, each byte once.
    ///
    /// # Errors
    /// Not every page is shared now; `buffer` is untouched. No bytes are no access.
    pub fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.access("read", address, buffer.len(), |memory, at| memory.read_slice(buffer, at))
    }

    /// Copies `bytes` to guest memory at `address`.
    ///
    /// # Errors
    /// Not every page is shared now; nothing is written. No bytes are no access.
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Error> {
        self.access("write", address, bytes.len(), |memory, at| memory.write_slice(bytes, at))
    }

    /// The device's name.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Number of accesses refused so far.
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    /// Runs `copy`, on memory and a place in it, while the range is known to stay shared.
    fn access(
        &self,
        kind: &str,
        address: u64,
        length: usize,
        copy: impl FnOnce(&GuestMemoryMmap, GuestAddress) -> Result<(), GuestMemoryError>,
    ) -> Result<(), Error> {
        if length == 0 {
            return Ok(());
        }
        // What admits lives until the copy is over: a move of the window waits for it, a conversion
        // of the pages too.
        let window = self.window.as_ref().filter(|_| self.bus_master());
        let done = match window.and_then(|window| window.admit(address, length as u64)) {
            Some(window) => copy(window.memory, GuestAddress(window.offset)).map_err(Error::from),
            None => {
                let hold = self.pages.hold();
                self.admit(&hold, address, length)
                    .and_then(|()| copy(&self.shared, GuestAddress(address)).map_err(Error::from))
            }
        };
        done.inspect_err(|error| self.refuse(kind, address, length, error))
    }

    /// The rule: the guest lets the device use the bus, and every page is shared.
    fn admit(&self, hold: &Hold<'_>, address: u64, length: usize) -> Result<(), Error> {
        if !self.bus_master() {
            return Err(Error::NoBusMaster);
        }
        Ok(hold.check_shared(address, length as u64)?)
    }

    /// Counts every refusal and logs the first, the second, the fourth, ...: a device in a guest's
    /// hands must not fill the host's log.
    fn refuse(&self, kind: &str, address: u64, length: usize, error: &Error) {
        let count = self.refusals.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_power_of_two() {
            let (device, cause) = (&self.device, std::error::Error::source(error));
            let cause = cause.map_or_else(|| error.to_string(), ToString::to_string);
            tracing::warn!(device, kind, address, length, cause, count, "DMA refused");
        }
    }
}

impl HostMemory for DmaGate {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), DmaFault> {
        DmaGate::read(self, address, buffer).map_err(fault)
    }
    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), DmaFault> {
        DmaGate::write(self, address, bytes).map_err(fault)
    }
}

/// What the device is told: as little as hardware would.
fn fault(error: Error) -> DmaFault {
    match error {
        Error::Page(page_state::Error::Private { .. }) | Error::NoBusMaster => DmaFault::NotShared,
        Error::Page(_) | Error::Memory(_) => DmaFault::OutOfRange,
    }
}

#[cfg(test)]
mod tests;
