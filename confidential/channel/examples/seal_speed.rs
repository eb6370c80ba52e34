//! Speed of sealing and opening records of 64 KiB on one core.
//!
//! `cargo run --release -p ravelin-channel --example seal_speed`: a number to hold against the
//! table in ARCHITECTURE.md, and a loud failure where the cipher runs in software.

use std::time::Instant;

use ravelin_channel::{Binding, Direction, ExportMasterSecret, Opener, Sealer};

const RECORD: usize = 64 << 10;
const RECORDS: usize = 20_000;

fn main() -> Result<(), ravelin_channel::Error> {
    assert!(ravelin_channel::has_hardware_cipher(), "no AES instructions here");
    let secret = ExportMasterSecret::new([1; 48]);
    let mut sealer = Sealer::new(&secret, 1, Direction::GuestToGpu);
    let mut opener = Opener::new(&secret, 1, Direction::GuestToGpu);
    let binding = Binding { hbm_address: 0, length: RECORD as u32, outcome: 0 };
    let plaintext = vec![0x5a; RECORD];
    let mut ciphertext = vec![0; RECORD];

    let (mut sealing, mut opening) = (0.0, 0.0);
    for _ in 0..RECORDS {
        let start = Instant::now();
        let sealed = sealer.seal(&binding, &plaintext, &mut ciphertext)?;
        sealing += start.elapsed().as_secs_f64();
        let start = Instant::now();
        opener.open_in_place(sealed.sequence, &binding, &sealed.tag, &mut ciphertext)?;
        opening += start.elapsed().as_secs_f64();
    }
    let gigabytes = (RECORD * RECORDS) as f64 / 1e9;
    println!("seal {:.2} GB/s, open {:.2} GB/s", gigabytes / sealing, gigabytes / opening);
    Ok(())
}
