//! The probes: what must be impossible, tried through a running machine.
//!
//! Two attacks that the guest's own processor can mount. Through the window on HBM it reads and
//! writes at the edges of the protected region, in each width and astride the edge: all ones must
//! come back, and the region must not change. And it gives the GPU a ring in *private* memory: the
//! DMA gate must refuse, so that no request is ever taken from there. Each attack has a control that
//! must succeed, or else its failure would say nothing.

use core::ops::Range;

use rand_core::CryptoRng;
use ravelin_driver::{Bus, Clock, Gpu, Lost, SharedMemory, watch};
use ravelin_gpu_abi::WINDOW_BAR_SIZE;
use ravelin_gpu_abi::command::{Command, Reply};

use crate::guarded::Guarded;
use crate::task::{Error, Host};

/// The window on HBM, BAR2: plain loads and stores of 1, 2, 4 or 8 bytes, aligned or not.
pub trait Window {
    /// Loads `width` bytes.
    fn read(&mut self, offset: u64, width: u8) -> u64;
    /// Stores the lowest `width` bytes.
    fn write(&mut self, offset: u64, width: u8, value: u64);
}

const WIDTHS: [u8; 4] = [1, 2, 4, 8];
/// Bytes at each edge that are watched.
const EDGE: usize = 64;
/// What stands in the protected region.
const SECRET: u8 = 0x5a;
/// What an attacker would like to stand there.
const FORGED: u64 = 0xa5a5_a5a5_a5a5_a5a5;
/// A word for the open region, as a control.
const OPEN: u64 = 0x0123_4567_89ab_cdef;

/// Row 13 of the threats: MMIO into the protected region.
///
/// # Errors
/// [`Error::Probe`] where it gets through.
pub fn window<B: Bus, M: SharedMemory, C: Clock, R: CryptoRng, H: Host>(
    guarded: &mut Guarded<'_, B, M, C, R, H>,
    window: &mut impl Window,
) -> Result<(), Error> {
    guarded.work(|gpu| through_the_window(gpu, window))
}

fn through_the_window<B: Bus, M: SharedMemory, C: Clock>(
    gpu: &mut Gpu<B, M, C>,
    window: &mut impl Window,
) -> Result<(), Error> {
    if !gpu.is_protected() {
        return Err(Error::Probe("this GPU protects nothing"));
    }
    let Range { start, end } = gpu.memory_range();
    let seen_end = end.min(WINDOW_BAR_SIZE);
    if start < EDGE as u64 || seen_end.saturating_sub(start) < EDGE as u64 {
        return Err(Error::Probe("the window does not reach the protected region"));
    }
    let edges = [start, seen_end - EDGE as u64];
    for edge in edges {
        gpu.copy_in(edge, &[SECRET; EDGE])?;
    }

    window.write(start - 8, 8, OPEN);
    if window.read(start - 8, 8) != OPEN {
        return Err(Error::Probe("the window does not work where it should"));
    }
    let before = gpu.violations();
    let mut refused = 0;
    for edge in edges {
        for width in WIDTHS {
            let last = edge + EDGE as u64 - u64::from(width);
            for at in [edge, last] {
                if window.read(at, width) != ones(width) {
                    return Err(Error::Probe("the window shows the protected region"));
                }
                window.write(at, width, FORGED);
                refused += 2;
            }
        }
    }
    for width in WIDTHS.into_iter().filter(|width| *width > 1) {
        // Astride the edge. The processor may split the access; the protected half is refused.
        let half = width / 2;
        let read = window.read(start - u64::from(half), width);
        if read >> (8 * half) != ones(half) {
            return Err(Error::Probe("an access astride the edge shows the protected region"));
        }
        window.write(start - u64::from(half), width, FORGED);
        refused += 2;
    }
    for edge in edges {
        let mut found = [0; EDGE];
        gpu.copy_out(edge, &mut found)?;
        if found != [SECRET; EDGE] {
            return Err(Error::Probe("the window has changed the protected region"));
        }
    }
    if gpu.violations().wrapping_sub(before) < refused {
        return Err(Error::Probe("the GPU has not counted every violation"));
    }
    Ok(())
}

/// Row 15 of the threats: DMA to private memory. `private` is memory that is *not* shared with
/// devices, large enough for the rings.
///
/// # Errors
/// [`Error::Probe`] where it gets through.
pub fn private_ring<B: Bus, M: SharedMemory, C: Clock, R: CryptoRng, H: Host>(
    guarded: Guarded<'_, B, M, C, R, H>,
    private: M,
) -> Result<(), Error> {
    let (mut guarded, shared) = guarded.with_memory(private)?;
    guarded.attest()?;
    match guarded.gpu.launch(Command::Nop) {
        Err(ravelin_driver::Error::Lost(Lost::Gpu(watch::Lost::RingStopped(_)))) => {}
        Ok(_) => return Err(Error::Probe("the GPU has taken a request from private memory")),
        Err(error) => return Err(error.into()),
    }
    let (mut guarded, _) = guarded.with_memory(shared)?;
    match guarded.work(|gpu| Ok(gpu.launch(Command::Nop)?))? {
        Reply::Done => Ok(()),
        _ => Err(Error::Probe("the GPU does not work with shared memory either")),
    }
}

/// `width` bytes of all ones.
fn ones(width: u8) -> u64 {
    u64::MAX >> (64 - 8 * u32::from(width))
}
