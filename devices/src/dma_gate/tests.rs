use super::*;
use crate::page_state::{PAGE_SIZE, PageState};
use crate::shared_window::{self, tests::ROOM};
use proptest::prelude::*;
use std::sync::atomic::AtomicBool;
use std::thread;

const PAGES: u64 = 16;
const SIZE: u64 = PAGES * PAGE_SIZE;

fn machine(initial: PageState) -> (DmaGate, Arc<PageStateMap>, GuestMemoryMmap) {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), SIZE as usize)]).unwrap();
    let pages = Arc::new(PageStateMap::new(std::iter::once(0..SIZE), initial).unwrap());
    (DmaGate::new("test", pages.clone(), memory.clone()), pages, memory)
}

#[test]
fn private_memory_is_out_of_a_devices_reach() {
    let (gate, pages, memory) = machine(PageState::Private);
    memory.write_slice(&[7; SIZE as usize], GuestAddress(0)).unwrap();
    pages.convert(PAGE_SIZE, PAGE_SIZE, PageState::Shared).unwrap();
    // Every edge: wholly private, one byte over each end.
    for (address, length) in
        [(0, 8), (PAGE_SIZE - 1, 2), (2 * PAGE_SIZE - 1, 2), (0, SIZE as usize)]
    {
        let mut buffer = vec![0x55; length];
        assert!(matches!(
            gate.read(address, &mut buffer),
            Err(Error::Page(page_state::Error::Private { .. }))
        ));
        assert!(buffer.iter().all(|byte| *byte == 0x55), "a refused read left bytes behind");
        assert!(gate.write(address, &buffer).is_err());
    }
    let mut all = vec![0; SIZE as usize];
    memory.read_slice(&mut all, GuestAddress(0)).unwrap();
    assert!(all.iter().all(|byte| *byte == 7), "a refused write landed");
    assert_eq!(gate.refusals(), 8);
    gate.write(PAGE_SIZE, &[9; PAGE_SIZE as usize]).unwrap();
    assert_eq!(gate.refusals(), 8);
}

#[test]
fn addresses_that_wrap_or_leave_memory_are_refused() {
    let (gate, ..) = machine(PageState::Shared);
    for address in [SIZE - 1, SIZE, u64::MAX, u64::MAX - 1, 1 << 39] {
        assert!(gate.read(address, &mut [0; 2]).is_err(), "{address:#x}");
        assert!(gate.write(address, &[0; 2]).is_err(), "{address:#x}");
    }
    assert_eq!(gate.refusals(), 10);
    assert!(gate.read(u64::MAX, &mut []).is_ok(), "no bytes are no access");
}

/// Rows 15 to 17 for a window: its own bytes and no others, where it is and nowhere else.
#[test]
fn a_devices_window_is_admitted_as_a_whole_and_only_where_it_is() {
    const WINDOW: u64 = 4 * PAGE_SIZE;
    let (window, _) = shared_window::tests::window(WINDOW);
    let (gate, _, memory) = machine(PageState::Private);
    let gate = gate.with_window(window.clone());
    let (first, second) = (ROOM.start, ROOM.start + WINDOW);
    window.follow(Some(first));
    gate.write(first, &[7; WINDOW as usize]).unwrap();
    let mut all = vec![0; WINDOW as usize];
    gate.read(first, &mut all).unwrap();
    assert!(all.iter().all(|byte| *byte == 7));
    assert_eq!(gate.refusals(), 0);

    // Astride an edge, beside it, and private guest memory as before.
    for address in [first - 1, second - 1, second, 0] {
        let mut buffer = [0x55; 2];
        assert!(gate.read(address, &mut buffer).is_err(), "{address:#x}");
        assert_eq!(buffer, [0x55; 2]);
        assert!(gate.write(address, &[9; 2]).is_err(), "{address:#x}");
    }
    assert_eq!(gate.refusals(), 8);

    window.follow(Some(second));
    assert!(gate.write(first, &[9]).is_err(), "the window was left behind");
    gate.write(second, &[8]).unwrap();
    window.follow(None);
    assert!(gate.write(second, &[9]).is_err(), "a disabled window answers");
    assert_eq!(gate.refusals(), 10);

    window.memory().read_slice(&mut all, GuestAddress(0)).unwrap();
    assert!(all[0] == 8 && all[1..].iter().all(|byte| *byte == 7), "a refused write landed");
    let mut guest = vec![0; SIZE as usize];
    memory.read_slice(&mut guest, GuestAddress(0)).unwrap();
    assert!(guest.iter().all(|byte| *byte == 0), "a window's bytes are in guest memory");
}

/// Row 17: a device writes as fast as it can while the guest takes a page back and forth. While the
/// page is private nothing may land on it.
#[test]
fn nothing_lands_on_a_page_that_went_private_under_dma() {
    let (gate, pages, memory) = machine(PageState::Shared);
    let stop = AtomicBool::new(false);
    let landed = AtomicU64::new(0);
    thread::scope(|scope| {
        // Also where an assertion fails: the scope waits for its threads.
        let _stop = StopOnDrop(&stop);
        for mark in [1, 2] {
            let (gate, stop, landed) = (&gate, &stop, &landed);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    if gate.write(0, &[mark; 4 * PAGE_SIZE as usize]).is_ok() {
                        landed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        for _ in 0..80 {
            let before = landed.load(Ordering::Relaxed);
            while landed.load(Ordering::Relaxed) == before {
                thread::yield_now();
            }
            // The last page of the range: a copy in flight reaches it last.
            let (page, length) = (3 * PAGE_SIZE, PAGE_SIZE as usize);
            pages.convert(page, PAGE_SIZE, PageState::Private).unwrap();
            memory.write_slice(&vec![0; length], GuestAddress(page)).unwrap();
            for _ in 0..20 {
                let mut seen = vec![0xff; length];
                memory.read_slice(&mut seen, GuestAddress(page)).unwrap();
                assert!(seen.iter().all(|byte| *byte == 0), "DMA landed on a private page");
                thread::yield_now();
            }
            pages.convert(page, PAGE_SIZE, PageState::Shared).unwrap();
        }
    });
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

proptest! {
    #[test]
    fn the_gate_admits_exactly_shared_memory(
        shared in prop::collection::btree_set(0..PAGES, 0..PAGES as usize),
        address in prop_oneof![0..SIZE + PAGE_SIZE, any::<u64>()],
        length in 1usize..3 * PAGE_SIZE as usize,
    ) {
        let (gate, pages, _) = machine(PageState::Private);
        for page in &shared {
            pages.convert(page * PAGE_SIZE, PAGE_SIZE, PageState::Shared).unwrap();
        }
        let admitted = address.checked_add(length as u64).is_some_and(|end| {
            (address / PAGE_SIZE..=(end - 1) / PAGE_SIZE).all(|page| shared.contains(&page))
        });
        let mut buffer = vec![0; length];
        prop_assert_eq!(gate.read(address, &mut buffer).is_ok(), admitted);
        prop_assert_eq!(gate.write(address, &buffer).is_ok(), admitted);
        prop_assert_eq!(gate.refusals(), if admitted { 0 } else { 2 });
    }
}
