use super::*;
use crate::Layout;
use crate::testing::{FakeBus, FakeEngine, FakeMemory, secret};

/// A ring of four entries and the engine behind it.
struct Bench {
    bus: FakeBus,
    memory: FakeMemory,
    ring: Ring,
    engine: FakeEngine,
    place: Place,
}

fn bench(engine: Engine) -> Bench {
    let layout = Layout::new(4096, 4).unwrap();
    let memory = FakeMemory::new(layout.length());
    let mut bus = FakeBus::new();
    let place = layout.place(engine);
    let protection = Protection::sealed(&secret(), engine, 4096);
    let ring = Ring::start(engine, place, protection, &mut bus, &memory).unwrap();
    let engine = FakeEngine::new(engine, place, &memory);
    Bench { bus, memory, ring, engine, place }
}

fn out_request(length: u32) -> Request<'static> {
    Request { hbm_address: 16, length, bytes: &[] }
}

#[test]
fn the_gpu_is_told_where_the_ring_is() {
    let bench = bench(Engine::CopyOut);
    let register = |offset| bench.bus.registers[&ring(Engine::CopyOut, offset)];
    let base = bench.memory.address() as u32;
    assert_eq!(register(registers::RING_ADDRESS), base + bench.place.descriptors as u32);
    assert_eq!(register(registers::RING_SLOTS), base + bench.place.slots as u32);
    assert_eq!(register(registers::RING_ENTRIES), 4);
    assert_eq!(register(registers::RING_SLOT_SIZE), 4096);
    assert_eq!(register(registers::RING_ENABLE), 1);
}

#[test]
fn bytes_come_back_and_are_never_in_clear_in_shared_memory() {
    let mut bench = bench(Engine::CopyOut);
    bench.ring.submit(&bench.memory, &out_request(64)).unwrap();
    let mut buffer = [0; 64];
    assert_eq!(bench.ring.poll(&bench.memory, &mut buffer).unwrap(), None);
    bench.engine.serve();
    assert_eq!(bench.ring.poll(&bench.memory, &mut buffer).unwrap(), Some(Outcome::Done));
    assert_eq!(buffer, bench.engine.hbm[16..80]);
    assert!(!bench.memory.contains(&buffer[..16]));
}

#[test]
fn a_ring_takes_as_many_requests_as_it_has_entries() {
    let mut bench = bench(Engine::CopyOut);
    for _ in 0..4 {
        bench.ring.submit(&bench.memory, &out_request(8)).unwrap();
    }
    let refused = bench.ring.submit(&bench.memory, &out_request(8));
    assert_eq!(refused, Err(Error::Full(Engine::CopyOut)));
}

#[test]
fn entries_are_used_again_lap_after_lap() {
    let mut bench = bench(Engine::CopyOut);
    for _ in 0..11 {
        bench.ring.submit(&bench.memory, &out_request(8)).unwrap();
        bench.engine.serve();
        let mut buffer = [0; 8];
        assert_eq!(bench.ring.poll(&bench.memory, &mut buffer).unwrap(), Some(Outcome::Done));
    }
}

/// Flips one bit of a response's descriptor and says what the driver makes of it.
fn after_flipping(at: usize) -> Result<Option<Outcome>, Error> {
    let mut bench = bench(Engine::CopyOut);
    bench.ring.submit(&bench.memory, &out_request(64)).unwrap();
    bench.engine.serve();
    bench.memory.flip(bench.place.descriptors + response_offset(1, 4) as usize + at);
    bench.ring.poll(&bench.memory, &mut [0; 64])
}

#[test]
fn each_changed_byte_of_a_response_ends_the_session_with_the_error_of_its_field() {
    for at in 0..DESCRIPTOR_SIZE {
        let expected = match at {
            // Sequence 1 with its lowest bit flipped is 0: not there yet.
            0 => {
                assert_eq!(after_flipping(at), Ok(None));
                continue;
            }
            1..8 => Field::Sequence,
            8..16 => Field::HbmAddress,
            16..20 => Field::Length,
            20..24 => Field::Engine,
            // Outcome 0 becomes 1, which carries no bytes, so its length is wrong.
            24 => Field::Length,
            25..28 => Field::Outcome,
            32..48 => {
                let refused = after_flipping(at);
                assert!(matches!(refused, Err(Error::Channel { .. })), "byte {at}: {refused:?}");
                continue;
            }
            _ => Field::Reserved,
        };
        let error = Error::Changed { engine: Engine::CopyOut, sequence: 1, field: expected };
        assert_eq!(after_flipping(at), Err(error), "byte {at}");
    }
}

#[test]
fn a_changed_byte_of_the_slot_gives_no_plaintext() {
    let mut bench = bench(Engine::CopyOut);
    bench.ring.submit(&bench.memory, &out_request(64)).unwrap();
    bench.engine.serve();
    bench.memory.flip(bench.place.slots + 4096 + 63);
    let mut buffer = [9; 64];
    let refused = bench.ring.poll(&bench.memory, &mut buffer);
    assert!(matches!(refused, Err(Error::Channel { engine: Engine::CopyOut, .. })));
    assert_eq!(buffer, [0; 64]);
}

#[test]
fn an_earlier_response_in_a_later_place_is_no_response() {
    let mut bench = bench(Engine::CopyOut);
    for _ in 0..2 {
        bench.ring.submit(&bench.memory, &out_request(64)).unwrap();
    }
    bench.engine.serve();
    let mut first = [0; DESCRIPTOR_SIZE];
    bench.memory.read(bench.place.descriptors + response_offset(1, 4) as usize, &mut first);
    assert_eq!(bench.ring.poll(&bench.memory, &mut [0; 64]), Ok(Some(Outcome::Done)));
    bench.memory.write(bench.place.descriptors + response_offset(2, 4) as usize, &first);
    let error = Error::Changed { engine: Engine::CopyOut, sequence: 2, field: Field::Sequence };
    assert_eq!(bench.ring.poll(&bench.memory, &mut [0; 64]), Err(error));
}

#[test]
fn a_refused_range_is_an_outcome_and_not_an_error() {
    let mut bench = bench(Engine::CopyOut);
    bench
        .ring
        .submit(&bench.memory, &Request { hbm_address: 1 << 40, length: 64, bytes: &[] })
        .unwrap();
    bench.engine.serve();
    let mut buffer = [0; 64];
    assert_eq!(bench.ring.poll(&bench.memory, &mut buffer), Ok(Some(Outcome::OutOfRange)));
}

#[test]
fn a_gpu_that_does_not_take_the_ring_is_noticed() {
    /// A bus whose registers do not hold.
    struct Deaf(FakeBus);
    impl Bus for Deaf {
        fn config_read(&mut self, offset: u16) -> u32 {
            self.0.config_read(offset)
        }
        fn config_write(&mut self, _: u16, _: u32) {}
        fn register_read32(&mut self, _: u64) -> u32 {
            0
        }
        fn register_write32(&mut self, _: u64, _: u32) {}
        fn register_read64(&mut self, _: u64) -> u64 {
            0
        }
        fn register_write64(&mut self, _: u64, _: u64) {}
    }
    let layout = Layout::new(4096, 4).unwrap();
    let memory = FakeMemory::new(layout.length());
    let started = Ring::start(
        Engine::Command,
        layout.place(Engine::Command),
        Protection::plain(),
        &mut Deaf(FakeBus::new()),
        &memory,
    );
    assert_eq!(started.err(), Some(Error::Refused(Engine::Command)));
}
