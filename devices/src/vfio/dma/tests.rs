use super::*;
use crate::page_state::{self, PageState, PageStateMap};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

const MIB: u64 = 1 << 20;
const MEMORY: Range<u64> = 0..16 * MIB;

/// An IOMMU with the kernel's rules, which sees at every call whether all that it has is shared.
struct Recorder {
    pages: Arc<PageStateMap>,
    mapped: Mutex<BTreeMap<u64, u64>>,
    limit: u64,
    /// The kernel's own, where it is another one.
    kernel_limit: AtomicU64,
    /// One call in so many is refused; 0 is none.
    refuses: AtomicU64,
    calls: AtomicU64,
}

impl Recorder {
    fn refuses(&self) -> bool {
        let every = self.refuses.load(Ordering::Relaxed);
        every != 0 && self.calls.fetch_add(1, Ordering::Relaxed) % every == every - 1
    }

    fn pages(&self) -> BTreeSet<u64> {
        let mapped = self.mapped.lock().unwrap();
        mapped
            .iter()
            .flat_map(|(start, length)| (*start..start + length).step_by(PAGE_SIZE as usize))
            .collect()
    }

    fn shared(&self) -> BTreeSet<u64> {
        let ranges = self.pages.shared_ranges().into_iter();
        ranges.flat_map(|range| range.step_by(PAGE_SIZE as usize)).collect()
    }
}

impl Iommu for Recorder {
    fn map(&self, iova: u64, host: u64, length: u64) -> io::Result<()> {
        assert!(host != 0 && host.is_multiple_of(PAGE_SIZE));
        for page in (iova..iova + length).step_by(PAGE_SIZE as usize) {
            assert_eq!(self.pages.state(page), Some(PageState::Shared), "{page:#x} is private");
        }
        if self.refuses() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let mut mapped = self.mapped.lock().unwrap();
        if mapped.len() as u64 >= self.kernel_limit.load(Ordering::Relaxed) {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        let before = mapped.range(..iova + length).next_back();
        assert!(before.is_none_or(|(start, length)| start + length <= iova), "mapped twice");
        mapped.insert(iova, length);
        Ok(())
    }

    fn unmap(&self, iova: u64, length: u64) -> io::Result<()> {
        if self.refuses() {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        let taken = self.mapped.lock().unwrap().remove(&iova);
        assert_eq!(taken, Some(length), "a mapping goes whole");
        Ok(())
    }

    fn limit(&self) -> u64 {
        self.limit
    }
}

fn guest(limit: u64) -> (Arc<PageStateMap>, Arc<Recorder>, Arc<DmaMappings>) {
    let pages = Arc::new(PageStateMap::new([MEMORY], PageState::Private).unwrap());
    let recorder = Arc::new(Recorder {
        pages: pages.clone(),
        mapped: Mutex::default(),
        limit,
        kernel_limit: AtomicU64::new(u64::MAX),
        refuses: AtomicU64::new(0),
        calls: AtomicU64::new(0),
    });
    let size = (MEMORY.end - MEMORY.start) as usize;
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(MEMORY.start), size)]).unwrap();
    let mappings = Arc::new(DmaMappings::new(recorder.clone(), memory));
    (pages, recorder, mappings)
}

/// Numbers that are the same at every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    /// Any range of pages, small ones more often.
    fn range(&mut self) -> Range<u64> {
        let pages = (MEMORY.end - MEMORY.start) / PAGE_SIZE;
        let start = self.below(pages);
        let most = 1 << self.below(12);
        let count = (1 + self.below(most)).min(pages - start);
        start * PAGE_SIZE..(start + count) * PAGE_SIZE
    }

    fn state(&mut self) -> PageState {
        if self.below(2) == 0 { PageState::Private } else { PageState::Shared }
    }
}

#[test]
fn after_each_of_10_000_conversions_exactly_the_shared_pages_are_mapped() {
    let (pages, recorder, mappings) = guest(65_535);
    pages.subscribe(mappings.clone()).unwrap();
    let mut dice = Dice(0x5eed);
    for step in 0..10_000 {
        let (range, to) = (dice.range(), dice.state());
        pages.convert(range.start, range.end - range.start, to).unwrap();
        assert_eq!(mappings.ranges(), pages.shared_ranges(), "step {step}");
        if step % 100 == 0 {
            assert_eq!(recorder.pages(), recorder.shared(), "step {step}");
        }
    }
    assert_eq!(recorder.pages(), recorder.shared());
    let counters = mappings.counters();
    assert_eq!((counters.failures, counters.owed_bytes), (0, 0));
    assert_eq!(counters.mapped_bytes, pages.shared_pages() * PAGE_SIZE);
    assert!(counters.splits > 0 && counters.map.calls > counters.unmap.calls);
}

#[test]
fn whatever_call_fails_no_private_page_is_mapped_and_all_is_well_once_calls_succeed() {
    for every in [2, 3, 5, 17] {
        let (pages, recorder, mappings) = guest(65_535);
        pages.subscribe(mappings.clone()).unwrap();
        let mut dice = Dice(every);
        let mut refused = 0;
        for step in 0..400 {
            recorder.refuses.store(if step % 10 == 9 { 0 } else { every }, Ordering::Relaxed);
            let (range, to) = (dice.range(), dice.state());
            match pages.convert(range.start, range.end - range.start, to) {
                Err(page_state::Error::NotTaken { .. } | page_state::Error::Held { .. }) => {
                    refused += 1;
                }
                result => drop(result.unwrap()),
            }
            let (mapped, shared) = (recorder.pages(), recorder.shared());
            assert!(mapped.is_subset(&shared), "step {step}: a private page is mapped");
        }
        assert!(refused > 0);
        // The guest gives all of it back and takes it once more.
        recorder.refuses.store(0, Ordering::Relaxed);
        for to in [PageState::Private, PageState::Shared] {
            pages.convert(MEMORY.start, MEMORY.end - MEMORY.start, to).unwrap();
            assert_eq!(recorder.pages(), recorder.shared());
        }
    }
}

#[test]
fn who_comes_late_maps_what_is_shared_and_nothing_else() {
    let (pages, recorder, mappings) = guest(65_535);
    pages.convert(MIB, 4 * MIB, PageState::Shared).unwrap();
    pages.subscribe(mappings.clone()).unwrap();
    // Cut where a large page begins.
    let mapped: Vec<_> = recorder.mapped.lock().unwrap().clone().into_iter().collect();
    assert_eq!(mapped, [(MIB, MIB), (2 * MIB, 2 * MIB), (4 * MIB, MIB)]);
    assert_eq!(mappings.counters().map.calls, 3);
}

#[test]
fn what_is_given_back_as_it_was_shared_splits_nothing() {
    let (pages, _, mappings) = guest(65_535);
    pages.subscribe(mappings.clone()).unwrap();
    for to in [PageState::Shared, PageState::Private] {
        for page in 0..512 {
            pages.convert(page * PAGE_SIZE, PAGE_SIZE, to).unwrap();
        }
    }
    let counters = mappings.counters();
    assert_eq!((counters.map.calls, counters.unmap.calls, counters.splits), (512, 512, 0));
}

#[test]
fn a_conversion_past_the_limit_is_refused_and_reported_whoever_knows_the_limit() {
    for (ours, kernels) in [(8, u64::MAX), (65_535, 8)] {
        past_the_limit_of_8(ours, kernels);
    }
}

fn past_the_limit_of_8(ours: u64, kernels: u64) {
    let (pages, recorder, mappings) = guest(ours);
    recorder.kernel_limit.store(kernels, Ordering::Relaxed);
    pages.subscribe(mappings.clone()).unwrap();
    for page in 0..8 {
        pages.convert(2 * page * PAGE_SIZE, PAGE_SIZE, PageState::Shared).unwrap();
    }
    let refused = pages.convert(MIB, PAGE_SIZE, PageState::Shared);
    assert_eq!(refused, Err(page_state::Error::NotTaken { address: MIB }));
    assert_eq!(recorder.pages(), recorder.shared());
    assert_eq!(mappings.counters().limit_reached, 1);
    assert!(mappings.take_failure().is_some_and(|why| why.to_string().contains('8')));
    pages.convert(0, PAGE_SIZE, PageState::Private).unwrap();
    pages.convert(MIB, PAGE_SIZE, PageState::Shared).unwrap();
}

#[test]
fn all_of_a_large_memory_fits_half_the_limit() {
    assert_eq!(piece(1 << 30, 65_535), LEAST_PIECE);
    for memory in [128 << 30, (1 << 40) + 1, 1 << 46] {
        assert!(u64::div_ceil(memory, piece(memory, 65_535)) <= 65_535 / 2 + 1, "{memory:#x}");
    }
}
