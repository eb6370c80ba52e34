//! The workload `idle`: attested GPUs, and nothing else, until the machine is stopped.
//!
//! It still notices when a session ends, and attests again.

use rand_core::CryptoRng;
use ravelin_driver::{Bus, Clock, SharedMemory};

use crate::fleet::Fleet;
use crate::task::{Error, Host, Repeat};

/// Between two looks at the GPUs.
const LOOK_US: u64 = 200_000;

/// Attests the GPUs and looks after their sessions, so many looks long.
///
/// # Errors
/// A GPU is refused, or lost for good.
pub fn run<B: Bus, M: SharedMemory, C: Clock, R: CryptoRng, H: Host>(
    fleet: &mut Fleet<'_, B, M, C, R, H>,
    looks: Repeat,
) -> Result<(), Error> {
    let mut number = 1;
    while looks.includes(number) {
        fleet.on_each(|guarded| guarded.work(|gpu| Ok(gpu.check()?)))?;
        fleet.pause(LOOK_US);
        number += 1;
    }
    Ok(())
}
