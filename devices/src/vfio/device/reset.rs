//! Resets of a physical device: of its function alone, or of its bus with everyone on it.
//!
//! During a reset nothing reaches the device: its slots are gone, its interrupts off, and accesses
//! wait. Afterwards the host's reset leaves the guest's registers as they were and tells the device
//! again what it has to know; the guest's own leaves them as after power-on, as the specification has
//! it. Its mappings stay: they are the guest's pages, not the device's state.

use super::{State, VfioDevice};
use crate::vfio::events::Happening;
use crate::vfio::hardware::BusNeighbour;
use std::fmt;
use std::io;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// How long a device may take to answer after a reset (PCI Express 6.0, section 6.6.1: 1 s).
const RECOVERY: Duration = Duration::from_secs(1);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// Kinds of reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetKind {
    /// Of the function alone.
    Flr,
    /// Of its bus.
    Bus,
}

impl fmt::Display for ResetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResetKind::Flr => "flr",
            ResetKind::Bus => "bus",
        })
    }
}

/// Why a device was not reset.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// The device has no reset of its own.
    #[error("{0} cannot be reset alone: try --kind bus")]
    NotAlone(String),
    /// It has no bus to reset.
    #[error("{0} has no bus that can be reset: it stands on a root bus")]
    NoBus(String, #[source] io::Error),
    /// A bus reset would reach somebody else's device.
    #[error("a reset of its bus would reach {}, and {} not this VM's: give it those too, or reset \
        the function alone", list(.all), are(.others))]
    OthersReached {
        /// Everyone on the bus.
        all: Vec<String>,
        /// Those that are somebody else's.
        others: Vec<String>,
    },
    /// The kernel refuses.
    #[error("the kernel refuses to reset {0}")]
    Refused(String, #[source] io::Error),
    /// It does not answer any more.
    #[error("{0} did not come back from its reset: reset its bus, or the host")]
    NotBack(String),
}

fn list(names: &[String]) -> String {
    names.join(", ")
}

fn are(names: &[String]) -> String {
    format!("{} {}", list(names), if names.len() == 1 { "is" } else { "are" })
}

impl VfioDevice {
    /// Resets the device for its operator. A device that had vanished may come back by it.
    ///
    /// # Errors
    /// It cannot be reset so, or does not come back; then it has vanished.
    pub fn reset(&self, kind: ResetKind) -> Result<u64, ResetError> {
        let mut state = self.lock();
        self.check(kind)?;
        self.interrupts.suspend();
        self.follow_bars(&mut state, false);
        let result = self.carry_out(kind);
        self.come_back(&mut state, kind, result, false)?;
        Ok(self.resets.load(Ordering::Relaxed))
    }

    /// The guest's own reset: everything that it has set up is gone, BARs included.
    pub(super) fn function_level_reset(&self) {
        let mut state = self.lock();
        self.interrupts.reset();
        state.config.reset();
        self.follow_bars(&mut state, false);
        let result = self.carry_out(ResetKind::Flr);
        if let Err(error) = self.come_back(&mut state, ResetKind::Flr, result, true) {
            tracing::warn!(%error, "guest's reset of its device failed");
        }
    }

    fn check(&self, kind: ResetKind) -> Result<(), ResetError> {
        let bdf = || self.hardware.bdf().to_owned();
        match kind {
            ResetKind::Flr if self.hardware.resettable() => Ok(()),
            ResetKind::Flr => Err(ResetError::NotAlone(bdf())),
            ResetKind::Bus => {
                let neighbours = self.hardware.bus_neighbours();
                let neighbours = neighbours.map_err(|error| ResetError::NoBus(bdf(), error))?;
                let names = |all: &[BusNeighbour]| all.iter().map(|one| one.bdf.clone()).collect();
                let others: Vec<_> =
                    neighbours.iter().filter(|neighbour| !neighbour.ours).cloned().collect();
                match others.is_empty() {
                    true => Ok(()),
                    false => Err(ResetError::OthersReached {
                        all: names(&neighbours),
                        others: names(&others),
                    }),
                }
            }
        }
    }

    fn carry_out(&self, kind: ResetKind) -> io::Result<()> {
        match kind {
            ResetKind::Flr => self.hardware.reset(),
            ResetKind::Bus => self.hardware.reset_bus(),
        }
    }

    /// Waits for the device and tells it again what it has to know.
    fn come_back(
        &self,
        state: &mut State,
        kind: ResetKind,
        result: io::Result<()>,
        guest: bool,
    ) -> Result<(), ResetError> {
        let deadline = Instant::now() + RECOVERY;
        while !self.answers() {
            if Instant::now() >= deadline {
                self.events.add(Happening::ResetFailed { kind });
                self.vanish(state);
                return Err(ResetError::NotBack(self.bdf().to_owned()));
            }
            thread::sleep(LOOK);
        }
        if self.gone.swap(false, Ordering::AcqRel) {
            self.events.add(Happening::Returned);
        }
        // What the kernel restores of the command register is of before; ours is told anew.
        state.command = !0;
        self.follow(state);
        match result {
            Ok(()) => {
                self.resets.fetch_add(1, Ordering::Relaxed);
                self.events.add(Happening::Reset { kind, guest });
                Ok(())
            }
            Err(error) => {
                self.events.add(Happening::ResetFailed { kind });
                Err(ResetError::Refused(self.bdf().to_owned(), error))
            }
        }
    }
}
