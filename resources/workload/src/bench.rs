//! The workload `bench`: how fast the encrypted path is, and how fast it could be at best.
//!
//! In one run, on one core of one machine: the real path both ways, the same cipher alone on
//! private memory, a memory copy, and an empty command. Of three measurements the best counts: what
//! is asked is what the path can do, not what else the machine does.

use alloc::vec;
use alloc::vec::Vec;
use core::hint::black_box;

use rand_core::CryptoRng;
use ravelin_channel::{Binding, Direction, ExportMasterSecret, Opener, Sealed, Sealer};
use ravelin_driver::{Bus, Clock, Gpu, SharedMemory};
use ravelin_gpu_abi::command::Command;
use ravelin_report::{Bench, Event};
use zeroize::Zeroize;

use crate::guarded::Guarded;
use crate::place::Places;
use crate::task::{Error, Host};

const MEASUREMENTS: usize = 3;
const ROUND_TRIPS: u64 = 64;
/// Bytes that the cipher alone works on between two looks at the clock: they stay in the cache.
const GROUP: usize = 256 << 10;
const PAGE: usize = 4096;

/// Runs the workload: `size` bytes each way, in the records that the GPU was opened with.
pub fn run<B: Bus, M: SharedMemory, C: Clock, R: CryptoRng, H: Host>(
    guarded: &mut Guarded<'_, B, M, C, R, H>,
    size: u64,
) -> Result<(), Error> {
    let length = usize::try_from(size).ok().filter(|size| *size > 0).ok_or(Error::Size(size))?;
    let mut plaintext = Vec::new();
    let mut returned = Vec::new();
    for buffer in [&mut plaintext, &mut returned] {
        buffer.try_reserve_exact(length).map_err(|_| Error::Size(size))?;
        buffer.resize(length, 0);
    }
    fill(&mut plaintext);

    let mut bench = guarded.work(|gpu| path(gpu, &plaintext, &mut returned))?;
    let mut secret = [0; 48];
    guarded.rng().fill_bytes(&mut secret);
    let secret = ExportMasterSecret::new(secret);
    let clock = guarded.gpu.clock();
    bench.memcpy = best(|| {
        let start = clock.now_us();
        black_box(&mut returned[..]).copy_from_slice(black_box(&plaintext));
        Ok(speed(length, clock.now_us() - start))
    })?;
    (bench.raw_seal, bench.raw_open) = cipher(clock, &secret, &plaintext, bench.chunk as usize)?;
    guarded.host.report(&Event::Bench(bench));
    Ok(())
}

/// Bytes that no shortcut can guess.
fn fill(buffer: &mut [u8]) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for bytes in buffer.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let word = state.to_le_bytes();
        for (byte, value) in bytes.iter_mut().zip(word) {
            *byte = value;
        }
    }
}

/// The real path: sealed, moved, opened, both ways.
fn path<B: Bus, M: SharedMemory, C: Clock>(
    gpu: &mut Gpu<B, M, C>,
    plaintext: &[u8],
    returned: &mut [u8],
) -> Result<Bench, Error> {
    let size = plaintext.len();
    let place = Places::new(gpu.memory_range()).take(size as u64)?;
    // Memory that neither side has touched yet costs page faults, which are nobody's question.
    gpu.copy_in(place, plaintext)?;
    let h2d = best(|| {
        let start = gpu.clock().now_us();
        gpu.copy_in(place, plaintext)?;
        Ok(speed(size, gpu.clock().now_us() - start))
    })?;
    let d2h = best(|| {
        let start = gpu.clock().now_us();
        gpu.copy_out(place, returned)?;
        Ok(speed(size, gpu.clock().now_us() - start))
    })?;
    let start = gpu.clock().now_us();
    for _ in 0..ROUND_TRIPS {
        gpu.launch(Command::Nop)?;
    }
    let round_trip_us = (gpu.clock().now_us() - start) as f64 / ROUND_TRIPS as f64;
    Ok(Bench {
        size: size as u64,
        chunk: gpu.chunk(),
        h2d,
        d2h,
        raw_seal: 0.0,
        raw_open: 0.0,
        memcpy: 0.0,
        round_trip_us,
        intact: plaintext == returned,
    })
}

/// The cipher alone: records of `chunk` bytes sealed out of place and opened in place, in private
/// memory that stays in the cache. Bytes a second of either.
fn cipher(
    clock: &impl Clock,
    secret: &ExportMasterSecret,
    plaintext: &[u8],
    chunk: usize,
) -> Result<(f64, f64), Error> {
    let mut fastest = (0.0, 0.0);
    let group = chunk * (GROUP / chunk).max(1);
    let mut memory = vec![0; group + PAGE];
    let start = memory.as_ptr().align_offset(PAGE).min(PAGE);
    let ciphertext = memory.get_mut(start..start + group).unwrap_or_default();
    for _ in 0..MEASUREMENTS {
        let mut sealer = Sealer::new(secret, 0, Direction::GuestToGpu);
        let mut opener = Opener::new(secret, 0, Direction::GuestToGpu);
        let (mut sealing, mut opening) = (0, 0);
        let mut tags: Vec<Sealed> = Vec::with_capacity(group / chunk);
        for part in plaintext.chunks(group) {
            tags.clear();
            let started = clock.now_us();
            for (plain, cipher) in part.chunks(chunk).zip(ciphertext.chunks_mut(chunk)) {
                let cipher = cipher.get_mut(..plain.len()).unwrap_or_default();
                tags.push(sealer.seal(&binding(plain), plain, cipher)?);
            }
            let sealed = clock.now_us();
            for ((plain, cipher), tag) in
                part.chunks(chunk).zip(ciphertext.chunks_mut(chunk)).zip(&tags)
            {
                let cipher = cipher.get_mut(..plain.len()).unwrap_or_default();
                opener.open_in_place(tag.sequence, &binding(plain), &tag.tag, cipher)?;
            }
            sealing += sealed - started;
            opening += clock.now_us() - sealed;
        }
        fastest.0 = speed(plaintext.len(), sealing).max(fastest.0);
        fastest.1 = speed(plaintext.len(), opening).max(fastest.1);
    }
    ciphertext.zeroize();
    Ok(fastest)
}

fn binding(record: &[u8]) -> Binding {
    Binding { hbm_address: 0, length: record.len() as u32, outcome: 0 }
}

/// The highest speed of some measurements.
fn best(mut measure: impl FnMut() -> Result<f64, Error>) -> Result<f64, Error> {
    let mut best = 0.0;
    for _ in 0..MEASUREMENTS {
        best = measure()?.max(best);
    }
    Ok(best)
}

/// Bytes a second.
fn speed(bytes: usize, microseconds: u64) -> f64 {
    bytes as f64 * 1e6 / microseconds.max(1) as f64
}
