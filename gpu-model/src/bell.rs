//! A doorbell: rung by a register write, waited for by one worker.

use parking_lot::{Condvar, Mutex};

/// What the worker finds when it wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ring {
    /// There may be work.
    Work,
    /// Power goes off.
    Off,
}

/// A doorbell. Rings before the worker waits are one ring; none is lost.
#[derive(Default)]
pub(crate) struct Bell {
    rung: Mutex<Option<Ring>>,
    changed: Condvar,
}

impl Bell {
    /// Wakes the worker.
    pub(crate) fn ring(&self) {
        self.set(Ring::Work);
    }

    /// Wakes the worker for the last time.
    pub(crate) fn off(&self) {
        self.set(Ring::Off);
    }

    /// Waits for a ring and takes it. [`Ring::Off`] stays.
    pub(crate) fn wait(&self) -> Ring {
        let mut rung = self.rung.lock();
        loop {
            match *rung {
                Some(Ring::Off) => return Ring::Off,
                Some(Ring::Work) => {
                    *rung = None;
                    return Ring::Work;
                }
                None => self.changed.wait(&mut rung),
            }
        }
    }

    fn set(&self, to: Ring) {
        let mut rung = self.rung.lock();
        if *rung != Some(Ring::Off) {
            *rung = Some(to);
        }
        self.changed.notify_one();
    }
}
