//! How fast records land, against the cipher alone in the same run: the best round of each, so that
//! what else the machine does counts for little. Run it for itself, optimized:
//! `cargo test --release -p ravelin-gpu-model -- --ignored --nocapture throughput`.

use std::time::Instant;

use ravelin_channel::{Binding, Direction, ExportMasterSecret, Opener, Sealer};
use ravelin_gpu_abi::Engine;
use ravelin_gpu_abi::ring::Outcome;

use crate::testing::{BASE, ENTRIES, Guest, SLOT};

const ROUNDS: usize = 1000;

#[test]
#[ignore = "a measurement, for an optimized build on a quiet machine"]
fn sealed_records_land_at_most_of_the_speed_of_the_cipher() {
    let bytes = vec![0x5a; SLOT as usize];
    let raw = raw_open(&bytes);

    let mut guest = Guest::attached();
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let sent: Vec<u64> = (0..u64::from(ENTRIES))
            .map(|n| guest.submit(Engine::CopyIn, BASE + n * u64::from(SLOT), SLOT, &bytes))
            .collect();
        // What the guest does is not measured: only from the doorbell to the last response.
        let start = Instant::now();
        guest.ring(Engine::CopyIn);
        let last = sent[sent.len() - 1];
        while !guest.answered(Engine::CopyIn, last) {
            std::thread::yield_now();
        }
        best = best.min(start.elapsed().as_secs_f64());
        for sequence in sent {
            assert_eq!(guest.response(Engine::CopyIn, sequence).0, Outcome::Done);
        }
    }
    let landed = f64::from(ENTRIES * SLOT) / best / 1e9;
    println!("raw open {raw:.2} GB/s, landed {landed:.2} GB/s, ratio {:.2}", landed / raw);
    assert!(landed / raw > 0.7);
}

/// The cipher alone: gigabytes a second, opening records of a slot's size in private memory.
fn raw_open(bytes: &[u8]) -> f64 {
    let secret = ExportMasterSecret::new([1; 48]);
    let mut sealer = Sealer::new(&secret, 1, Direction::GuestToGpu);
    let mut opener = Opener::new(&secret, 1, Direction::GuestToGpu);
    let binding = Binding { hbm_address: 0, length: SLOT, outcome: 0 };
    let mut best = f64::MAX;
    let mut buffer = vec![0; bytes.len()];
    for _ in 0..ROUNDS {
        buffer.copy_from_slice(bytes);
        let sealed = sealer.seal_in_place(&binding, &mut buffer).unwrap();
        let start = Instant::now();
        opener.open_in_place(sealed.sequence, &binding, &sealed.tag, &mut buffer).unwrap();
        best = best.min(start.elapsed().as_secs_f64());
    }
    bytes.len() as f64 / best / 1e9
}
