//! Row 16 of the threats: shared memory that changes between check and use.
//!
//! A thread flips bits all over the rings, as fast as it can, while the driver works. Sessions die
//! of it, over and over; what must never happen is that bytes come in that the other side did not
//! write.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ravelin_driver::{Error, SharedMemory};
use ravelin_gpu_abi::Engine;
use ravelin_tests::stage::{Stage, trust};

const LENGTH: usize = 1 << 20;
const TEST_FOR: Duration = Duration::from_secs(8);

/// A generator of places and times, the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[test]
fn a_concurrent_mutator_never_gets_unauthenticated_bytes_in() {
    let stage = Stage::confidential();
    let mut driver = stage.driver();
    driver.set_patience(20_000);
    trust::attest(&mut driver).unwrap();
    let base = driver.memory_range().start;
    let targets = [
        (stage.ring(Engine::CopyIn).request(0), 4096),
        (stage.ring(Engine::CopyOut).request(0), 4096),
        (stage.ring(Engine::CopyIn).slot(0), 2 << 20),
        (stage.ring(Engine::CopyOut).slot(0), 2 << 20),
    ];
    let stop = Arc::new(AtomicBool::new(false));
    let mutator = {
        let (pages, stop) = (Arc::clone(&stage.pages), Arc::clone(&stop));
        thread::spawn(move || {
            let mut dice = Dice(0x1234_5678_9abc_def1);
            let length = pages.length();
            while !stop.load(Ordering::Relaxed) {
                let (start, within) = targets[dice.below(targets.len())];
                let at = (start + dice.below(within)).min(length - 1);
                pages.flip(at, 1 << dice.below(8));
                // Some transfers must get through, or else nothing is tested.
                thread::sleep(Duration::from_micros(dice.below(3000) as u64));
            }
        })
    };

    let (old, new) = (vec![0x11; LENGTH], vec![0x22; LENGTH]);
    let (mut whole, mut lost) = (0, 0);
    let end = Instant::now() + TEST_FOR;
    while Instant::now() < end {
        let round =
            driver.copy_in(base, &old).and_then(|()| driver.copy_in(base, &new)).and_then(|()| {
                let mut found = vec![0; LENGTH];
                let copied = driver.copy_out(base, &mut found);
                match &copied {
                    Ok(()) => assert!(found == new, "unauthentic bytes came in"),
                    Err(_) => assert!(found.iter().all(|byte| *byte == 0)),
                }
                copied
            });
        match round {
            Ok(()) => whole += 1,
            Err(Error::Lost(_)) => {
                lost += 1;
                assert!(!driver.has_session());
                trust::attest(&mut driver).unwrap();
                // What is in HBM now is chunk by chunk the old or the new, or scrubbed.
                let mut found = vec![0; LENGTH];
                if driver.copy_out(base, &mut found).is_ok() {
                    for chunk in found.chunks(driver.chunk() as usize) {
                        let first = chunk[0];
                        assert!([0, 0x11, 0x22].contains(&first), "{first:#x} came into HBM");
                        assert!(chunk.iter().all(|byte| *byte == first), "a torn chunk");
                    }
                } else {
                    trust::attest(&mut driver).unwrap();
                }
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    stop.store(true, Ordering::Relaxed);
    mutator.join().unwrap();
    assert!(whole > 0, "no transfer got through, so nothing was tested");
    assert!(lost > 0, "the mutator never hit anything");
}
