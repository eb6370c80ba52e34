//! Randomness from the processor: RDSEED, or RDRAND where it has none to give.
//!
//! A confidential guest has no other source that the host does not see.

// Intrinsics.
#![allow(unsafe_code)]

use core::arch::x86_64::{__cpuid, __cpuid_count, _rdrand64_step, _rdseed64_step};
use core::convert::Infallible;
use rand_core::{TryCryptoRng, TryRng};

const RDRAND: u32 = 1 << 30;
const RDSEED: u32 = 1 << 18;
/// Intel SDM, 7.3.17: ten failures in a row of RDRAND mean that it is broken.
const TRIES: u32 = 10;
/// RDSEED may have nothing for a while under load.
const SEED_TRIES: u32 = 32;

/// The processor's generator.
#[derive(Clone, Copy, Debug)]
pub struct HardwareRng {
    has_seed: bool,
}

impl HardwareRng {
    /// The generator; `None` where the processor has none, or it is stuck.
    pub fn new() -> Option<Self> {
        if __cpuid(1).ecx & RDRAND == 0 {
            return None;
        }
        let rng = Self { has_seed: __cpuid_count(7, 0).ebx & RDSEED != 0 };
        // A broken generator of some processors returns the same number for ever.
        let first = rng.number();
        (0..TRIES).any(|_| rng.number() != first).then_some(rng)
    }

    fn number(&self) -> u64 {
        if self.has_seed
            && let Some(number) = self.seed()
        {
            return number;
        }
        loop {
            if let Some(number) = rdrand() {
                return number;
            }
            // A guest without randomness must not go on.
            core::hint::spin_loop();
        }
    }

    fn seed(&self) -> Option<u64> {
        (0..SEED_TRIES).find_map(|_| {
            let mut number = 0;
            // SAFETY: CPUID says that the instruction exists.
            let done = unsafe { rdseed(&mut number) };
            (done == 1).then_some(number)
        })
    }
}

/// # Safety
/// CPUID must report RDSEED.
#[target_feature(enable = "rdseed")]
unsafe fn rdseed(number: &mut u64) -> i32 {
    _rdseed64_step(number)
}

/// # Safety
/// CPUID must report RDRAND.
#[target_feature(enable = "rdrand")]
unsafe fn rdrand_step(number: &mut u64) -> i32 {
    _rdrand64_step(number)
}

fn rdrand() -> Option<u64> {
    (0..TRIES).find_map(|_| {
        let mut number = 0;
        // SAFETY: `new` has seen that the instruction exists.
        let done = unsafe { rdrand_step(&mut number) };
        (done == 1).then_some(number)
    })
}

impl TryRng for HardwareRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.number() as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.number())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let number = self.number().to_le_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for HardwareRng {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_filled() {
        let Some(mut rng) = HardwareRng::new() else { return };
        let mut seen = [0u8; 13];
        for _ in 0..64 {
            let mut bytes = [0; 13];
            rng.try_fill_bytes(&mut bytes).unwrap();
            for (seen, byte) in seen.iter_mut().zip(bytes) {
                *seen |= byte;
            }
        }
        assert!(seen.iter().all(|byte| *byte != 0), "{seen:?}");
    }
}
