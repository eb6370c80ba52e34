use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// Two extents with a hole between them.
fn map(initial: PageState) -> PageStateMap {
    PageStateMap::new([4 * MIB..5 * MIB, 0..MIB], initial).unwrap()
}

/// Keeps the set of shared pages from what it is told, and may refuse to let one go or to take one.
#[derive(Default)]
struct Mirror {
    pages: Mutex<BTreeSet<u64>>,
    holds: Option<u64>,
    shuns: Option<u64>,
}

impl Subscriber for Mirror {
    fn before_private(&self, range: Range<u64>) -> Result<(), Refused> {
        if self.holds.is_some_and(|page| range.contains(&page)) {
            return Err(Refused);
        }
        if self.shuns.is_some_and(|page| range.contains(&page)) {
            // It has taken none of them.
            return Ok(());
        }
        for page in range.step_by(PAGE_SIZE as usize) {
            assert!(self.pages.lock().unwrap().remove(&page), "told twice of {page:#x}");
        }
        Ok(())
    }
    fn after_shared(&self, range: Range<u64>) -> Result<(), Refused> {
        if self.shuns.is_some_and(|page| range.contains(&page)) {
            return Err(Refused);
        }
        for page in range.step_by(PAGE_SIZE as usize) {
            assert!(self.pages.lock().unwrap().insert(page), "told twice of {page:#x}");
        }
        Ok(())
    }
}

#[test]
fn a_conversion_that_is_not_whole_pages_of_guest_memory_changes_nothing() {
    let map = map(PageState::Private);
    let last_page = u64::MAX - PAGE_SIZE + 1;
    for (address, length, error) in [
        (1, PAGE_SIZE, Error::Misaligned { address: 1, length: PAGE_SIZE }),
        (0, PAGE_SIZE - 1, Error::Misaligned { address: 0, length: PAGE_SIZE - 1 }),
        (0, 0, Error::Empty { address: 0 }),
        (last_page, PAGE_SIZE, Error::Overflow { address: last_page, length: PAGE_SIZE }),
        (PAGE_SIZE, last_page, Error::Overflow { address: PAGE_SIZE, length: last_page }),
        (0, last_page, Error::NotCovered { address: MIB }),
        (0, 5 * MIB, Error::NotCovered { address: MIB }),
        (4 * MIB, 2 * MIB, Error::NotCovered { address: 5 * MIB }),
        (2 * MIB, PAGE_SIZE, Error::NotCovered { address: 2 * MIB }),
    ] {
        for to in [PageState::Shared, PageState::Private] {
            assert_eq!(map.convert(address, length, to), Err(error));
        }
    }
    assert_eq!(map.shared_ranges(), []);
}

#[test]
fn memory_given_twice_is_refused() {
    for second in [0..MIB, MIB - PAGE_SIZE..2 * MIB, PAGE_SIZE..2 * PAGE_SIZE] {
        let address = second.start;
        assert_eq!(
            PageStateMap::new([0..MIB, second], PageState::Shared).err(),
            Some(Error::Duplicate { address })
        );
    }
}

#[test]
fn a_subscriber_that_holds_on_keeps_the_page_shared_and_the_others_in_step() {
    let map = map(PageState::Private);
    let (willing, holding) = (
        Arc::new(Mirror::default()),
        Arc::new(Mirror { holds: Some(5 * PAGE_SIZE), ..Mirror::default() }),
    );
    map.convert(0, 4 * PAGE_SIZE, PageState::Shared).unwrap();
    map.subscribe(willing.clone()).unwrap();
    map.subscribe(holding.clone()).unwrap();
    map.convert(5 * PAGE_SIZE, PAGE_SIZE, PageState::Shared).unwrap();
    assert_eq!(
        map.convert(0, MIB, PageState::Private),
        Err(Error::Held { address: 5 * PAGE_SIZE })
    );
    let shared: BTreeSet<_> = [0, 1, 2, 3, 5].map(|page| page * PAGE_SIZE).into();
    assert_eq!(map.shared_pages(), 5);
    assert_eq!(*willing.pages.lock().unwrap(), shared);
    assert_eq!(*holding.pages.lock().unwrap(), shared);
}

#[test]
fn a_subscriber_that_cannot_take_a_page_leaves_it_private_and_the_others_in_step() {
    let map = map(PageState::Private);
    let (willing, shunning) = (
        Arc::new(Mirror::default()),
        Arc::new(Mirror { shuns: Some(5 * PAGE_SIZE), ..Mirror::default() }),
    );
    map.subscribe(willing.clone()).unwrap();
    map.subscribe(shunning.clone()).unwrap();
    map.convert(2 * PAGE_SIZE, PAGE_SIZE, PageState::Shared).unwrap();
    // Two runs, the second of which is refused.
    assert_eq!(
        map.convert(0, 8 * PAGE_SIZE, PageState::Shared),
        Err(Error::NotTaken { address: 3 * PAGE_SIZE })
    );
    assert_eq!(
        map.shared_ranges(),
        std::iter::once(2 * PAGE_SIZE..3 * PAGE_SIZE).collect::<Vec<_>>()
    );
    assert_eq!(*willing.pages.lock().unwrap(), BTreeSet::from([2 * PAGE_SIZE]));
    assert_eq!(*shunning.pages.lock().unwrap(), BTreeSet::from([2 * PAGE_SIZE]));
}

#[test]
fn who_cannot_take_what_is_shared_already_is_no_subscriber() {
    let map = map(PageState::Private);
    map.convert(0, 8 * PAGE_SIZE, PageState::Shared).unwrap();
    let shunning = Arc::new(Mirror { shuns: Some(5 * PAGE_SIZE), ..Mirror::default() });
    assert_eq!(map.subscribe(shunning.clone()), Err(Error::NotTaken { address: 0 }));
    map.convert(0, MIB, PageState::Private).unwrap();
}

#[test]
fn going_private_waits_for_an_access_in_flight() {
    let map = map(PageState::Shared);
    let private = AtomicBool::new(false);
    thread::scope(|scope| {
        let guard = map.shared(100, 8).unwrap();
        scope.spawn(|| {
            map.convert(0, PAGE_SIZE, PageState::Private).unwrap();
            private.store(true, Ordering::SeqCst);
        });
        thread::sleep(Duration::from_millis(50));
        assert!(!private.load(Ordering::SeqCst), "the page went private under an access");
        drop(guard);
    });
    assert!(private.load(Ordering::SeqCst));
    assert_eq!(map.shared(100, 8).err(), Some(Error::Private { address: 0 }));
}

#[test]
fn subscribers_let_go_before_the_page_is_private_and_take_it_after_it_is_shared() {
    struct Order(Mutex<Vec<(&'static str, Option<PageState>)>>, PageStateMap);
    struct Watch(Arc<Order>);
    impl Subscriber for Watch {
        fn before_private(&self, range: Range<u64>) -> Result<(), Refused> {
            self.0.0.lock().unwrap().push(("before private", self.0.1.state(range.start)));
            Ok(())
        }
        fn after_private(&self, range: Range<u64>) {
            self.0.0.lock().unwrap().push(("after private", self.0.1.state(range.start)));
        }
        fn after_shared(&self, range: Range<u64>) -> Result<(), Refused> {
            self.0.0.lock().unwrap().push(("after shared", self.0.1.state(range.start)));
            Ok(())
        }
    }
    let order = Arc::new(Order(Mutex::default(), map(PageState::Private)));
    order.1.subscribe(Arc::new(Watch(order.clone()))).unwrap();
    order.1.convert(0, PAGE_SIZE, PageState::Shared).unwrap();
    order.1.convert(0, PAGE_SIZE, PageState::Private).unwrap();
    assert_eq!(
        *order.0.lock().unwrap(),
        [
            ("after shared", Some(PageState::Shared)),
            ("before private", Some(PageState::Shared)),
            ("after private", Some(PageState::Private)),
        ]
    );
}

proptest! {
    #[test]
    fn the_map_and_its_subscribers_agree_with_a_set_of_pages(
        steps in prop::collection::vec((0u64..0x600, 0u64..0x120, any::<bool>(), 0u64..3), 1..60),
    ) {
        let map = map(PageState::Private);
        let mirror = Arc::new(Mirror::default());
        map.subscribe(mirror.clone()).unwrap();
        let memory: BTreeSet<u64> = (0..0x100).chain(0x400..0x500).collect();
        let mut model = BTreeSet::new();
        for (page, count, shared, skew) in steps {
            let to = if shared { PageState::Shared } else { PageState::Private };
            let valid = count > 0 && skew != 1 && (page..page + count).all(|page| memory.contains(&page));
            let changes = (page..page + count).filter(|page| model.contains(page) != shared).count();
            let result = map.convert(page * PAGE_SIZE + skew % 2, count * PAGE_SIZE, to);
            prop_assert_eq!(result.is_ok(), valid);
            if valid {
                prop_assert_eq!(result, Ok(changes as u64));
                for page in page..page + count {
                    if shared { model.insert(page); } else { model.remove(&page); }
                }
            }
            prop_assert_eq!(map.shared_pages(), model.len() as u64);
            prop_assert_eq!(
                mirror.pages.lock().unwrap().iter().map(|page| page / PAGE_SIZE).collect::<Vec<_>>(),
                model.iter().copied().collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn an_access_is_admitted_exactly_when_all_its_pages_are_shared(
        shared in prop::collection::btree_set(0u64..0x100, 0..0x100),
        address in prop_oneof![0..2 * MIB, any::<u64>()],
        length in prop_oneof![0u64..0x4000, any::<u64>()],
    ) {
        let map = map(PageState::Private);
        for page in &shared {
            map.convert(page * PAGE_SIZE, PAGE_SIZE, PageState::Shared).unwrap();
        }
        let end = u128::from(address) + u128::from(length);
        let admitted = length > 0 && end <= u128::from(MIB)
            && (address / PAGE_SIZE..=(end as u64 - 1) / PAGE_SIZE).all(|page| shared.contains(&page));
        prop_assert_eq!(map.shared(address, length).is_ok(), admitted);
    }
}
