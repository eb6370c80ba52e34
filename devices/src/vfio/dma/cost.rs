//! What mapping for a device costs: how often, how long, how much.

use std::time::{Duration, Instant};

/// Counters of one I/O address space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Mappings now.
    pub mappings: u64,
    /// Bytes mapped now.
    pub mapped_bytes: u64,
    /// Bytes that are shared now and could not be mapped.
    pub owed_bytes: u64,
    /// Most mappings that the interface takes.
    pub limit: u64,
    /// How often that limit stood in the way.
    pub limit_reached: u64,
    /// Remainders of mappings that had to be split.
    pub splits: u64,
    /// Calls that the kernel refused.
    pub failures: u64,
    /// Calls that map.
    pub map: Timed,
    /// Calls that unmap.
    pub unmap: Timed,
}

/// Calls of one kind, refused ones included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timed {
    /// How many.
    pub calls: u64,
    /// How long they took in all.
    pub total: Duration,
    /// How long the longest took.
    pub longest: Duration,
}

impl Timed {
    /// Makes a call and takes its time.
    pub(super) fn time<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let result = call();
        let taken = begin.elapsed();
        self.calls += 1;
        self.total += taken;
        self.longest = self.longest.max(taken);
        result
    }
}
