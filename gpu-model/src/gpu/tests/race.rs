//! Row 16: shared memory changed between check and use.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use ravelin_gpu_abi::Engine;
use ravelin_gpu_abi::registers::Status;

use crate::testing::{BASE, Guest, SLOT, request_place, slot, wait};

/// Of which HBM must hold nothing else.
const AUTHENTIC: u8 = 0xa5;

/// Stops the mutator, also where an assertion fails: the scope waits for it.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Sends records while another thread does `mutate`, over several sessions, and sees after each
/// that HBM holds what was sent or nothing.
fn race(sessions: u32, mutate: impl Fn(&mut [u8], u64) + Sync) -> u32 {
    let mut guest = Guest::attached();
    let mut failures = 0;
    for _ in 0..sessions {
        let stop = AtomicBool::new(false);
        let memory = guest.memory.clone();
        thread::scope(|scope| {
            scope.spawn(|| {
                for turn in 0.. {
                    if stop.load(SeqCst) {
                        break;
                    }
                    memory.with(|memory| mutate(memory, turn));
                    thread::yield_now();
                }
            });
            let _stop = StopAtEnd(&stop);
            for _ in 0..40 {
                let bytes = [AUTHENTIC; SLOT as usize];
                let sequence = guest.submit(Engine::CopyIn, BASE, SLOT, &bytes);
                guest.ring(Engine::CopyIn);
                wait(|| {
                    guest.answered(Engine::CopyIn, sequence) || guest.status() == Status::Failed
                });
                if guest.status() == Status::Failed {
                    failures += 1;
                    break;
                }
                assert_hbm_is_authentic(&guest);
            }
        });
        assert_hbm_is_authentic(&guest);
        guest.attach();
    }
    failures
}

fn assert_hbm_is_authentic(guest: &Guest) {
    assert!(guest.gpu.machine().hbm.holds_only(&[0, AUTHENTIC]));
}

#[test]
fn a_mutator_of_the_ciphertext_never_gets_its_bytes_in() {
    let failures = race(12, |memory, turn| {
        for sequence in 1..8 {
            let at = slot(Engine::CopyIn, sequence) + turn * 997 % u64::from(SLOT);
            memory[at as usize] ^= 0x40;
        }
    });
    assert!(failures > 0, "the mutator was too slow to be seen");
}

#[test]
fn a_mutator_of_the_descriptor_never_gets_its_bytes_in() {
    let failures = race(12, |memory, turn| {
        for sequence in 1..8 {
            let at = request_place(Engine::CopyIn, sequence) + 8 + turn % 24;
            memory[at as usize] ^= 0x08;
        }
    });
    assert!(failures > 0, "the mutator was too slow to be seen");
}
