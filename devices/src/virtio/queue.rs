//! A virtqueue from the device's side: chains of buffers that come from the driver and go back to it.
//!
//! The split ring is rust-vmm's; its memory is a [`Transaction`] of the DMA gate, so that no access to
//! a ring, a descriptor or an indirect table gets past the page states. A chain is walked once, into
//! addresses that the device owns, and its bytes are copied through the gate. Whatever breaks the
//! rules of Virtio 1.3, section 2.7, ends in [`Broken`].

use crate::dma_gate::{self, DmaGate, Transaction};
use crate::pci::msix::Msix;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};
use virtio_queue::{DescriptorChain, Queue, QueueOwnedT, QueueT};
use vm_memory::GuestAddress;
use vmm_sys_util::eventfd::EventFd;

/// The driver wants no interrupt from this source (section 4.1.4.3).
pub const NO_VECTOR: u16 = 0xffff;
/// ISR status: a queue has something for the driver (section 4.1.4.5).
const ISR_QUEUE: u8 = 1;
/// ISR status: the device's configuration or state has changed.
const ISR_CONFIG: u8 = 2;

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

/// A device's interrupts: MSI-X where the driver has chosen a vector, and the ISR status always.
pub struct Interrupts {
    msix: Arc<Msix>,
    isr: AtomicU8,
    config_vector: AtomicU16,
}

impl Interrupts {
    /// Interrupts that no vector has been chosen for.
    pub fn new(msix: Arc<Msix>) -> Self {
        Self { msix, isr: AtomicU8::new(0), config_vector: AtomicU16::new(NO_VECTOR) }
    }

    /// Takes the ISR status: what is read is cleared.
    pub fn take_status(&self) -> u8 {
        self.isr.swap(0, Ordering::SeqCst)
    }

    /// Chooses the vector of configuration changes.
    pub fn set_config_vector(&self, vector: u16) {
        self.config_vector.store(vector, Ordering::SeqCst);
    }

    /// Tells the driver that the device's configuration or status has changed.
    pub fn config_changed(&self) {
        self.isr.fetch_or(ISR_CONFIG, Ordering::SeqCst);
        self.raise(self.config_vector.load(Ordering::SeqCst));
    }

    /// Forgets everything.
    pub fn reset(&self) {
        self.set_config_vector(NO_VECTOR);
        self.take_status();
    }

    fn queue_used(&self, vector: u16) {
        self.isr.fetch_or(ISR_QUEUE, Ordering::SeqCst);
        self.raise(vector);
    }

    fn raise(&self, vector: u16) {
        if vector != NO_VECTOR {
            self.msix.raise(vector);
        }
    }
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
    /// MSI-X vector, or [`NO_VECTOR`].
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
        let added = self.ring.add_used(&memory, chain.head, chain.written);
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

/// A piece of guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    address: u64,
    length: u32,
}

/// A chain of buffers that the device owns until it gives it back: bytes to read, then room to write.
pub struct Chain {
    head: u16,
    gate: Arc<DmaGate>,
    readable: VecDeque<Span>,
    writable: VecDeque<Span>,
    written: u32,
}

impl Chain {
    fn walk(
        chain: DescriptorChain<&Transaction<'_>>,
        gate: Arc<DmaGate>,
        size: u16,
    ) -> Result<Self, Broken> {
        let head = chain.head_index();
        if head >= size {
            return Err(Broken::Chain("its head is no entry of the table"));
        }
        let (mut readable, mut writable) = (VecDeque::new(), VecDeque::new());
        let mut more = true;
        for descriptor in chain {
            let span = Span { address: descriptor.addr().0, length: descriptor.len() };
            match descriptor.is_write_only() {
                true => writable.push_back(span),
                false if writable.is_empty() => readable.push_back(span),
                false => return Err(Broken::Chain("room to write before bytes to read")),
            }
            more = descriptor.has_next();
        }
        // Loops, indices out of range, tables within tables, bad tables and lengths that overflow all
        // end the walk where the driver has said that there is more.
        if more {
            return Err(Broken::Chain("it does not end"));
        }
        Ok(Self { head, gate, readable, writable, written: 0 })
    }

    /// Bytes left to read.
    pub fn readable(&self) -> u64 {
        self.readable.iter().map(|span| u64::from(span.length)).sum()
    }

    /// Bytes left to write.
    pub fn writable(&self) -> u64 {
        self.writable.iter().map(|span| u64::from(span.length)).sum()
    }

    /// Copies the next bytes into `buffer`, as many as there are, and says how many.
    ///
    /// # Errors
    /// A buffer is not shared.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Broken> {
        let mut done = 0;
        while let Some(span) = cut(&mut self.readable, (buffer.len() - done) as u64) {
            let part = &mut buffer[done..][..span.length as usize];
            self.gate.read(span.address, part)?;
            done += part.len();
        }
        Ok(done)
    }

    /// Copies an array out of the chain.
    ///
    /// # Errors
    /// The chain has fewer bytes, or they are not shared.
    pub fn read_array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let mut bytes = [0; N];
        match self.read(&mut bytes)? {
            n if n == N => Ok(bytes),
            _ => Err(Broken::Request("it is too short")),
        }
    }

    /// Copies `bytes` into the chain, as many as have room, and says how many.
    ///
    /// # Errors
    /// A buffer is not shared.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        let mut done = 0;
        while let Some(span) = cut(&mut self.writable, (bytes.len() - done) as u64) {
            let part = &bytes[done..][..span.length as usize];
            self.gate.write(span.address, part)?;
            done += part.len();
        }
        self.written = self.written.saturating_add(done as u32);
        Ok(done)
    }

    /// Leaves the next `count` bytes of room as they are.
    pub fn skip(&mut self, mut count: u64) {
        while let Some(span) = cut(&mut self.writable, count) {
            count -= u64::from(span.length);
        }
    }
}

/// Cuts at most `most` bytes off the front; `None` once there is nothing to cut.
fn cut(spans: &mut VecDeque<Span>, most: u64) -> Option<Span> {
    while let Some(front) = spans.front_mut() {
        // No more than the span has, so it fits again.
        let length = most.min(front.length.into()) as u32;
        let cut = Span { address: front.address, length };
        front.length -= length;
        // Where this wraps the gate has refused the bytes before it.
        front.address = front.address.wrapping_add(length.into());
        if front.length == 0 {
            spans.pop_front();
        }
        if length > 0 || most == 0 {
            return (length > 0).then_some(cut);
        }
    }
    None
}

#[cfg(test)]
mod tests;
