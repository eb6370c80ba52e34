//! The workload `idle`: an attested GPU, and nothing else, until the machine is stopped.
//!
//! It still notices when its session ends, and attests again.

use rand_core::CryptoRng;
use ravelin_driver::{Bus, Clock, SharedMemory};

use super::guarded::Guarded;
use super::task::{Error, Host, Repeat};

/// Between two looks at the GPU.
const LOOK_US: u64 = 200_000;

/// Attests the GPU and looks after its session, so many looks long.
///
/// # Errors
/// The GPU is refused, or lost for good.
pub fn run<B: Bus, M: SharedMemory, C: Clock, R: CryptoRng, H: Host>(
    guarded: &mut Guarded<'_, B, M, C, R, H>,
    looks: Repeat,
) -> Result<(), Error> {
    let mut number = 1;
    while looks.includes(number) {
        guarded.work(|gpu| Ok(gpu.check()?))?;
        guarded.host.pause(LOOK_US);
        number += 1;
    }
    Ok(())
}
