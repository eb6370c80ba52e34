use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;

use ravelin_gpu_abi::Engine;

use super::*;
use crate::Layout;
use crate::protection::Protection;
use crate::testing::{FakeBus, FakeClock, FakeEngine, FakeMemory, HBM, secret};
use crate::transfer::{CopyIn, CopyOut, Refused};
use crate::watch::{self, Baseline};

const CHUNK: u32 = 256;

struct Bench {
    bus: FakeBus,
    memory: FakeMemory,
    ring: Ring,
    engine: Rc<RefCell<FakeEngine>>,
}

/// A ring of 16 entries whose engine works at each doorbell.
fn bench(engine: Engine) -> Bench {
    let layout = Layout::new(CHUNK, 16).unwrap();
    let memory = FakeMemory::new(layout.length());
    let mut bus = FakeBus::new();
    bus.registers.insert(ravelin_gpu_abi::registers::STATUS, 2);
    let place = layout.place(engine);
    let protection = Protection::sealed(&secret(), engine, CHUNK as usize);
    let ring = Ring::start(engine, place, protection, &mut bus, &memory).unwrap();
    let engine = Rc::new(RefCell::new(FakeEngine::new(engine, place, &memory)));
    let served = engine.clone();
    bus.on_doorbell = Some(Box::new(move |_| served.borrow_mut().serve()));
    Bench { bus, memory, ring, engine }
}

impl Bench {
    fn run(&mut self, work: &mut impl Work) -> Result<(), Lost> {
        let baseline = Baseline { reset_count: 3, session: true };
        let watch = Watch::new(baseline, self.ring.engine(), 5_000);
        let clock = FakeClock::default();
        run(work, &mut self.ring, &mut self.bus, &self.memory, &clock, watch)
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

#[test]
fn all_bytes_arrive_in_their_places_whatever_the_length() {
    for length in [0, 1, 255, 256, 257, 16 * 256, 100 * 256 + 7] {
        let bytes = pattern(length);
        let mut bench = bench(Engine::CopyIn);
        bench.run(&mut CopyIn::new(40, &bytes, CHUNK as usize).unwrap()).unwrap();
        assert_eq!(bench.engine.borrow().hbm[40..40 + length], bytes);
    }
}

#[test]
fn all_bytes_come_back_from_their_places() {
    for length in [0, 1, 256, 100 * 256 + 7] {
        let mut buffer = vec![0; length];
        let mut bench = bench(Engine::CopyOut);
        bench.run(&mut CopyOut::new(40, &mut buffer, CHUNK as usize).unwrap()).unwrap();
        assert_eq!(buffer, bench.engine.borrow().hbm[40..40 + length]);
    }
}

#[test]
fn a_doorbell_is_rung_for_a_burst_and_not_for_a_record() {
    let bytes = pattern(103 * CHUNK as usize);
    let mut bench = bench(Engine::CopyIn);
    bench.run(&mut CopyIn::new(0, &bytes, CHUNK as usize).unwrap()).unwrap();
    // 1, 2, then 4 each.
    assert_eq!(bench.bus.doorbells.len(), 2 + 100 / 4);
}

#[test]
fn after_a_refusal_nothing_more_is_sent_and_the_ring_stays_in_step() {
    let end = HBM as u64;
    let bytes = pattern(60 * CHUNK as usize);
    let mut bench = bench(Engine::CopyIn);
    let start = end - 5 * u64::from(CHUNK);
    let mut copy = CopyIn::new(start, &bytes, CHUNK as usize).unwrap();
    bench.run(&mut copy).unwrap();
    assert_eq!(copy.refused, Some(Refused { hbm_address: end, length: CHUNK as usize }));
    assert_eq!(bench.ring.in_flight(), 0);
    assert!(bench.bus.doorbells.len() < 6);
    bench.run(&mut CopyIn::new(0, &bytes, CHUNK as usize).unwrap()).unwrap();
    assert_eq!(bench.engine.borrow().hbm[..bytes.len()], bytes);
}

#[test]
fn an_engine_that_never_answers_is_given_up() {
    let mut bench = bench(Engine::CopyIn);
    bench.bus.on_doorbell = None;
    let lost = bench.run(&mut CopyIn::new(0, &[1; 64], CHUNK as usize).unwrap());
    assert!(matches!(lost, Err(Lost::Gpu(watch::Lost::Silent(_)))));
}
