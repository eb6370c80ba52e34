//! The event log: what happened to the GPU, for the operator.
//!
//! An event names initiators, engines, modes and counts. By the rule of the admin port it has no
//! field that could hold an address or content. The log keeps the last [`CAPACITY`] events; a storm
//! of equal refusals is one event that counts them, so it cannot wash the others away. The log
//! belongs to the board's management controller, which has power of its own: no reset clears it.

use std::collections::VecDeque;
use std::time::Instant;

use parking_lot::Mutex;
use ravelin_gpu_abi::Engine;
use ravelin_gpu_abi::registers::Mode;
use serde::Serialize;

use crate::admin::{ResetKind, names};
use crate::firewall::{Access, Initiator};

/// Events kept; older ones are forgotten, which their numbers show.
pub(crate) const CAPACITY: usize = 1024;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// From 1, without gaps: a gap between two events read means some were forgotten.
    pub number: u64,
    /// Microseconds from power-on to the event (to the first, where it repeats).
    pub at_us: u64,
    /// How many times in a row it happened.
    pub repeats: u64,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// Power came on.
    PowerOn,
    /// A reset began: keys are gone, memory is being scrubbed.
    Reset {
        /// Which.
        kind: ResetKind,
    },
    /// Memory is scrubbed and firmware is measured; the GPU answers.
    Ready {
        /// The mode in force.
        #[serde(serialize_with = "names::mode")]
        mode: Mode,
    },
    /// Firmware did not come up; the GPU stays in `Booting` until a reset succeeds.
    BootFailed,
    /// An SPDM session was established.
    SessionEstablished {
        /// Its number since power-on.
        session: u32,
    },
    /// The requester ended the session.
    SessionEnded {
        /// Its number since power-on.
        session: u32,
    },
    /// A record did not authenticate; the session's keys are wiped.
    SessionFailed {
        /// Its number since power-on; 0 in plain mode without one.
        session: u32,
        /// Whose ring the record was in.
        #[serde(serialize_with = "names::engine")]
        engine: Engine,
    },
    /// The firewall refused an access.
    Violation {
        /// Who tried.
        #[serde(serialize_with = "names::initiator")]
        initiator: Initiator,
        /// Which way.
        #[serde(serialize_with = "names::access")]
        access: Access,
    },
    /// Guest memory refused an engine; the engine's ring is stopped.
    DmaFault {
        /// Which.
        #[serde(serialize_with = "names::engine")]
        engine: Engine,
        /// Which way: a read is of guest memory.
        #[serde(serialize_with = "names::access")]
        access: Access,
    },
    /// The operator chose the mode that the next reset brings.
    ModeChosen {
        /// The mode.
        #[serde(serialize_with = "names::mode")]
        mode: Mode,
    },
}

/// The log.
pub(crate) struct Log {
    power_on: Instant,
    entries: Mutex<Entries>,
}

struct Entries {
    last: u64,
    kept: VecDeque<Event>,
}

impl Log {
    pub(crate) fn new() -> Log {
        let entries = Entries { last: 0, kept: VecDeque::with_capacity(CAPACITY) };
        Log { power_on: Instant::now(), entries: Mutex::new(entries) }
    }

    /// Microseconds since power-on.
    pub(crate) fn now_us(&self) -> u64 {
        u64::try_from(self.power_on.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    pub(crate) fn record(&self, what: What) {
        let at_us = self.now_us();
        let mut entries = self.entries.lock();
        match entries.kept.back_mut() {
            Some(last) if last.what == what => last.repeats += 1,
            _ => {
                if entries.kept.len() == CAPACITY {
                    entries.kept.pop_front();
                }
                entries.last += 1;
                let event = Event { number: entries.last, at_us, repeats: 1, what };
                entries.kept.push_back(event);
            }
        }
    }

    /// The events kept whose number is greater than `number`, oldest first.
    pub(crate) fn after(&self, number: u64) -> Vec<Event> {
        let entries = self.entries.lock();
        entries.kept.iter().filter(|event| event.number > number).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: What = What::Violation { initiator: Initiator::HostMmio, access: Access::Read };

    #[test]
    fn a_storm_is_one_event_that_counts() {
        let log = Log::new();
        log.record(What::PowerOn);
        for _ in 0..10_000 {
            log.record(REFUSED);
        }
        let events = log.after(0);
        assert_eq!(events.len(), 2);
        assert_eq!((events[1].what, events[1].repeats), (REFUSED, 10_000));
    }

    #[test]
    fn a_full_log_forgets_the_oldest_and_its_numbers_show_it() {
        let log = Log::new();
        for _ in 0..CAPACITY {
            log.record(What::PowerOn);
            log.record(REFUSED);
        }
        let events = log.after(0);
        assert_eq!(events.len(), CAPACITY);
        assert_eq!(events[0].number, CAPACITY as u64 + 1);
        assert_eq!(log.after(2 * CAPACITY as u64 - 1).len(), 1);
    }
}
