use crate::virtio::harness::{BUFFERS, Guest, eventually, writable};
use crate::virtio::queue::{Broken, VirtQueue};
use crate::virtio::{Device, Event, Kind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Panics at its second chain.
#[derive(Default)]
struct Brittle(usize);

impl Device for Brittle {
    fn kind(&self) -> Kind {
        Kind::Rng
    }
    fn queues(&self) -> &'static [u16] {
        &[16]
    }
    fn handle(&mut self, _: Event, queues: &mut [VirtQueue]) -> Result<(), Broken> {
        while let Some(chain) = queues[0].take()? {
            self.0 += 1;
            assert!(self.0 < 2, "as expected by its test");
            queues[0].give_back(chain)?;
        }
        Ok(())
    }
}

#[test]
fn a_device_that_panics_is_lost_and_nothing_else() {
    let (guest, mut queues) = Guest::started(Brittle::default(), 0);
    guest.round_trip(&mut queues[0], &[writable(BUFFERS, 8)]);
    queues[0].offer(&guest, &[writable(BUFFERS, 8)]);
    guest.kick(&queues[0]);
    guest.wait_for_reset_request();
    // Nobody knows its state, so no driver gets it again; resets still work.
    guest.start(0);
    guest.wait_for_reset_request();
    guest.write_common(0x14, &[0]);
    assert_eq!(guest.status(), 0);
}

/// Takes whatever comes and counts its turns.
struct Hungry(Arc<AtomicUsize>);

impl Device for Hungry {
    fn kind(&self) -> Kind {
        Kind::Rng
    }
    fn queues(&self) -> &'static [u16] {
        &[16]
    }
    fn handle(&mut self, _: Event, queues: &mut [VirtQueue]) -> Result<(), Broken> {
        self.0.fetch_add(1, Ordering::SeqCst);
        while let Some(chain) = queues[0].take()? {
            queues[0].give_back(chain)?;
        }
        Ok(())
    }
}

#[test]
fn a_device_without_work_does_not_turn() {
    let turns = Arc::new(AtomicUsize::new(0));
    let (guest, mut queues) = Guest::started(Hungry(turns.clone()), 0);
    guest.round_trip(&mut queues[0], &[writable(BUFFERS, 8)]);
    let before = turns.load(Ordering::SeqCst);
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(turns.load(Ordering::SeqCst), before);
}

#[test]
fn after_a_reset_rings_are_left_alone() {
    let turns = Arc::new(AtomicUsize::new(0));
    let (guest, mut queues) = Guest::started(Hungry(turns.clone()), 0);
    guest.write_common(0x14, &[0]);
    let before = turns.load(Ordering::SeqCst);
    queues[0].offer(&guest, &[writable(BUFFERS, 8)]);
    guest.kick(&queues[0]);
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert_eq!(turns.load(Ordering::SeqCst), before);
    assert_eq!(queues[0].poll(&guest), None);
}

#[test]
fn a_driver_that_feeds_without_an_end_gets_its_reset() {
    let (guest, mut queues) = Guest::started(Hungry(Arc::default()), 0);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = StopOnDrop(&stop);
        let (feeder, guest, stop) = (&mut queues[0], &guest, &stop);
        scope.spawn(move || {
            let mut outstanding = 0;
            while !stop.load(Ordering::SeqCst) {
                // So that the ring is never empty for long.
                while outstanding < 12 {
                    feeder.offer(guest, &[writable(BUFFERS, 8)]);
                    outstanding += 1;
                }
                guest.kick(feeder);
                while feeder.poll(guest).is_some() {
                    feeder.wait(guest);
                    outstanding -= 1;
                }
            }
        });
        eventually("the feeder has begun", || guest.interrupts(1) > 100);
        guest.write_common(0x14, &[0]);
        assert_eq!(guest.status(), 0);
    });
}

/// Also where an assertion fails: the scope waits for its threads.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
