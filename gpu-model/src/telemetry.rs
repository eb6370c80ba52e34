//! Counters: how much work was done and how much was refused. Never what the work was.
//!
//! Two kinds with two lives. Those of the management controller (resets, sessions, violations,
//! faults) count since power-on and no reset clears them: an operator cannot make a violation
//! unseen, and a driver that compares the reset count cannot miss a reset. Those of the engines
//! stand in the engines' own memory, which a cold reset takes the power from.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use ravelin_gpu_abi::Engine;
use serde::Serialize;

/// The counters, as the model keeps them.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) resets: AtomicU32,
    pub(crate) sessions: AtomicU32,
    pub(crate) violations: AtomicU64,
    pub(crate) session_failures: AtomicU64,
    pub(crate) dma_faults: AtomicU64,
    pub(crate) engines: [EngineCounters; Engine::ALL.len()],
}

/// One engine's counters.
#[derive(Default)]
pub(crate) struct EngineCounters {
    records: AtomicU64,
    bytes: AtomicU64,
    refused: AtomicU64,
    busy_us: AtomicU64,
}

impl EngineCounters {
    /// One authentic request answered, that moved `bytes`.
    pub(crate) fn answered(&self, bytes: u64, done: bool) {
        self.records.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        self.refused.fetch_add(u64::from(!done), Relaxed);
    }

    /// Time spent from a doorbell to an empty ring.
    pub(crate) fn busy(&self, us: u64) {
        self.busy_us.fetch_add(us, Relaxed);
    }

    /// What a cold reset does.
    pub(crate) fn clear(&self) {
        for counter in [&self.records, &self.bytes, &self.refused, &self.busy_us] {
            counter.store(0, Relaxed);
        }
    }

    fn snapshot(&self, engine: Engine) -> EngineTelemetry {
        EngineTelemetry {
            engine: crate::admin::names::of_engine(engine),
            records: self.records.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            refused: self.refused.load(Relaxed),
            busy_us: self.busy_us.load(Relaxed),
        }
    }
}

impl Counters {
    /// The engine's own counters.
    pub(crate) fn engine(&self, engine: Engine) -> &EngineCounters {
        &self.engines[engine.index()]
    }

    /// The counters now, with what they do not know themselves.
    pub(crate) fn snapshot(
        &self,
        status: &'static str,
        uptime_us: u64,
        hbm_resident: u64,
    ) -> Telemetry {
        Telemetry {
            status,
            uptime_us,
            resets: self.resets.load(Relaxed),
            sessions: self.sessions.load(Relaxed),
            violations: self.violations.load(Relaxed),
            session_failures: self.session_failures.load(Relaxed),
            dma_faults: self.dma_faults.load(Relaxed),
            hbm_resident,
            engines: Engine::ALL.map(|engine| self.engine(engine).snapshot(engine)),
        }
    }
}

/// A reading of the counters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Telemetry {
    /// "booting", "ready", "session" or "failed".
    pub status: &'static str,
    /// Microseconds since power-on.
    pub uptime_us: u64,
    /// Resets since power-on.
    pub resets: u32,
    /// SPDM sessions established since power-on.
    pub sessions: u32,
    /// Accesses that the firewall refused since power-on.
    pub violations: u64,
    /// Sessions ended by a record that did not authenticate, since power-on.
    pub session_failures: u64,
    /// Accesses to guest memory that failed, since power-on.
    pub dma_faults: u64,
    /// Bytes of HBM in use, in chunks of 2 MiB.
    pub hbm_resident: u64,
    /// The engines, in the order of their numbers.
    pub engines: [EngineTelemetry; Engine::ALL.len()],
}

/// A reading of one engine's counters, since power-on or the last cold reset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EngineTelemetry {
    /// "command", "copy-in" or "copy-out".
    pub engine: &'static str,
    /// Authentic requests answered.
    pub records: u64,
    /// Plaintext bytes moved between guest and HBM.
    pub bytes: u64,
    /// Of the requests, those answered with a refusal.
    pub refused: u64,
    /// Microseconds at work.
    pub busy_us: u64,
}
