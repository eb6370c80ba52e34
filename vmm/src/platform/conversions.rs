//! What a Linux guest asks of its pages, and what became of it.
//!
//! A kernel that believes that it is an SEV guest tells the hypervisor of each change by a
//! hypercall, `KVM_HC_MAP_GPA_RANGE` (Documentation/virt/kvm/x86/hypercalls.rst). Every request is
//! checked by the page-state map that also serves the GHCB protocol, answered, counted and logged.
//! The log is the guest's own words: replayed, it must give the map.

use crate::memory::Memory;
use crate::vm::slots::SharedAlias;
use ravelin_devices::page_state::{PAGE_SIZE, PageState, PageStateMap};
use serde::Serialize;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// Number of the hypercall.
pub(crate) const MAP_GPA_RANGE: u64 = 12;
/// Attributes: the guest wants the pages private (`KVM_MAP_GPA_RANGE_ENCRYPTED`).
const ENCRYPTED: u64 = 1 << 4;
/// Below this address guest memory is private whatever the C-bit says: an AP begins there in real
/// mode, which has no C-bit and counts as private on hardware.
pub const ALWAYS_PRIVATE: u64 = 1 << 20;
/// The answer to a request that makes no sense.
const EINVAL: i64 = -22;
/// The answer to a hypercall that there is not.
const ENOSYS: i64 = -1000;
/// Most runs that the log keeps; what comes later is counted only.
const LONGEST: usize = 1 << 16;

/// How many requests came, and how many pages they changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Requests that were answered with success.
    pub requests: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Pages that went from private to shared.
    pub to_shared: u64,
    /// Pages that went from shared to private.
    pub to_private: u64,
    /// Of the requests, those that were made by touching a page on its other side.
    pub implicit: u64,
}

/// A run of pages that the guest has brought into a state by consecutive requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The addresses.
    pub range: Range<u64>,
    /// The state.
    pub to: PageState,
}

/// Every conversion that a guest asked for and got.
#[derive(Debug, Default)]
pub struct ConversionLog(Mutex<Log>);

#[derive(Debug, Default)]
struct Log {
    counts: Counts,
    entries: Vec<Entry>,
    truncated: bool,
}

impl ConversionLog {
    /// The counts so far.
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// The conversions in order, neighbouring ones as one; `None` where they were too many to keep.
    pub fn entries(&self) -> Option<Vec<Entry>> {
        let log = self.lock();
        (!log.truncated).then(|| log.entries.clone())
    }

    /// What is shared by this log in a guest with these ranges of memory, all of them private to
    /// begin with; `None` where the log is not whole.
    pub fn replay(&self, memory: &[Range<u64>]) -> Option<Vec<Range<u64>>> {
        let pages = PageStateMap::new(memory.iter().cloned(), PageState::Private).ok()?;
        for Entry { range, to } in self.entries()? {
            pages.convert(range.start, range.end - range.start, to).ok()?;
        }
        Some(pages.shared_ranges())
    }

    pub(super) fn done(&self, range: Range<u64>, to: PageState, changed: u64) {
        tracing::debug!(start = range.start, end = range.end, ?to, changed, "conversion");
        let mut log = self.lock();
        log.counts.requests += 1;
        match to {
            PageState::Shared => log.counts.to_shared += changed,
            PageState::Private => log.counts.to_private += changed,
        }
        // Linux frees memory page by page: hundreds of requests in a row.
        if let Some(last) = log.entries.last_mut()
            && last.to == to
            && last.range.end == range.start
        {
            last.range.end = range.end;
        } else if log.entries.len() < LONGEST {
            log.entries.push(Entry { range, to });
        } else {
            log.truncated = true;
        }
    }

    fn refused(&self, address: u64, pages: u64) {
        let mut log = self.lock();
        log.counts.refused += 1;
        // A guest must not fill the host's log.
        if log.counts.refused.is_power_of_two() {
            tracing::warn!(address, pages, count = log.counts.refused, "conversion refused");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hypervisor's end of the hypercall.
pub(crate) struct Hypercalls {
    memory: Arc<Memory>,
    /// Where addresses without the C-bit are slots of their own.
    alias: Option<SharedAlias>,
    log: Arc<ConversionLog>,
}

impl Hypercalls {
    pub(crate) fn new(memory: Arc<Memory>, alias: SharedAlias, log: Arc<ConversionLog>) -> Self {
        Self { memory, alias: Some(alias), log }
    }

    /// For memory whose private side is the kernel's: the processor tells the sides apart.
    pub(crate) fn of_kernel(memory: Arc<Memory>, log: Arc<ConversionLog>) -> Self {
        Self { memory, alias: None, log }
    }

    /// Lets addresses without the C-bit reach shared memory, for a guest that asks in another way.
    pub(crate) fn open_shared(&self) {
        self.alias.iter().for_each(SharedAlias::open);
    }

    /// Serves a hypercall; what is returned goes into RAX.
    pub(crate) fn serve(&self, number: u64, [address, pages, attributes, ..]: [u64; 6]) -> u64 {
        if number != MAP_GPA_RANGE {
            return ENOSYS as u64;
        }
        // The first request comes when a kernel has its own page tables, C-bit and all. Until then
        // a decompressor that knows no C-bit must reach the memory that it was loaded to.
        if let Some(alias) = &self.alias {
            alias.open();
        }
        let to = match attributes & ENCRYPTED {
            0 => PageState::Shared,
            _ => PageState::Private,
        };
        match convert(&self.memory, self.private_below(), address, pages, to) {
            Some((range, changed)) => {
                self.log.done(range, to, changed);
                0
            }
            None => {
                self.log.refused(address, pages);
                EINVAL as u64
            }
        }
    }

    /// Converts pages that the guest has touched on the other side than they are on. How many pages
    /// changed; `None` where that is refused.
    pub(crate) fn implicit(&self, address: u64, length: u64, to: PageState) -> Option<u64> {
        let pages = length / PAGE_SIZE;
        let converted = convert(&self.memory, self.private_below(), address, pages, to);
        let Some((range, changed)) = converted else {
            self.log.refused(address, pages);
            return None;
        };
        if changed > 0 {
            self.log.done(range, to, changed);
            self.log.lock().counts.implicit += 1;
        }
        Some(changed)
    }

    /// Below this address nothing is ever shared.
    fn private_below(&self) -> u64 {
        if self.alias.is_some() { ALWAYS_PRIVATE } else { 0 }
    }
}

/// Converts pages; `None` where that is refused and nothing has changed.
pub(super) fn convert(
    memory: &Memory,
    private_below: u64,
    address: u64,
    pages: u64,
    to: PageState,
) -> Option<(Range<u64>, u64)> {
    let length = pages.checked_mul(PAGE_SIZE)?;
    let range = address..address.checked_add(length)?;
    if to == PageState::Shared && range.start < private_below {
        return None;
    }
    let changed = memory.pages().convert(address, length, to);
    let changed = changed.inspect_err(|error| tracing::debug!(%error, "conversion refused"));
    Some((range, changed.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Pages;
    use proptest::prelude::*;

    const RANGES: [Range<u64>; 2] = [0..4 << 20, 4 << 30..(4 << 30) + (2 << 20)];

    fn memory() -> Memory {
        Memory::new(&RANGES, true, Pages::Any).unwrap()
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_changes_nothing() {
        let memory = memory();
        for (address, pages) in [
            (ALWAYS_PRIVATE - PAGE_SIZE, 1),
            (0, 1024),
            (2 << 20 | 1, 1),
            (2 << 20, 0),
            (3 << 20, 257),
            (1 << 39 | 2 << 20, 1),
            (!0xfff, 1),
            (2 << 20, u64::MAX),
            (2 << 20, 1 << 52),
        ] {
            assert!(
                convert(&memory, ALWAYS_PRIVATE, address, pages, PageState::Shared).is_none(),
                "{address:#x}"
            );
        }
        assert_eq!(memory.pages().shared_pages(), 0);
    }

    #[test]
    fn a_kernel_may_announce_all_its_memory_as_private() {
        let memory = memory();
        assert_eq!(
            convert(&memory, ALWAYS_PRIVATE, 0, 0xa0, PageState::Private),
            Some((0..0xa_0000, 0)),
            "it was so already"
        );
    }

    #[test]
    fn neighbouring_conversions_are_one_entry() {
        let log = ConversionLog::default();
        for page in 0..500 {
            log.done(page * PAGE_SIZE..(page + 1) * PAGE_SIZE, PageState::Private, 1);
        }
        let entries = log.entries().unwrap();
        assert_eq!(entries, [Entry { range: 0..500 * PAGE_SIZE, to: PageState::Private }]);
        assert_eq!(log.counts(), Counts { requests: 500, to_private: 500, ..Counts::default() });
    }

    proptest! {
        #[test]
        fn the_log_replayed_is_the_page_state_map(
            requests in prop::collection::vec((0u64..1100, 0u64..300, any::<bool>()), 0..60),
        ) {
            let (memory, log) = (memory(), ConversionLog::default());
            for (page, pages, shared) in requests {
                let to = if shared { PageState::Shared } else { PageState::Private };
                match convert(&memory, ALWAYS_PRIVATE, page * PAGE_SIZE, pages, to) {
                    Some((range, changed)) => log.done(range, to, changed),
                    None => log.refused(page * PAGE_SIZE, pages),
                }
            }
            let replayed = log.replay(&RANGES);
            prop_assert_eq!(replayed, Some(memory.pages().shared_ranges()));
            let counts = log.counts();
            prop_assert_eq!(counts.to_shared - counts.to_private, memory.pages().shared_pages());
        }
    }
}
