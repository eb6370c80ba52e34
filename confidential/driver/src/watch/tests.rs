use super::*;
use crate::testing::{FakeBus, FakeClock};

const SESSION: Baseline = Baseline { reset_count: 3, session: true };

fn bus(status: u32, resets: u32) -> FakeBus {
    let mut bus = FakeBus::new();
    bus.registers.insert(registers::STATUS, status);
    bus.registers.insert(registers::RESET_COUNT, resets);
    bus.registers.insert(registers::ring(Engine::CopyIn, registers::RING_ENABLE), 1);
    bus
}

/// Waits until something comes of it.
fn wait(bus: &mut FakeBus, patience_us: u64) -> Lost {
    let (clock, mut watch) =
        (FakeClock::default(), Watch::new(SESSION, Engine::CopyIn, patience_us));
    loop {
        if let Err(lost) = watch.quiet(bus, &clock) {
            return lost;
        }
    }
}

#[test]
fn each_end_of_a_session_has_its_own_name() {
    assert_eq!(SESSION.check(&mut bus(2, 3)), Ok(()));
    assert_eq!(SESSION.check(&mut bus(2, 4)), Err(Lost::Reset { before: 3, now: 4 }));
    assert_eq!(SESSION.check(&mut bus(0, 3)), Err(Lost::Reset { before: 3, now: 3 }));
    assert_eq!(SESSION.check(&mut bus(3, 3)), Err(Lost::SessionFailed));
    assert_eq!(SESSION.check(&mut bus(1, 3)), Err(Lost::SessionEnded));
    assert_eq!(SESSION.check(&mut bus(u32::MAX, u32::MAX)), Err(Lost::Gone));
}

#[test]
fn plain_mode_has_no_session_to_lose() {
    let plain = Baseline { session: false, ..SESSION };
    assert_eq!(plain.check(&mut bus(1, 3)), Ok(()));
    assert_eq!(plain.check(&mut bus(1, 4)), Err(Lost::Reset { before: 3, now: 4 }));
}

#[test]
fn a_reset_is_noticed_while_waiting() {
    assert_eq!(wait(&mut bus(1, 4), 1_000_000), Lost::Reset { before: 3, now: 4 });
}

#[test]
fn a_ring_that_the_gpu_stopped_is_not_waited_for() {
    let mut bus = bus(2, 3);
    bus.registers.insert(registers::ring(Engine::CopyIn, registers::RING_ENABLE), 0);
    assert_eq!(wait(&mut bus, 1_000_000), Lost::RingStopped(Engine::CopyIn));
}

#[test]
fn silence_ends() {
    assert!(matches!(wait(&mut bus(2, 3), 50_000), Lost::Silent(50_000..52_000)));
}

#[test]
fn registers_are_read_rarely() {
    /// Counts reads.
    struct Counting(FakeBus, u32);
    impl Bus for Counting {
        fn config_read(&mut self, offset: u16) -> u32 {
            self.0.config_read(offset)
        }
        fn config_write(&mut self, _: u16, _: u32) {}
        fn register_read32(&mut self, offset: u64) -> u32 {
            self.1 += 1;
            self.0.register_read32(offset)
        }
        fn register_write32(&mut self, _: u64, _: u32) {}
        fn register_read64(&mut self, offset: u64) -> u64 {
            self.0.register_read64(offset)
        }
        fn register_write64(&mut self, _: u64, _: u64) {}
    }
    let mut bus = Counting(bus(2, 3), 0);
    let (clock, mut watch) = (FakeClock::default(), Watch::new(SESSION, Engine::CopyIn, 10_000));
    while watch.quiet(&mut bus, &clock).is_ok() {}
    // Three registers a millisecond, for ten milliseconds.
    assert!((24..=30).contains(&bus.1), "{} reads", bus.1);
}
