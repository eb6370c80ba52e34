//! Fakes for unit tests: memory, a clock that steps, a bus with a mailbox and registers, and the
//! GPU's end of a ring, served when the test says so. The real GPU model meets the driver in the
//! workspace's `tests`.

#![allow(clippy::unwrap_used, reason = "fakes fail by panics")]
#![cfg_attr(not(test), allow(dead_code, reason = "some of it only tests look at"))]

use alloc::collections::{BTreeMap, VecDeque};
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use ravelin_channel::{Binding, Direction, ExportMasterSecret, Opener, Sealer};
use ravelin_gpu_abi::ring::{
    DESCRIPTOR_SIZE, Descriptor, Outcome, request_offset, response_offset, slot_offset,
};
use ravelin_gpu_abi::{Engine, PCI_DEVICE_ID, PCI_VENDOR_ID, registers};

use crate::layout::Place;
use crate::{Bus, Clock, SharedMemory};

pub(crate) const SECRET: [u8; 48] = [7; 48];

pub(crate) fn secret() -> ExportMasterSecret {
    ExportMasterSecret::new(SECRET)
}

/// Memory that a test can look at and change.
#[derive(Clone)]
pub(crate) struct FakeMemory(Rc<RefCell<Vec<u8>>>);

impl FakeMemory {
    pub(crate) fn new(length: usize) -> FakeMemory {
        FakeMemory(Rc::new(RefCell::new(vec![0; length])))
    }

    pub(crate) fn flip(&self, at: usize) {
        self.0.borrow_mut()[at] ^= 1;
    }

    pub(crate) fn contains(&self, needle: &[u8]) -> bool {
        self.0.borrow().windows(needle.len()).any(|window| window == needle)
    }
}

impl SharedMemory for FakeMemory {
    fn address(&self) -> u64 {
        0x10_0000
    }

    fn length(&self) -> usize {
        self.0.borrow().len()
    }

    fn read(&self, offset: usize, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.0.borrow()[offset..offset + buffer.len()]);
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        self.0.borrow_mut()[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn load_acquire(&self, offset: usize) -> u64 {
        let mut bytes = [0; 8];
        self.read(offset, &mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn store_release(&self, offset: usize, value: u64) {
        self.write(offset, &value.to_le_bytes());
    }
}

/// A clock on which each look takes ten microseconds.
#[derive(Default)]
pub(crate) struct FakeClock(Cell<u64>);

impl Clock for FakeClock {
    fn now_us(&self) -> u64 {
        self.0.set(self.0.get() + 10);
        self.0.get()
    }
}

/// Offset of the fake's DOE capability.
pub(crate) const MAILBOX: u16 = 0x140;

/// A function with a mailbox that gives scripted answers, and registers that hold what is written.
pub(crate) struct FakeBus {
    pub(crate) config: BTreeMap<u16, u32>,
    pub(crate) registers: BTreeMap<u64, u32>,
    pub(crate) doorbells: Vec<Engine>,
    /// Served at each doorbell.
    pub(crate) on_doorbell: Option<alloc::boxed::Box<dyn FnMut(Engine)>>,
    /// Words written to the mailbox.
    pub(crate) sent: Vec<u32>,
    /// Words that come back after GO.
    pub(crate) answer: VecDeque<u32>,
    pub(crate) doe_status: u32,
    pub(crate) aborted: bool,
}

impl FakeBus {
    pub(crate) fn new() -> FakeBus {
        let id = u32::from(PCI_DEVICE_ID) << 16 | u32::from(PCI_VENDOR_ID);
        FakeBus {
            // A capability of another kind stands before DOE's.
            config: BTreeMap::from([(0, id), (0x100, 0x1401_0001), (MAILBOX, 0x0001_002e)]),
            registers: BTreeMap::from([
                (registers::MAGIC, registers::MAGIC_VALUE),
                (registers::VERSION, registers::VERSION_VALUE),
                (registers::STATUS, 1),
                (registers::MODE, 1),
                (registers::RESET_COUNT, 3),
            ]),
            doorbells: Vec::new(),
            on_doorbell: None,
            sent: Vec::new(),
            answer: VecDeque::new(),
            doe_status: 0,
            aborted: false,
        }
    }
}

impl Bus for FakeBus {
    fn config_read(&mut self, offset: u16) -> u32 {
        match offset.checked_sub(MAILBOX) {
            Some(0x0c) => self.doe_status,
            Some(0x14) => self.answer.front().copied().unwrap_or(0),
            _ => self.config.get(&offset).copied().unwrap_or(0),
        }
    }

    fn config_write(&mut self, offset: u16, value: u32) {
        match offset.checked_sub(MAILBOX) {
            Some(0x08) if value & 1 != 0 => {
                self.aborted = true;
                self.doe_status = 0;
            }
            Some(0x08) if !self.answer.is_empty() => self.doe_status |= 1 << 31,
            Some(0x10) => self.sent.push(value),
            Some(0x14) => {
                self.answer.pop_front();
                if self.answer.is_empty() {
                    self.doe_status &= !(1 << 31);
                }
            }
            _ => {
                self.config.insert(offset, value);
            }
        }
    }

    fn register_read32(&mut self, offset: u64) -> u32 {
        self.registers.get(&offset).copied().unwrap_or(0)
    }

    fn register_write32(&mut self, offset: u64, value: u32) {
        for engine in Engine::ALL {
            if offset == registers::ring(engine, registers::RING_DOORBELL) {
                self.doorbells.push(engine);
                if let Some(serve) = &mut self.on_doorbell {
                    serve(engine);
                }
                return;
            }
        }
        self.registers.insert(offset, value);
    }

    fn register_read64(&mut self, offset: u64) -> u64 {
        u64::from(self.register_read32(offset)) | u64::from(self.register_read32(offset + 4)) << 32
    }

    fn register_write64(&mut self, offset: u64, value: u64) {
        self.register_write32(offset, value as u32);
        self.register_write32(offset + 4, (value >> 32) as u32);
    }
}

/// Bytes of HBM of a [`FakeEngine`].
pub(crate) const HBM: usize = 64 << 10;

/// The GPU's end of a ring, with a handful of HBM at address 0.
pub(crate) struct FakeEngine {
    engine: Engine,
    place: Place,
    memory: FakeMemory,
    opener: Opener,
    sealer: Sealer,
    pub(crate) hbm: Vec<u8>,
}

impl FakeEngine {
    pub(crate) fn new(engine: Engine, place: Place, memory: &FakeMemory) -> FakeEngine {
        FakeEngine {
            engine,
            place,
            memory: memory.clone(),
            opener: Opener::new(&secret(), engine as u32, Direction::GuestToGpu),
            sealer: Sealer::new(&secret(), engine as u32, Direction::GpuToGuest),
            hbm: (0..=255).collect::<Vec<u8>>().repeat(HBM / 256),
        }
    }

    /// Obeys every request in sequence that is there; panics on a bad one.
    pub(crate) fn serve(&mut self) {
        while self.serve_one() {}
    }

    pub(crate) fn serve_one(&mut self) -> bool {
        let Place { descriptors, slots, entries, slot_size, .. } = self.place;
        let sequence = self.opener.sequence();
        let at = descriptors + request_offset(sequence, entries) as usize;
        if self.memory.load_acquire(at) != sequence {
            return false;
        }
        let mut copy = [0; DESCRIPTOR_SIZE];
        self.memory.read(at, &mut copy);
        let request = Descriptor::decode(&copy).unwrap();
        let slot = slots + slot_offset(sequence, entries, slot_size) as usize;
        let carried = if self.engine == Engine::CopyOut { 0 } else { request.length as usize };
        let mut bytes = vec![0; carried];
        self.memory.read(slot, &mut bytes);
        let binding = Binding {
            hbm_address: request.hbm_address,
            length: request.length,
            outcome: request.outcome,
        };
        self.opener.open_in_place(sequence, &binding, &request.tag, &mut bytes).unwrap();

        let start = request.hbm_address as usize;
        let end = start + request.length as usize;
        let mut outcome = Outcome::Done;
        let mut answer = Vec::new();
        match self.engine {
            Engine::Command => answer = vec![0; 8],
            _ if end > self.hbm.len() => outcome = Outcome::OutOfRange,
            Engine::CopyIn => self.hbm[start..end].copy_from_slice(&bytes),
            Engine::CopyOut => answer = self.hbm[start..end].to_vec(),
        }
        self.respond(&request, outcome, answer);
        true
    }

    fn respond(&mut self, request: &Descriptor, outcome: Outcome, mut answer: Vec<u8>) {
        let Place { descriptors, slots, entries, slot_size, .. } = self.place;
        let length = match (self.engine, outcome) {
            (Engine::CopyIn, Outcome::Done) => request.length,
            _ => answer.len() as u32,
        };
        let binding = Binding { hbm_address: request.hbm_address, length, outcome: outcome as u32 };
        let sealed = self.sealer.seal_in_place(&binding, &mut answer).unwrap();
        let response = Descriptor { length, outcome: outcome as u32, tag: sealed.tag, ..*request };
        let slot = slots + slot_offset(request.sequence, entries, slot_size) as usize;
        self.memory.write(slot, &answer);
        let at = descriptors + response_offset(request.sequence, entries) as usize;
        self.memory.write(at, &response.encode());
    }
}
