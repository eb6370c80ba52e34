//! A hostile host by script, for fuzzing: shared memory and registers that change under the driver
//! while it copies, at each look that it takes.
//!
//! Bytes arrive as they were sent or the session is lost; there is nothing in between. The GPU's end of
//! the rings is [`testing`](crate::testing)'s, so the script's hand keeps to what the driver reads.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use ravelin_gpu_abi::ring::{DESCRIPTOR_SIZE, ENTRY_SIZE};
use ravelin_gpu_abi::{Engine, registers};

use crate::bus::Bus;
use crate::clock::Clock;
use crate::discover::discover;
use crate::doe;
use crate::layout::{Layout, Place};
use crate::memory::SharedMemory;
use crate::protection::Protection;
use crate::pump;
use crate::ring::Ring;
use crate::testing::{FakeBus, FakeClock, FakeEngine, FakeMemory, secret};
use crate::transfer::{CopyIn, CopyOut};
use crate::watch::{Baseline, Watch};

const CHUNK: u32 = 64;
const ENTRIES: u32 = 16;
/// Where in HBM the copies go.
const HBM: u64 = 40;
/// Most bytes of a data object.
const LONGEST: usize = 4 << 18;
/// Silence that the driver bears.
const PATIENCE_US: u64 = 500;

/// A clock on which patience is soon at its end.
#[derive(Default)]
struct Fast(Cell<u64>);

impl Clock for Fast {
    fn now_us(&self) -> u64 {
        self.0.set(self.0.get() + 500_000);
        self.0.get()
    }
}

/// Moves of the host that are left.
type Moves = Rc<RefCell<VecDeque<u8>>>;

/// Shared memory in a host's hands.
struct Hostile {
    memory: FakeMemory,
    moves: Moves,
    engine: Engine,
    place: Place,
}

impl Hostile {
    /// The host's turn: flips a bit of what the GPU has written, or leaves it.
    fn turn(&self) {
        let mut moves = self.moves.borrow_mut();
        let Some(how @ 0..128) = moves.pop_front() else { return };
        let at = usize::from(moves.pop_front().unwrap_or(0));
        let entry = usize::from(how) % ENTRIES as usize;
        let Place { descriptors, slots, slot_size, .. } = self.place;
        let response = descriptors + entry * ENTRY_SIZE + DESCRIPTOR_SIZE;
        let offset = match self.engine {
            Engine::CopyOut if how & 64 != 0 => slots + entry * slot_size as usize + at % 64,
            _ => response + at % DESCRIPTOR_SIZE,
        };
        self.memory.flip(offset);
    }
}

impl SharedMemory for Hostile {
    fn address(&self) -> u64 {
        self.memory.address()
    }

    fn length(&self) -> usize {
        self.memory.length()
    }

    fn read(&self, offset: usize, buffer: &mut [u8]) {
        self.memory.read(offset, buffer);
        self.turn();
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        self.memory.write(offset, bytes);
    }

    fn load_acquire(&self, offset: usize) -> u64 {
        let value = self.memory.load_acquire(offset);
        self.turn();
        value
    }

    fn store_release(&self, offset: usize, value: u64) {
        self.memory.store_release(offset, value);
    }
}

/// Lets a script loose on a driver.
///
/// # Panics
/// A copy has succeeded that is none: a finding.
pub fn drive(script: &[u8]) {
    let Some((how, script)) = script.split_first() else { return };
    match how % 4 {
        0 => mailbox(script),
        1 => copy(Engine::CopyOut, *how, script),
        _ => copy(Engine::CopyIn, *how, script),
    }
}

/// A bus that answers whatever it likes.
fn mailbox(script: &[u8]) {
    let mut bus = FakeBus::new();
    let (words, _) = script.as_chunks::<4>();
    let (settings, answer) = words.split_at(words.len() / 2);
    for [at, more, value, shift] in settings {
        let offset = u16::from_le_bytes([at & !3, more & 15]);
        let value = u32::from(*value) << (shift % 25);
        match more & 16 {
            0 => bus.config.insert(offset, value),
            _ => bus.registers.insert(offset.into(), value),
        };
    }
    bus.answer = answer.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let clock = Fast::default();
    if let Ok(device) = discover(&mut bus, &clock)
        && let Ok(object) =
            doe::exchange(&mut bus, &clock, device.mailbox, &[1, 0, 0, 0, 2, 0, 0, 0])
    {
        assert!((8..=LONGEST).contains(&object.len()), "{} bytes", object.len());
    }
}

/// Copies under a host that interferes.
fn copy(engine: Engine, how: u8, script: &[u8]) {
    let Ok(layout) = Layout::new(CHUNK, ENTRIES) else { return };
    let memory = FakeMemory::new(layout.length());
    let place = layout.place(engine);
    let moves: Moves = Rc::new(RefCell::new(script.iter().copied().collect()));
    let hostile = Hostile { memory: memory.clone(), moves: moves.clone(), engine, place };
    let mut bus = FakeBus::new();
    bus.registers.insert(registers::STATUS, 2);
    let protection = Protection::sealed(&secret(), engine, CHUNK as usize);
    let Ok(mut ring) = Ring::start(engine, place, protection, &mut bus, &memory) else { return };
    let served = Rc::new(RefCell::new(FakeEngine::new(engine, place, &memory)));
    let gpu = served.clone();
    let silent = how & 0x80 != 0;
    bus.on_doorbell = Some(Box::new(move |_| {
        // Now and then the host loses a doorbell.
        if !(silent && moves.borrow().len() % 5 == 1) {
            gpu.borrow_mut().serve();
        }
    }));
    if how & 0x40 != 0 {
        bus.register_write32(registers::RESET_COUNT, u32::from(how));
    }
    let watch = Watch::new(Baseline { reset_count: 3, session: true }, engine, PATIENCE_US);
    let (clock, length) = (FakeClock::default(), usize::from(how / 4 % 16) * 97);
    let range = HBM as usize..HBM as usize + length;
    if engine == Engine::CopyOut {
        let mut buffer = vec![0; length];
        let Some(mut work) = CopyOut::new(HBM, &mut buffer, CHUNK as usize) else { return };
        let done = pump::run(&mut work, &mut ring, &mut bus, &hostile, &clock, watch);
        if done.is_ok() && work.refused.is_none() {
            assert!(buffer == served.borrow().hbm[range], "bytes that the GPU did not send");
        }
    } else {
        let bytes: Vec<u8> = (0..length).map(|at| (at * 31 % 251) as u8).collect();
        let Some(mut work) = CopyIn::new(HBM, &bytes, CHUNK as usize) else { return };
        let done = pump::run(&mut work, &mut ring, &mut bus, &hostile, &clock, watch);
        if done.is_ok() && work.refused.is_none() {
            assert!(bytes == served.borrow().hbm[range], "a copy that did not arrive");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_only_looks_disturbs_nothing_and_one_that_flips_is_found() {
        for how in [1u8, 2].map(|kind| kind | 8 << 2) {
            drive(&[how]);
            for at in 0..=255 {
                for entry in [0, 5, 64, 69] {
                    drive(&[how, 200, 200, 200, entry, at]);
                }
            }
        }
    }
}
