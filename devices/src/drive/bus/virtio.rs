//! A virtio function in a script's hands: no thread, so that it works when the script says so and a
//! finding can be repeated.

use crate::bus::MmioBus;
use crate::dma_gate::DmaGate;
use crate::drive::Script;
use crate::drive::guest::{AVAILABLE, Driver, Guest, SHARE, USED};
use crate::pci::bus::Function;
use crate::pci::msix::MsiSink;
use crate::virtio::pci::{Doorbells, Error, VirtioPci};
use crate::virtio::queue::VirtQueue;
use crate::virtio::worker::{Engine, Hands};
use crate::virtio::{Device, Event};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use vmm_sys_util::eventfd::EventFd;

/// Entries of the queues, where the device takes as many.
const ENTRIES: u16 = 16;
/// Doorbells, in BAR0, and the bytes from one to the next.
const DOORBELLS: u64 = 0x3000;
const DOORBELL: u64 = 4;
/// `VERSION_1` and `ACCESS_PLATFORM`.
const REQUIRED: u64 = 3 << 32;
/// Device status of a driver that is ready, and none of the device's own bits.
const READY: u8 = 15;

/// The device's other hands: it works when it is told to.
struct Inline {
    engine: Mutex<Engine>,
    bells: Vec<Arc<EventFd>>,
}

/// A hypervisor that only remembers where it would ring.
#[derive(Default)]
struct Attached(Mutex<Vec<u64>>);

/// A virtio function.
pub(super) struct Virtio {
    hands: Arc<Inline>,
    attached: Arc<Attached>,
    driver: Driver,
}

/// Puts a device behind a PCI face, and in nobody's hands but ours.
pub(super) fn put(
    device: Box<dyn Device>,
    gate: Arc<DmaGate>,
    sink: Arc<dyn MsiSink>,
) -> Result<(Arc<dyn Function>, Virtio), Error> {
    let driver = Driver::new(device.queues().iter().map(|most| ENTRIES.min(*most)).collect());
    let attached = Arc::new(Attached::default());
    let mut kept = None;
    let function = VirtioPci::in_hands(device, gate, sink, attached.clone(), |engine, bells| {
        let hands = Arc::new(Inline { engine: Mutex::new(engine), bells: bells.to_vec() });
        kept = Some(hands.clone());
        Ok(Box::new(hands))
    })?;
    // Whoever makes a face gives its device away.
    let hands = kept.expect("the device was given to somebody");
    Ok((function, Virtio { hands, attached, driver }))
}

impl Inline {
    fn with(&self, work: impl FnOnce(&mut Engine)) {
        work(&mut self.engine.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Hands for Arc<Inline> {
    fn start(&self, features: u64, queues: Vec<VirtQueue>) {
        self.with(|engine| engine.start(features, queues));
    }

    fn stop(&self) {
        self.with(Engine::stop);
    }
}

impl Doorbells for Attached {
    fn attach(&self, address: u64, _: &EventFd) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(address);
    }

    fn detach(&self, address: u64, _: &EventFd) {
        let mut attached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = attached.iter().position(|other| *other == address);
        attached.remove(place.expect("a doorbell is taken away that was there"));
    }
}

impl Virtio {
    /// Does what was rung for, and holds the hypervisor's doorbells against the BAR.
    pub(super) fn settle(&self, bar: Option<Range<u64>>) {
        for (queue, bell) in self.hands.bells.iter().enumerate() {
            if bell.read().is_ok() {
                self.hands.with(|engine| engine.handle(Event::Queue(queue)));
            }
        }
        let first = bar.map(|bar| bar.start + DOORBELLS);
        let expected: Vec<u64> = (0..self.hands.bells.len() as u64)
            .filter_map(|queue| Some(first? + queue * DOORBELL))
            .collect();
        let attached = self.attached.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(*attached, expected, "doorbells are not where the BAR is");
    }

    /// The host has done something.
    pub(super) fn hear(&self) {
        self.hands.with(|engine| engine.handle(Event::Source(0)));
    }

    /// What a driver does from the first reset on (Virtio 1.3, section 3.1.1).
    pub(super) fn start(&mut self, bus: &MmioBus, bar: u64, guest: &Guest, features: u64) {
        self.driver.clear(guest);
        for status in [0, 1, 3] {
            bus.write(bar + 0x14, &[status]);
        }
        // Some of what is offered: with anything else there is no agreement, and no device.
        let mut offered = [0; 4];
        bus.write(bar, &0u32.to_le_bytes());
        bus.read(bar + 0x04, &mut offered);
        let features = features as u32 & u32::from_le_bytes(offered);
        for (select, half) in [(0u32, features), (1, (REQUIRED >> 32) as u32)] {
            bus.write(bar + 0x08, &select.to_le_bytes());
            bus.write(bar + 0x0c, &half.to_le_bytes());
        }
        bus.write(bar + 0x14, &[11]);
        bus.write(bar + 0x10, &0u16.to_le_bytes());
        for (queue, size) in (0u16..).zip(&self.driver.sizes) {
            let table = u64::from(queue) * SHARE;
            bus.write(bar + 0x16, &queue.to_le_bytes());
            bus.write(bar + 0x18, &size.to_le_bytes());
            bus.write(bar + 0x1a, &(queue + 1).to_le_bytes());
            bus.write(bar + 0x20, &table.to_le_bytes());
            bus.write(bar + 0x28, &(table + AVAILABLE).to_le_bytes());
            bus.write(bar + 0x30, &(table + USED).to_le_bytes());
            bus.write(bar + 0x1c, &1u16.to_le_bytes());
        }
        bus.write(bar + 0x14, &[READY]);
    }

    /// Offers a chain and rings.
    pub(super) fn offer(
        &mut self,
        bus: &MmioBus,
        bar: u64,
        guest: &Guest,
        how: u8,
        script: &mut Script<'_>,
    ) {
        let queue = usize::from(script.or_zero()) % self.driver.sizes.len();
        self.driver.offer(guest, queue, how, script);
        bus.write(bar + DOORBELLS + queue as u64 * DOORBELL, &(queue as u16).to_le_bytes());
    }

    /// A driver that keeps the rules finds a device.
    pub(super) fn must_start(&mut self, bus: &MmioBus, bar: u64, guest: &Guest) {
        self.start(bus, bar, guest, 0);
        let mut status = [0];
        bus.read(bar + 0x14, &mut status);
        assert_eq!(status, [READY], "the next driver finds no device");
    }
}
