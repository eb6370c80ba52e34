//! A virtqueue from the device's side: chains of buffers that come from the driver and go back to it.
//!
//! The split ring is rust-vmm's; its memory is a [`Transaction`] of the DMA gate, so that no access to
//! a ring, a descriptor or an indirect table gets past the page states. What a [`Chain`] holds is its
//! own business. Whatever breaks the rules of Virtio 1.3, section 2.7, ends in [`Broken`].

mod chain;

pub use chain::Chain;

use super::interrupts::Interrupts;
use crate::dma_gate::{self, DmaGate, Transaction};
use std::sync::Arc;
use virtio_queue::{Queue, QueueOwnedT, QueueT};
use vm_memory::GuestAddress;
use vmm_sys_util::eventfd::EventFd;

/// How a driver has broken the rules.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// It has led the device to memory that is not shared.
    #[error("the driver has led the device to memory that is not shared")]
    Refused,
    /// A buffer is not shared memory.
    #[error("a buffer of the driver's is out of reach")]
    Buffer(#[from] dma_gate::Error),
    /// The ring makes no sense.
    #[error("the ring is malformed")]
    Ring(#[source] virtio_queue::Error),
    /// A chain of descriptors makes no sense.
    #[error("a chain of descriptors is malformed: {0}")]
    Chain(&'static str),
    /// A request is no request.
    #[error("a request is malformed: {0}")]
    Request(&'static str),
}

/// What a driver has said about a queue (section 4.1.4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Entries, a power of two.
    pub size: u16,
    /// Guest-physical address of the descriptor table.
    pub descriptors: u64,
    /// Guest-physical address of the available ring.
    pub available: u64,
    /// Guest-physical address of the used ring.
    pub used: u64,
    /// MSI-X vector, or [`NO_VECTOR`](super::interrupts::NO_VECTOR).
    pub vector: u16,
    /// Whether the driver uses the queue.
    pub enabled: bool,
}

/// What every queue of a device shares.
#[derive(Clone)]
pub struct Surroundings {
    /// The device's way to guest memory.
    pub gate: Arc<DmaGate>,
    /// The device's interrupts.
    pub interrupts: Arc<Interrupts>,
    /// Whether notifications are suppressed by index (`RING_EVENT_IDX`).
    pub event_index: bool,
}

/// A queue of a device that runs.
pub struct VirtQueue {
    ring: Queue,
    around: Surroundings,
    vector: u16,
    doorbell: Arc<EventFd>,
    /// Chains that may still be taken in this turn.
    budget: u16,
}

impl VirtQueue {
    /// A queue as the driver has set it up. `doorbell` is what brings the device back to it.
    ///
    /// # Errors
    /// The rings are misplaced or not shared.
    pub fn new(
        setup: &Setup,
        around: Surroundings,
        doorbell: Arc<EventFd>,
    ) -> Result<Self, Broken> {
        let mut ring = Queue::new(setup.size).map_err(Broken::Ring)?;
        ring.try_set_desc_table_address(GuestAddress(setup.descriptors))
            .and_then(|()| ring.try_set_avail_ring_address(GuestAddress(setup.available)))
            .and_then(|()| ring.try_set_used_ring_address(GuestAddress(setup.used)))
            .map_err(Broken::Ring)?;
        ring.set_event_idx(around.event_index);
        ring.set_ready(setup.enabled);
        if setup.enabled && !ring.is_valid(&around.gate.transaction()) {
            return Err(Broken::Refused);
        }
        Ok(Self { ring, around, vector: setup.vector, doorbell, budget: setup.size })
    }

    /// What rings when the driver has put something into the queue.
    pub fn doorbell(&self) -> &Arc<EventFd> {
        &self.doorbell
    }

    /// Begins a turn: as many chains as the queue has entries may be taken before others have theirs.
    pub fn begin_turn(&mut self) {
        self.budget = self.ring.size();
    }

    /// Takes the next chain of buffers. If there is none, the driver will ring when there is.
    ///
    /// # Errors
    /// The ring or the chain is not shared, or makes no sense.
    pub fn take(&mut self) -> Result<Option<Chain>, Broken> {
        if !self.ring.ready() || !self.around.gate.bus_master() {
            return Ok(None);
        }
        if self.budget == 0 {
            // A driver that feeds the queue without an end does not keep the device from a reset.
            let _ = self.doorbell.write(1);
            return Ok(None);
        }
        self.budget -= 1;
        let gate = self.around.gate.clone();
        let memory = gate.transaction();
        let taken = self.take_from(&memory, &gate);
        settled(&memory, taken)
    }

    fn take_from(
        &mut self,
        memory: &Transaction<'_>,
        gate: &Arc<DmaGate>,
    ) -> Result<Option<Chain>, Broken> {
        loop {
            let mut heads = self.ring.iter(memory).map_err(Broken::Ring)?;
            if let Some(chain) = heads.next() {
                return Chain::walk(chain, gate.clone(), self.ring.size()).map(Some);
            }
            if !self.ring.enable_notification(memory).map_err(Broken::Ring)? {
                return Ok(None);
            }
        }
    }

    /// Gives a chain back to the driver and interrupts it where it wants that.
    ///
    /// # Errors
    /// The ring is not shared any more.
    pub fn give_back(&mut self, chain: Chain) -> Result<(), Broken> {
        let gate = self.around.gate.clone();
        let memory = gate.transaction();
        let added = self.ring.add_used(&memory, chain.head(), chain.written());
        let wanted = added.and_then(|()| self.ring.needs_notification(&memory));
        if settled(&memory, wanted.map_err(Broken::Ring))? {
            self.around.interrupts.queue_used(self.vector);
        }
        Ok(())
    }
}

/// The ring's walkers take a refused access for the end of a chain, which it is not.
fn settled<T>(memory: &Transaction<'_>, result: Result<T, Broken>) -> Result<T, Broken> {
    if memory.refused() { Err(Broken::Refused) } else { result }
}

#[cfg(test)]
mod tests;
