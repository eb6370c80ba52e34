//! What happened to a physical device, for its operator: the last so many events, numbered without
//! gaps. What happens again and again is counted in one of them.

use super::device::ResetKind;
use std::collections::VecDeque;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Events that are kept.
const KEPT: usize = 256;

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// It was attached.
    Attached,
    /// It was reset.
    Reset {
        /// How.
        kind: ResetKind,
        /// Whether its guest wanted it.
        guest: bool,
    },
    /// A reset failed.
    ResetFailed {
        /// How it should have been.
        kind: ResetKind,
    },
    /// Somebody tried to reach a blocked range.
    Blocked {
        /// The BAR.
        bar: u8,
        /// The page.
        page: u64,
        /// Whether it was a write.
        write: bool,
    },
    /// It no longer answers.
    Vanished,
    /// It answers again.
    Returned,
    /// The host wants it back.
    ReleaseRequested,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// From 1, without gaps.
    pub number: u64,
    /// From when the device was attached, the first time.
    pub at: Duration,
    /// How many times in a row.
    pub repeats: u64,
    /// What.
    pub what: Happening,
}

/// A device's events.
pub struct Events {
    since: Instant,
    kept: Mutex<VecDeque<Event>>,
    observer: OnceLock<Observer>,
}

/// Told of events.
type Observer = Box<dyn Fn(&Event) + Send + Sync>;

impl Events {
    /// None yet.
    pub fn new() -> Self {
        Self { since: Instant::now(), kept: Mutex::default(), observer: OnceLock::new() }
    }

    /// Has somebody told of every event from now on, repetitions aside. Only the first is.
    pub(super) fn observe(&self, observer: Observer) {
        let _ = self.observer.set(observer);
    }

    /// How long the device is attached.
    pub fn uptime(&self) -> Duration {
        self.since.elapsed()
    }

    /// Adds one; whether it is another one than the last.
    pub fn add(&self, what: Happening) -> bool {
        let at = self.uptime();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let number = match kept.back_mut() {
            Some(last) if last.what == what => {
                last.repeats = last.repeats.saturating_add(1);
                return false;
            }
            last => last.map_or(1, |last| last.number + 1),
        };
        if kept.len() == KEPT {
            kept.pop_front();
        }
        let event = Event { number, at, repeats: 1, what };
        if let Some(observer) = self.observer.get() {
            observer(&event);
        }
        kept.push_back(event);
        true
    }

    /// Those with a higher number, oldest first.
    pub fn after(&self, number: u64) -> Vec<Event> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().filter(|event| event.number > number).cloned().collect()
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}
