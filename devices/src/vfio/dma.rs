//! IOMMU mappings that follow conversions: a device reaches the pages that are shared now, and no other.
//!
//! A [`Subscriber`] of the page-state map. It maps after a range went shared and unmaps before it goes
//! private; attached late, it is told of what is shared already. An address on the bus is the guest's
//! address without the C-bit, and what stands behind it is the *shared* side of memory, so that even a
//! mapping too many would show nothing private.
//!
//! An IOMMU takes a mapping away whole or not at all. So mappings are what conversions made, cut at
//! multiples of a [piece](DmaMappings::piece) and never merged: a guest that gives memory back in the
//! units in which it shared it never splits one. Where it does, the mapping goes and what stays shared
//! of it comes back, and for that moment, at most a piece, the device faults there. A remainder that
//! does not come back is owed: fewer pages are mapped than are shared, and every later call tries
//! again. Failures leave less mapped, never more.

mod cost;

use crate::page_state::{PAGE_SIZE, Refused, Subscriber};
pub use cost::{Counters, Timed};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

/// Pieces are no smaller than a large page.
const LEAST_PIECE: u64 = 2 << 20;

/// An I/O address space, as the kernel has it.
pub trait Iommu: Send + Sync {
    /// Lets devices reach `length` bytes of this process at `host` by the address `iova`, for reading
    /// and writing.
    ///
    /// # Errors
    /// The kernel refuses; nothing is mapped then.
    fn map(&self, iova: u64, host: u64, length: u64) -> io::Result<()>;
    /// Takes a mapping away, whole. Nothing reaches it any more once this returns.
    ///
    /// # Errors
    /// The kernel refuses; the mapping stays.
    fn unmap(&self, iova: u64, length: u64) -> io::Result<()>;
    /// The most mappings that it takes.
    fn limit(&self) -> u64;
}

/// The mappings of one I/O address space.
pub struct DmaMappings {
    iommu: Arc<dyn Iommu>,
    /// What is mapped stays alive as long as the mappings.
    memory: GuestMemoryMmap,
    piece: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Length by first address.
    mapped: BTreeMap<u64, u64>,
    /// Shared, and not mapped because the IOMMU refused.
    owed: Vec<Range<u64>>,
    counters: Counters,
    /// Why the IOMMU refused last.
    failure: Option<io::Error>,
}

impl State {
    /// There may be no more mappings: counted, and the reason in words.
    fn full(&mut self) -> io::Error {
        self.counters.limit_reached += 1;
        let reason = format!("the IOMMU's interface takes {} mappings", self.mapped.len());
        io::Error::new(io::ErrorKind::QuotaExceeded, reason)
    }
}

impl DmaMappings {
    /// Nothing mapped yet of `memory`, the shared side of a guest's memory.
    pub fn new(iommu: Arc<dyn Iommu>, memory: GuestMemoryMmap) -> Self {
        let bytes = memory.iter().map(GuestMemoryRegion::len).sum();
        let piece = piece(bytes, iommu.limit());
        Self { iommu, memory, piece, state: Mutex::default() }
    }

    /// Bytes at whose multiples mappings are cut: 2 MiB, or more where all of memory in such pieces
    /// would take more than half of what the IOMMU takes.
    pub fn piece(&self) -> u64 {
        self.piece
    }

    /// What was done, and what it took.
    pub fn counters(&self) -> Counters {
        let state = self.lock();
        Counters {
            mappings: state.mapped.len() as u64,
            mapped_bytes: state.mapped.values().sum(),
            owed_bytes: state.owed.iter().map(|range| range.end - range.start).sum(),
            limit: self.iommu.limit(),
            ..state.counters
        }
    }

    /// What is mapped, in order, in runs as long as possible.
    pub fn ranges(&self) -> Vec<Range<u64>> {
        let mut runs: Vec<Range<u64>> = Vec::new();
        for (&start, &length) in &self.lock().mapped {
            match runs.last_mut() {
                Some(last) if last.end == start => last.end = start + length,
                _ => runs.push(start..start + length),
            }
        }
        runs
    }

    /// Why the IOMMU refused last, once.
    pub fn take_failure(&self) -> Option<io::Error> {
        self.lock().failure.take()
    }

    /// Maps a range that is not mapped, in pieces. What was mapped before a failure stays.
    fn map(&self, state: &mut State, range: Range<u64>) -> io::Result<()> {
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min((start / self.piece + 1).saturating_mul(self.piece));
            let result = self.map_piece(state, start..end);
            if let Err(error) = result {
                state.counters.failures += 1;
                tracing::warn!(%error, start, end, "pages not mapped for a device");
                let again = io::Error::new(error.kind(), error.to_string());
                state.failure = Some(error);
                return Err(again);
            }
            start = end;
        }
        Ok(())
    }

    fn map_piece(&self, state: &mut State, range: Range<u64>) -> io::Result<()> {
        if state.mapped.len() as u64 >= self.iommu.limit() {
            return Err(state.full());
        }
        let length = range.end - range.start;
        let region = self.memory.find_region(GuestAddress(range.start));
        let host = region.and_then(|region| {
            let offset = range.start - region.start_addr().0;
            (length <= region.len() - offset).then(|| region.as_ptr() as u64 + offset)
        });
        let host = host.ok_or(io::ErrorKind::AddrNotAvailable)?;
        let result = state.counters.map.time(|| self.iommu.map(range.start, host, length));
        result.map_err(|error| match error.raw_os_error() {
            // The kernel has another opinion of how many there may be.
            Some(libc::ENOSPC) => state.full(),
            _ => error,
        })?;
        state.mapped.insert(range.start, length);
        Ok(())
    }

    fn unmap(&self, state: &mut State, start: u64, length: u64) -> Result<(), Refused> {
        let result = state.counters.unmap.time(|| self.iommu.unmap(start, length));
        if let Err(error) = result {
            state.counters.failures += 1;
            tracing::error!(%error, start, length, "a device keeps pages");
            state.failure = Some(error);
            return Err(Refused);
        }
        state.mapped.remove(&start);
        Ok(())
    }

    /// Maps what stays shared; what cannot be is owed.
    fn map_or_owe(&self, state: &mut State, range: Range<u64>) {
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min((start / self.piece + 1).saturating_mul(self.piece));
            if self.map(state, start..end).is_err() {
                state.owed.push(start..end);
            }
            start = end;
        }
    }

    /// Tries once more what is owed.
    fn pay(&self, state: &mut State) {
        for range in std::mem::take(&mut state.owed) {
            self.map_or_owe(state, range);
        }
    }

    /// Lets go of a range of which any part may be mapped.
    fn release(&self, state: &mut State, range: &Range<u64>) -> Result<(), Refused> {
        let first = state.mapped.range(..range.start).next_back();
        let first = first.filter(|(start, length)| *start + *length > range.start);
        let touched: Vec<(u64, u64)> = first
            .into_iter()
            .chain(state.mapped.range(range.clone()))
            .map(|(start, length)| (*start, *length))
            .collect();
        for (done, &(start, length)) in touched.iter().enumerate() {
            if self.unmap(state, start, length).is_err() {
                // All of it stays shared, so that all of it has to be mapped.
                for &(start, length) in touched.iter().take(done) {
                    self.map_or_owe(state, start..start + length);
                }
                return Err(Refused);
            }
        }
        // Only the outermost mappings can reach past the range.
        let before = touched.first().map_or(range.start, |(start, _)| *start)..range.start;
        let behind = range.end..touched.last().map_or(range.end, |(start, length)| start + length);
        for remainder in [before, behind].into_iter().filter(|remainder| !remainder.is_empty()) {
            state.counters.splits += 1;
            self.map_or_owe(state, remainder);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber for DmaMappings {
    fn before_private(&self, range: Range<u64>) -> Result<(), Refused> {
        let mut state = self.lock();
        self.release(&mut state, &range)?;
        let owed = std::mem::take(&mut state.owed);
        state.owed = owed.into_iter().flat_map(|owed| without(owed, &range)).collect();
        self.pay(&mut state);
        Ok(())
    }

    fn after_shared(&self, range: Range<u64>) -> Result<(), Refused> {
        let mut state = self.lock();
        self.pay(&mut state);
        // What is mapped of it on a failure, the map asks back.
        self.map(&mut state, range).map_err(|_| Refused)
    }
}

impl Drop for DmaMappings {
    fn drop(&mut self) {
        let mut state = self.lock();
        for (start, length) in std::mem::take(&mut state.mapped) {
            // The kernel has pinned the pages: a mapping that stays keeps them from everyone else.
            let _ = self.unmap(&mut state, start, length);
        }
    }
}

/// See [`DmaMappings::piece`].
fn piece(memory: u64, limit: u64) -> u64 {
    let least = memory / (limit / 2).max(1);
    least.max(LEAST_PIECE).checked_next_power_of_two().unwrap_or(1 << 63)
}

/// What is left of a range without another.
fn without(range: Range<u64>, taken: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let before = range.start..range.end.min(taken.start);
    let behind = range.start.max(taken.end)..range.end;
    [before, behind].into_iter().filter(|rest| !rest.is_empty())
}

const _: () = assert!(LEAST_PIECE.is_multiple_of(PAGE_SIZE));

#[cfg(test)]
mod tests;
