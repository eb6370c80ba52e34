//! Waiting on shared memory while keeping an eye on the GPU: reset, failed session, silence.
//!
//! A register costs an exit, so it is read rarely: first after a millisecond without progress, then
//! every millisecond. The registers come through the host and are believed for one thing only: that
//! waiting on is useless.

use ravelin_gpu_abi::Engine;
use ravelin_gpu_abi::registers::{self, Status};

use crate::bus::Bus;
use crate::clock::Clock;

/// Between two looks at the registers.
const LOOK_US: u64 = 1_000;

/// Why waiting on is useless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// The GPU was reset: its keys and memory are gone.
    #[error("The GPU was reset ({now} resets, {before} when the session began); attest it again")]
    Reset {
        /// Reset count when the session began.
        before: u32,
        /// Reset count now.
        now: u32,
    },
    /// The GPU has ended the session: a record that reached it was not authentic.
    #[error("The GPU has ended the session over a bad record; attest it again")]
    SessionFailed,
    /// The GPU has no session any more, though it was not reset.
    #[error("The GPU has no session any more; attest it again")]
    SessionEnded,
    /// The GPU has stopped the engine's ring: it could not reach the shared memory.
    #[error("The GPU has stopped the ring of {0:?}: its memory is not shared; attest it again")]
    RingStopped(Engine),
    /// The function reads all ones.
    #[error("The GPU has gone from the bus")]
    Gone,
    /// Nothing happens.
    #[error("The GPU has not answered for {0} us; a record was lost or its engine hangs")]
    Silent(u64),
}

/// What a session expects of the registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Baseline {
    /// Reset count when the session began.
    pub(crate) reset_count: u32,
    /// Whether a session must be established, rather than plain mode.
    pub(crate) session: bool,
}

impl Baseline {
    /// Looks at the registers once.
    pub(crate) fn check(&self, bus: &mut impl Bus) -> Result<(), Lost> {
        let now = bus.register_read32(registers::RESET_COUNT);
        let status = bus.register_read32(registers::STATUS);
        if now == u32::MAX && status == u32::MAX {
            return Err(Lost::Gone);
        }
        if now != self.reset_count {
            return Err(Lost::Reset { before: self.reset_count, now });
        }
        match Status::from_value(status) {
            Some(Status::Failed) => Err(Lost::SessionFailed),
            Some(Status::Session) => Ok(()),
            Some(Status::Ready) if !self.session => Ok(()),
            // A boot in progress is a reset whose count has not been read yet.
            Some(Status::Booting) => Err(Lost::Reset { before: self.reset_count, now }),
            Some(Status::Ready) => Err(Lost::SessionEnded),
            None => Err(Lost::Gone),
        }
    }
}

/// One wait.
pub(crate) struct Watch {
    baseline: Baseline,
    engine: Engine,
    patience_us: u64,
    /// When something last happened; `None` while it has just happened.
    quiet_since: Option<u64>,
    looked: u64,
}

impl Watch {
    /// Waits for this engine, at most `patience_us` for each sign of progress.
    pub(crate) fn new(baseline: Baseline, engine: Engine, patience_us: u64) -> Watch {
        Watch { baseline, engine, patience_us, quiet_since: None, looked: 0 }
    }

    /// Something happened.
    pub(crate) fn progress(&mut self) {
        self.quiet_since = None;
    }

    /// Nothing happened: one turn of a waiting loop.
    pub(crate) fn quiet(&mut self, bus: &mut impl Bus, clock: &impl Clock) -> Result<(), Lost> {
        let now = clock.now_us();
        let Some(since) = self.quiet_since else {
            self.quiet_since = Some(now);
            self.looked = now;
            return Ok(());
        };
        if now.saturating_sub(self.looked) >= LOOK_US {
            self.looked = now;
            self.baseline.check(bus)?;
            if bus.register_read32(registers::ring(self.engine, registers::RING_ENABLE)) == 0 {
                return Err(Lost::RingStopped(self.engine));
            }
        }
        let quiet = now.saturating_sub(since);
        if quiet >= self.patience_us {
            return Err(Lost::Silent(quiet));
        }
        clock.relax();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
