//! A hostile driver by script, for fuzzing: whatever bytes say becomes rings, descriptors, page states
//! and doorbells under a device, without a thread and without PCI.
//!
//! The script holds itself to nothing, and it is judged by two things: private memory stays as it was,
//! and a driver that comes after it finds a device.

use super::interrupts::{Interrupts, NO_VECTOR};
use super::queue::{Setup, Surroundings, VirtQueue};
use super::worker::{Engine, Health};
use super::{Device, Event};
use crate::dma_gate::DmaGate;
use crate::page_state::{PAGE_SIZE, PageState, PageStateMap};
use crate::pci::msix::{MsiMessage, MsiSink, Msix};
use std::sync::Arc;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// Bytes of memory, and of each queue's share of it: table, available ring, used ring and buffers.
const MEMORY: u64 = 1 << 20;
const SHARE: u64 = 0x2_0000;
const AVAILABLE: u64 = 0x4000;
const USED: u64 = 0x6000;
const BUFFERS: u64 = 0x8000;
/// The last share is nobody's queue, and private at first.
const PRIVATE: u64 = MEMORY - SHARE;
/// What private memory is full of.
const SECRET: u8 = 0xa5;
/// Entries of the queues, where the device takes as many.
const ENTRIES: u16 = 16;

/// Nobody listens.
struct Deaf;

impl MsiSink for Deaf {
    fn signal(&self, _: MsiMessage) {}
}

struct Machine {
    memory: GuestMemoryMmap,
    pages: Arc<PageStateMap>,
    gate: Arc<DmaGate>,
    interrupts: Arc<Interrupts>,
    health: Health,
    engine: Engine,
    sizes: Vec<u16>,
    offered: Vec<u16>,
}

/// Lets a script loose on a device.
///
/// # Panics
/// Private memory has changed, or the device is lost: a finding.
pub fn drive(device: Box<dyn Device>, script: &[u8]) {
    // The kernel's refusals are no finding.
    let Ok(mut machine) = Machine::new(device) else { return };
    machine.start(0);
    let mut script = Script(script);
    while let Some(step) = script.byte() {
        machine.step(step, &mut script);
        machine.check();
    }
    machine.health.restore();
    machine.share_all();
    machine.start(0);
    assert!(!machine.health.needs_reset(), "the next driver finds no device");
}

impl Machine {
    fn new(device: Box<dyn Device>) -> Result<Self, Box<dyn std::error::Error>> {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY as usize)])?;
        let pages = Arc::new(PageStateMap::new(std::iter::once(0..MEMORY), PageState::Shared)?);
        let gate = Arc::new(DmaGate::new("driven", pages.clone(), memory.clone()));
        let msix = Arc::new(Msix::new(4, Arc::new(Deaf)));
        let interrupts = Arc::new(Interrupts::new(msix));
        let health = Health::new(interrupts.clone());
        let sizes: Vec<_> = device.queues().iter().map(|most| ENTRIES.min(*most)).collect();
        let offered = vec![0; sizes.len()];
        let engine = Engine::new(device, "driven".into(), health.clone());
        let machine = Self { memory, pages, gate, interrupts, health, engine, sizes, offered };
        machine.convert(PRIVATE / PAGE_SIZE, SHARE / PAGE_SIZE, PageState::Private);
        Ok(machine)
    }

    /// What a driver does after a reset, with rings of zeros.
    fn start(&mut self, features: u64) {
        self.engine.stop();
        self.health.restore();
        self.offered.fill(0);
        let around = Surroundings {
            gate: self.gate.clone(),
            interrupts: self.interrupts.clone(),
            event_index: features & 1 << 29 != 0,
        };
        let queues = (0..).zip(&self.sizes).map(|(index, size)| {
            let table = index * SHARE;
            let setup = Setup {
                size: *size,
                descriptors: table,
                available: table + AVAILABLE,
                used: table + USED,
                vector: NO_VECTOR,
                enabled: true,
            };
            if self.pages.shared(table, BUFFERS).is_ok() {
                // There is memory.
                let _ = self.memory.write_slice(&[0; BUFFERS as usize], GuestAddress(table));
            }
            let bell = EventFd::new(EFD_NONBLOCK).ok()?;
            VirtQueue::new(&setup, around.clone(), Arc::new(bell)).ok()
        });
        match queues.collect() {
            Some(queues) => self.engine.start(features, queues),
            None => self.health.fail(),
        }
    }

    fn step(&mut self, step: u8, script: &mut Script<'_>) {
        let queue = usize::from(script.byte().unwrap_or(0)) % self.sizes.len();
        match step % 8 {
            0 => self.engine.handle(Event::Queue(queue)),
            1 => self.engine.handle(Event::Source(queue)),
            2 => self.start(script.number()),
            3 => {
                let (page, count) = (script.number(), u64::from(step / 32));
                let to = if step & 16 == 0 { PageState::Private } else { PageState::Shared };
                self.convert(page % (MEMORY / PAGE_SIZE), 1 + count, to);
            }
            // Anything, anywhere in the queue's share.
            4 => {
                let place = queue as u64 * SHARE + script.number() % SHARE;
                self.write(place, script.bytes(step / 8));
            }
            // Anything in a buffer.
            5 => {
                let place = queue as u64 * SHARE + BUFFERS + u64::from(step / 8) * 0x400;
                let length = script.byte().unwrap_or(0);
                self.write(place, script.bytes(length));
            }
            _ => self.offer(queue, step / 8, script),
        }
    }

    /// A chain that could be one: its descriptors follow each other, and its head is in the ring.
    fn offer(&mut self, queue: usize, descriptors: u8, script: &mut Script<'_>) {
        let (share, size) = (queue as u64 * SHARE, self.sizes[queue]);
        let count = u16::from(descriptors % 8) + 1;
        let first = self.offered[queue].wrapping_mul(5) % size;
        for place in 0..count {
            let kind = script.byte().unwrap_or(0);
            let address = match kind >> 4 {
                // Also beyond everything, and where it wraps.
                0 => script.number() | u64::from(kind) << 56,
                1 => PRIVATE + u64::from(kind) * 16,
                other => share + BUFFERS + u64::from(other) * 0x400,
            };
            let length = match kind & 3 {
                0 => script.number() as u32,
                _ => script.byte().unwrap_or(0).into(),
            };
            let more = u16::from(place + 1 < count || kind == 0xff);
            // Write-only for the later ones, as it should be; indirect where the script insists.
            let flags = more | u16::from(kind & 4 != 0) << 1 | u16::from(kind & 15 == 15) << 2;
            let mut bytes = address.to_le_bytes().to_vec();
            bytes.extend(length.to_le_bytes());
            bytes.extend(flags.to_le_bytes());
            bytes.extend(((first + place + 1) % size).to_le_bytes());
            self.write(share + 16 * u64::from((first + place) % size), &bytes);
        }
        let slot = u64::from(self.offered[queue] % size);
        self.write(share + AVAILABLE + 4 + 2 * slot, &first.to_le_bytes());
        self.offered[queue] = self.offered[queue].wrapping_add(1);
        self.write(share + AVAILABLE + 2, &self.offered[queue].to_le_bytes());
        self.engine.handle(Event::Queue(queue));
    }

    /// The script's hand reaches shared memory alone, so that private memory has one content.
    fn write(&self, address: u64, bytes: &[u8]) {
        let admitted = self.pages.shared(address, bytes.len() as u64);
        if admitted.is_ok() {
            // There is memory.
            let _ = self.memory.write_slice(bytes, GuestAddress(address));
        }
    }

    fn convert(&self, page: u64, count: u64, to: PageState) {
        let count = count.min(MEMORY / PAGE_SIZE - page);
        for address in (page..page + count).map(|page| page * PAGE_SIZE) {
            if self.pages.convert(address, PAGE_SIZE, to).is_ok_and(|changed| changed > 0) {
                let bytes = [if to == PageState::Private { SECRET } else { 0 }; PAGE_SIZE as usize];
                // There is memory.
                let _ = self.memory.write_slice(&bytes, GuestAddress(address));
            }
        }
    }

    fn share_all(&self) {
        self.convert(0, MEMORY / PAGE_SIZE, PageState::Shared);
    }

    fn check(&self) {
        let mut page = [0; PAGE_SIZE as usize];
        for address in (0..MEMORY).step_by(PAGE_SIZE as usize) {
            if self.pages.state(address) == Some(PageState::Private) {
                let read = self.memory.read_slice(&mut page, GuestAddress(address));
                let intact = read.is_ok() && page.iter().all(|byte| *byte == SECRET);
                assert!(intact, "private memory at {address:#x} was written");
            }
        }
    }
}

/// What is left of a script.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self, count: impl Into<usize>) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(self.0.len().min(count.into()));
        self.0 = rest;
        bytes
    }

    fn number(&mut self) -> u64 {
        let mut number = [0; 8];
        number.iter_mut().zip(self.bytes(4usize)).for_each(|(place, byte)| *place = *byte);
        u64::from_le_bytes(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtio::Kind;
    use crate::virtio::block::{Block, disk::Disk};
    use crate::virtio::console::Console;
    use crate::virtio::net::Net;
    use crate::virtio::queue::Broken;
    use crate::virtio::rng::Rng;
    use crate::virtio::vsock::Vsock;
    use proptest::prelude::*;
    use std::os::unix::net::UnixDatagram;

    fn device(kind: Kind) -> Box<dyn Device> {
        match kind {
            Kind::Rng => Box::new(Rng),
            Kind::Console => {
                let directory = tempfile::tempdir().unwrap();
                Box::new(Console::listen(&directory.path().join("c")).unwrap())
            }
            Kind::Net => {
                let (wire, _) = UnixDatagram::pair().unwrap();
                wire.set_nonblocking(true).unwrap();
                Box::new(Net::new(wire, "52:54:00:12:34:56".parse().unwrap()))
            }
            Kind::Block => {
                let file = tempfile::NamedTempFile::new().unwrap();
                file.as_file().set_len(1 << 20).unwrap();
                Box::new(Block::new(Disk::open(file.path(), false).unwrap(), "disk0"))
            }
            Kind::Vsock => {
                let directory = tempfile::tempdir().unwrap();
                Box::new(Vsock::new(3, &directory.path().join("v")).unwrap())
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn no_script_breaks_a_device(
            kind in prop::sample::select(
                vec![Kind::Rng, Kind::Console, Kind::Net, Kind::Block, Kind::Vsock]),
            script in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            drive(device(kind), &script);
        }
    }

    /// Writes wherever the driver points, past the gate, as no device can.
    struct Leaky(GuestMemoryMmap);

    impl Device for Leaky {
        fn kind(&self) -> Kind {
            Kind::Rng
        }
        fn queues(&self) -> &'static [u16] {
            &[16]
        }
        fn handle(&mut self, event: Event, _: &mut [VirtQueue]) -> Result<(), Broken> {
            if event != Event::Started {
                self.0.write_slice(&[1], GuestAddress(PRIVATE)).unwrap();
            }
            Ok(())
        }
    }

    #[test]
    #[should_panic(expected = "was written")]
    fn a_device_past_the_gate_is_found() {
        let mut machine = Machine::new(Box::new(Rng)).unwrap();
        let leaky = Box::new(Leaky(machine.memory.clone()));
        machine.engine = Engine::new(leaky, "leaky".into(), machine.health.clone());
        machine.start(0);
        machine.step(0, &mut Script(&[0]));
        machine.check();
    }
}
