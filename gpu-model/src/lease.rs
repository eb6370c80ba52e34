//! The right to work: a number that is never used twice.
//!
//! Each session has a lease, plain mode has one, a GPU that boots or has failed has none. It is
//! withdrawn *before* anything is torn down, so that a long kernel sees that it must stop, and an
//! engine that was away in guest memory sees that what it brings back belongs to nobody.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

const NONE: u64 = 0;
/// No lease, and none is granted: a reset has begun.
const STOPPED: u64 = u64::MAX;

/// One lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease(u64);

/// The lease in force and the last one given.
pub(crate) struct Leases {
    last: AtomicU64,
    current: AtomicU64,
}

impl Leases {
    /// Stopped, as at power-on.
    pub(crate) fn new() -> Leases {
        Leases { last: AtomicU64::new(NONE), current: AtomicU64::new(STOPPED) }
    }

    /// The lease in force.
    pub(crate) fn current(&self) -> Option<Lease> {
        match self.current.load(SeqCst) {
            NONE | STOPPED => None,
            lease => Some(Lease(lease)),
        }
    }

    /// Whether `lease` is in force.
    pub(crate) fn is_live(&self, lease: Lease) -> bool {
        self.current.load(SeqCst) == lease.0
    }

    /// Puts a new lease into force, unless a reset has begun.
    pub(crate) fn grant(&self) {
        let lease = self.last.fetch_add(1, SeqCst) + 1;
        self.replace(lease);
    }

    /// Leaves no lease in force.
    pub(crate) fn withdraw(&self) {
        self.replace(NONE);
    }

    /// Leaves no lease in force and grants none until [`Leases::restart`].
    pub(crate) fn stop(&self) {
        self.current.store(STOPPED, SeqCst);
    }

    /// Leases may be granted again.
    pub(crate) fn restart(&self) {
        self.current.store(NONE, SeqCst);
    }

    fn replace(&self, with: u64) {
        // Fails only where a reset has begun, which then has the last word.
        let _ = self.current.fetch_update(SeqCst, SeqCst, |now| (now != STOPPED).then_some(with));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_lease_comes_back() {
        let leases = Leases::new();
        leases.restart();
        leases.grant();
        let first = leases.current().unwrap();
        leases.withdraw();
        assert!(!leases.is_live(first));
        leases.grant();
        assert!(!leases.is_live(first));
        assert!(leases.current().is_some());
    }

    #[test]
    fn nothing_is_granted_while_a_reset_runs() {
        let leases = Leases::new();
        leases.restart();
        leases.stop();
        leases.grant();
        assert_eq!(leases.current(), None);
        leases.withdraw();
        leases.grant();
        assert_eq!(leases.current(), None);
        leases.restart();
        leases.grant();
        assert!(leases.current().is_some());
    }
}
