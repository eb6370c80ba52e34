//! A driver for tests: finds a device over configuration space, lays real rings in mock guest memory
//! and speaks to the device through its PCI face alone.

use super::Device;
use super::pci::{Doorbells, VirtioPci};
use crate::bus::MmioBus;
use crate::dma_gate::DmaGate;
use crate::page_state::{PageState, PageStateMap};
use crate::pci::bus::{Aperture, ECAM_SIZE, Ecam, PciBus};
use crate::pci::msix::{MsiMessage, MsiSink};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
use vmm_sys_util::eventfd::EventFd;

pub(super) const MEMORY: u64 = 4 << 20;
/// Buffers of tests begin here.
pub(super) const BUFFERS: u64 = 1 << 20;
/// What nobody may see.
pub(super) const PRIVATE: Range<u64> = 3 << 20..4 << 20;
pub(super) const FUNCTION: u64 = ECAM + (1 << 15);
const ECAM: u64 = 0xe000_0000;
const APERTURE: Range<u64> = 1 << 32..1 << 36;

pub(super) const VERSION_1: u64 = 1 << 32;
pub(super) const ACCESS_PLATFORM: u64 = 1 << 33;
pub(super) const EVENT_INDEX: u64 = 1 << 29;

pub(super) const NEXT: u16 = 1;
pub(super) const WRITE: u16 = 2;
pub(super) const INDIRECT: u16 = 4;

pub(super) const DRIVER_OK: u8 = 15;
pub(super) const NEEDS_RESET: u8 = 64;

#[derive(Default)]
pub(super) struct Sent(pub(super) Mutex<Vec<MsiMessage>>);

impl MsiSink for Sent {
    fn signal(&self, message: MsiMessage) {
        self.0.lock().unwrap().push(message);
    }
}

/// A hypervisor that only remembers where it would ring.
#[derive(Default)]
pub(super) struct Attached(pub(super) Mutex<Vec<u64>>);

impl Doorbells for Attached {
    fn attach(&self, address: u64, _: &EventFd) {
        self.0.lock().unwrap().push(address);
    }
    fn detach(&self, address: u64, _: &EventFd) {
        self.0.lock().unwrap().retain(|other| *other != address);
    }
}

/// A guest with one device.
pub(super) struct Guest {
    pub(super) bus: MmioBus,
    pub(super) device: Arc<VirtioPci>,
    pub(super) pages: Arc<PageStateMap>,
    pub(super) memory: GuestMemoryMmap,
    pub(super) sent: Arc<Sent>,
    pub(super) attached: Arc<Attached>,
}

impl Guest {
    pub(super) fn new(device: impl Device + 'static) -> Self {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY as usize)]).unwrap();
        let all = std::iter::once(0..MEMORY);
        let pages = Arc::new(PageStateMap::new(all, PageState::Shared).unwrap());
        let (first, length) = (PRIVATE.start, PRIVATE.end - PRIVATE.start);
        pages.convert(first, length, PageState::Private).unwrap();
        let gate = Arc::new(DmaGate::new("virtio0", pages.clone(), memory.clone()));
        let (sent, attached) = (Arc::new(Sent::default()), Arc::new(Attached::default()));
        let device =
            VirtioPci::new(Box::new(device), gate, sent.clone(), attached.clone()).unwrap();
        let pci = PciBus::new(APERTURE);
        assert_eq!(pci.add(device.clone()), Ok(1));
        let bus = MmioBus::new();
        bus.insert(ECAM, ECAM_SIZE, Arc::new(Ecam(pci.clone()))).unwrap();
        let length = APERTURE.end - APERTURE.start;
        bus.insert(APERTURE.start, length, Arc::new(Aperture(pci))).unwrap();
        Self { bus, device, pages, memory, sent, attached }
    }

    /// A guest whose driver has started the device, with its queues.
    pub(super) fn started(
        device: impl Device + 'static,
        features: u64,
    ) -> (Self, Vec<DriverQueue>) {
        let guest = Self::new(device);
        let queues = guest.start(features);
        (guest, queues)
    }

    /// What a driver does from the first reset on (section 3.1.1).
    pub(super) fn start(&self, features: u64) -> Vec<DriverQueue> {
        self.negotiate(features);
        let queues = self.set_up_queues();
        self.write_common(0x14, &[DRIVER_OK]);
        queues
    }

    pub(super) fn negotiate(&self, features: u64) {
        self.write_common(0x14, &[0]);
        assert_eq!(self.status(), 0);
        self.write_common(0x14, &[1]);
        self.write_common(0x14, &[3]);
        let features = features | VERSION_1 | ACCESS_PLATFORM;
        for (select, half) in [(0u32, features as u32), (1, (features >> 32) as u32)] {
            self.write_common(0x08, &select.to_le_bytes());
            self.write_common(0x0c, &half.to_le_bytes());
        }
        self.write_common(0x14, &[11]);
        assert_eq!(self.status(), 11, "the device refuses the features");
    }

    pub(super) fn set_up_queues(&self) -> Vec<DriverQueue> {
        self.enable_msix();
        let mut count = [0; 2];
        self.read_common(0x12, &mut count);
        let queues = (0..u16::from_le_bytes(count)).map(|index| self.set_up_queue(index));
        queues.collect()
    }

    fn set_up_queue(&self, index: u16) -> DriverQueue {
        self.write_common(0x16, &index.to_le_bytes());
        let mut size = [0; 2];
        self.read_common(0x18, &mut size);
        let queue = DriverQueue::new(index, u16::from_le_bytes(size));
        self.memory.write_slice(&[0; 0x1_0000], GuestAddress(queue.table)).unwrap();
        self.write_common(0x1a, &(index + 1).to_le_bytes());
        self.write_common(0x20, &queue.table.to_le_bytes());
        self.write_common(0x28, &queue.available.to_le_bytes());
        self.write_common(0x30, &queue.used.to_le_bytes());
        self.write_common(0x1c, &1u16.to_le_bytes());
        queue
    }

    /// Vector `n` sends the message `n`.
    fn enable_msix(&self) {
        let table = self.bar(2);
        for vector in 0..8u32 {
            let at = table + u64::from(vector) * 16;
            self.bus.write(at, &0xfee0_0000u64.to_le_bytes());
            self.bus.write(at + 8, &vector.to_le_bytes());
            self.bus.write(at + 12, &0u32.to_le_bytes());
        }
        let capability = self.capabilities().into_iter().find(|(id, _)| *id == 0x11).unwrap().1;
        self.bus.write(FUNCTION + capability + 2, &0x8000u16.to_le_bytes());
        self.write_common(0x10, &0u16.to_le_bytes());
    }

    /// Every capability: id and offset.
    pub(super) fn capabilities(&self) -> Vec<(u8, u64)> {
        let byte = |at: u64| {
            let mut byte = [0];
            self.bus.read(FUNCTION + at, &mut byte);
            byte[0]
        };
        let mut at = byte(0x34);
        let mut all = Vec::new();
        while at != 0 {
            all.push((byte(at.into()), at.into()));
            at = byte(u64::from(at) + 1);
        }
        all
    }

    /// Where virtio's structure of a type is, by its capability.
    pub(super) fn structure(&self, kind: u8) -> u64 {
        let places = self.capabilities().into_iter().filter(|(id, _)| *id == 9);
        for (_, at) in places {
            let mut bytes = [0; 4];
            let mut dword = |at: u64| {
                self.bus.read(FUNCTION + at, &mut bytes);
                u32::from_le_bytes(bytes)
            };
            if (dword(at) >> 24) as u8 == kind {
                return self.bar(dword(at + 4) as u8) + u64::from(dword(at + 8));
            }
        }
        panic!("no structure {kind}");
    }

    pub(super) fn bar(&self, index: u8) -> u64 {
        let mut bytes = [0; 8];
        let register = FUNCTION + 0x10 + 4 * u64::from(index);
        self.bus.read(register, &mut bytes[..4]);
        self.bus.read(register + 4, &mut bytes[4..]);
        u64::from_le_bytes(bytes) & !0xf
    }

    pub(super) fn read_common(&self, offset: u64, data: &mut [u8]) {
        self.bus.read(self.structure(1) + offset, data);
    }

    pub(super) fn write_common(&self, offset: u64, data: &[u8]) {
        self.bus.write(self.structure(1) + offset, data);
    }

    pub(super) fn read_config<const N: usize>(&self, offset: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.bus.read(self.structure(4) + offset, &mut bytes);
        bytes
    }

    pub(super) fn status(&self) -> u8 {
        let mut status = [0];
        self.read_common(0x14, &mut status);
        status[0]
    }

    pub(super) fn kick(&self, queue: &DriverQueue) {
        self.bus.write(self.structure(2) + 4 * u64::from(queue.index), &queue.index.to_le_bytes());
    }

    pub(super) fn fill(&self, address: u64, bytes: &[u8]) {
        self.memory.write_slice(bytes, GuestAddress(address)).unwrap();
    }

    pub(super) fn bytes(&self, address: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.memory.read_slice(&mut bytes, GuestAddress(address)).unwrap();
        bytes
    }

    /// Offers a chain, rings, and waits until it comes back: bytes written.
    pub(super) fn round_trip(&self, queue: &mut DriverQueue, chain: &[Buffer]) -> u32 {
        let head = queue.offer(self, chain);
        self.kick(queue);
        let (id, written) = queue.wait(self);
        assert_eq!(id, head);
        written
    }

    pub(super) fn wait_for_reset_request(&self) {
        eventually("the device asks for a reset", || self.status() & NEEDS_RESET != 0);
    }

    pub(super) fn interrupts(&self, vector: u32) -> usize {
        self.sent.0.lock().unwrap().iter().filter(|message| message.data == vector).count()
    }
}

/// A buffer of a chain.
#[derive(Clone, Copy)]
pub(super) struct Buffer(pub(super) u64, pub(super) u32, pub(super) u16);

/// Bytes for the device to read.
pub(super) fn readable(address: u64, length: usize) -> Buffer {
    Buffer(address, length as u32, 0)
}

/// Room for the device to write.
pub(super) fn writable(address: u64, length: usize) -> Buffer {
    Buffer(address, length as u32, WRITE)
}

/// The driver's side of a split ring.
#[derive(Clone)]
pub(super) struct DriverQueue {
    pub(super) index: u16,
    pub(super) size: u16,
    pub(super) table: u64,
    pub(super) available: u64,
    pub(super) used: u64,
    free: u16,
    offered: u16,
    seen: u16,
}

impl DriverQueue {
    fn new(index: u16, size: u16) -> Self {
        assert!(size <= 512, "the harness has room for 512 entries");
        let table = 0x1_0000 * (u64::from(index) + 1);
        let (available, used) = (table + 0x4000, table + 0x8000);
        Self { index, size, table, available, used, free: 0, offered: 0, seen: 0 }
    }

    /// Writes a descriptor.
    pub(super) fn describe(&self, guest: &Guest, at: u16, buffer: Buffer, flags: u16, next: u16) {
        let Buffer(address, length, own) = buffer;
        let mut bytes = address.to_le_bytes().to_vec();
        bytes.extend(length.to_le_bytes());
        bytes.extend((flags | own).to_le_bytes());
        bytes.extend(next.to_le_bytes());
        guest.fill(self.table + 16 * u64::from(at), &bytes);
    }

    /// Puts a chain into the ring; its head.
    pub(super) fn offer(&mut self, guest: &Guest, chain: &[Buffer]) -> u16 {
        let head = self.free % self.size;
        for (place, buffer) in chain.iter().enumerate() {
            let at = self.free % self.size;
            self.free = self.free.wrapping_add(1);
            let more = if place + 1 < chain.len() { NEXT } else { 0 };
            self.describe(guest, at, *buffer, more, self.free % self.size);
        }
        self.offer_head(guest, head);
        head
    }

    /// Puts a head into the ring.
    pub(super) fn offer_head(&mut self, guest: &Guest, head: u16) {
        let place = self.available + 4 + 2 * u64::from(self.offered % self.size);
        guest.fill(place, &head.to_le_bytes());
        self.offered = self.offered.wrapping_add(1);
        self.set_index(guest, self.offered);
    }

    pub(super) fn set_index(&self, guest: &Guest, index: u16) {
        guest.fill(self.available + 2, &index.to_le_bytes());
    }

    /// Waits for the next chain that comes back: head, bytes written.
    pub(super) fn wait(&mut self, guest: &Guest) -> (u16, u32) {
        eventually("a chain comes back", || self.poll(guest).is_some());
        let back = self.poll(guest).unwrap();
        self.seen = self.seen.wrapping_add(1);
        back
    }

    /// The next chain that has come back.
    pub(super) fn poll(&self, guest: &Guest) -> Option<(u16, u32)> {
        let index = guest.bytes(self.used + 2, 2);
        if u16::from_le_bytes([index[0], index[1]]) == self.seen {
            return None;
        }
        let place = self.used + 4 + 8 * u64::from(self.seen % self.size);
        let bytes = guest.bytes(place, 8);
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        Some((word(0) as u16, word(4)))
    }
}

/// Waits for what another thread does.
pub(super) fn eventually(what: &str, check: impl Fn() -> bool) {
    let begin = Instant::now();
    while !check() {
        assert!(begin.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}
