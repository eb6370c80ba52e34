//! Whether this user may lock as much memory as a device will reach: asked before a guest begins, since
//! it would otherwise fail at the conversion that is one too many.

use rustix::process::{Resource, getrlimit};
use rustix::thread::{CapabilitySet, capabilities};

/// What every guest shares sooner or later: Linux has 64 MiB of bounce buffers at least.
const LEAST: u64 = 64 << 20;

/// The memlock limit is too low.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the memlock limit of {limit} bytes is too low, the device reaches {needed} bytes or more: raise \
     it (ulimit -l, or LimitMEMLOCK= of the service)"
)]
pub struct TooLittle {
    /// Bytes that may be locked.
    pub limit: u64,
    /// Bytes that will be.
    pub needed: u64,
}

/// Checks that a device may reach what is shared now, and what every guest shares later.
///
/// # Errors
/// It may not.
pub fn check(shared: u64) -> Result<(), TooLittle> {
    // Who may lock at will is not counted.
    let free =
        capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    match getrlimit(Resource::Memlock).current {
        Some(limit) if !free => suffices(limit, shared),
        _ => Ok(()),
    }
}

fn suffices(limit: u64, shared: u64) -> Result<(), TooLittle> {
    let needed = shared.max(LEAST);
    if limit < needed { Err(TooLittle { limit, needed }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_must_fit_and_what_every_guest_shares() {
        assert_eq!(suffices(LEAST, 0), Ok(()));
        assert_eq!(suffices(65_536, 0), Err(TooLittle { limit: 65_536, needed: LEAST }));
        assert_eq!(suffices(LEAST, 1 << 30), Err(TooLittle { limit: LEAST, needed: 1 << 30 }));
    }
}
