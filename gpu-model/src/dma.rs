//! The GPU's accesses to guest memory: none without a live lease, and a reset can wait for those
//! under way, for a while.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::host::{DmaFault, HostMemory};
use crate::lease::{Lease, Leases};

/// How long a reset waits for guest memory to answer; PCIe gives a function 100 ms to complete an
/// FLR. An access that takes longer is left to itself: it has no keys and lands nothing.
pub(crate) const QUIESCE: Duration = Duration::from_millis(100);

/// Why an access did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The lease is no longer in force.
    Gone,
    /// Guest memory refused.
    Fault,
}

impl From<DmaFault> for Stop {
    fn from(_: DmaFault) -> Stop {
        Stop::Fault
    }
}

/// The way to guest memory.
pub(crate) struct Dma {
    memory: Arc<dyn HostMemory>,
    in_flight: Mutex<u32>,
    idle: Condvar,
}

impl Dma {
    pub(crate) fn new(memory: Arc<dyn HostMemory>) -> Dma {
        Dma { memory, in_flight: Mutex::new(0), idle: Condvar::new() }
    }

    /// Reads guest memory under `lease`.
    pub(crate) fn read(
        &self,
        leases: &Leases,
        lease: Lease,
        address: u64,
        buffer: &mut [u8],
    ) -> Result<(), Stop> {
        self.access(leases, lease, |memory| memory.read(address, buffer))
    }

    /// Writes guest memory under `lease`.
    pub(crate) fn write(
        &self,
        leases: &Leases,
        lease: Lease,
        address: u64,
        bytes: &[u8],
    ) -> Result<(), Stop> {
        self.access(leases, lease, |memory| memory.write(address, bytes))
    }

    /// Waits until no access is under way, at most for [`QUIESCE`]. Stop the leases first, or more
    /// may begin.
    pub(crate) fn quiesce(&self) {
        let mut in_flight = self.in_flight.lock();
        self.idle.wait_while_for(&mut in_flight, |count| *count > 0, QUIESCE);
    }

    fn access(
        &self,
        leases: &Leases,
        lease: Lease,
        act: impl FnOnce(&dyn HostMemory) -> Result<(), DmaFault>,
    ) -> Result<(), Stop> {
        // Count first, look at the lease second: a reset that stops leases and then sees no access
        // under way has seen the last one.
        let _flight = Flight::begin(self);
        if !leases.is_live(lease) {
            return Err(Stop::Gone);
        }
        Ok(act(&*self.memory)?)
    }
}

/// An access under way.
struct Flight<'dma>(&'dma Dma);

impl Flight<'_> {
    fn begin(dma: &Dma) -> Flight<'_> {
        *dma.in_flight.lock() += 1;
        Flight(dma)
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut in_flight = self.0.in_flight.lock();
        *in_flight -= 1;
        if *in_flight == 0 {
            self.0.idle.notify_all();
        }
    }
}
