//! PVALIDATE (APM volume 3): a guest says which pages are its own, and finds out when a hypervisor has put
//! another page in a page's place.
//!
//! A page is validated once, when the hypervisor has made it private, and given up before it is asked to
//! share it. That the processor finds a page in the state already that it should get is the mark of a page
//! that was swapped: the guest must end.

use crate::ghcb::page_state::PageSize;
use crate::ghcb::termination::Cause;

/// EAX: the page is larger or smaller in the reverse map.
pub const FAIL_SIZE_MISMATCH: u32 = 6;

/// What the instruction says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// EAX: 0, or why not.
    pub status: u32,
    /// The carry flag: the page was in that state before.
    pub unchanged: bool,
}

/// A processor that has the instruction, or stands for one.
pub trait Processor {
    /// Validates the page at an address, which is mapped private, or gives it up.
    fn pvalidate(&mut self, address: u64, size: PageSize, validated: bool) -> Outcome;
}

/// Validates or gives up whole large pages, in small pieces where the reverse map has those.
///
/// # Errors
/// A page is not what it should be. The guest must end.
#[inline(always)]
pub fn range<P: Processor>(
    processor: &mut P,
    address: u64,
    length: u64,
    validated: bool,
) -> Result<(), Cause> {
    let mut page = address;
    while page < address + length {
        let next = page + PageSize::Large.bytes();
        let outcome = processor.pvalidate(page, PageSize::Large, validated);
        if outcome.status == FAIL_SIZE_MISMATCH {
            while page < next {
                small(processor, page, validated)?;
                page += PageSize::Small.bytes();
            }
        } else {
            check(outcome)?;
        }
        page = next;
    }
    Ok(())
}

/// Validates or gives up one small page.
///
/// # Errors
/// It is not what it should be. The guest must end.
#[inline(always)]
pub fn small<P: Processor>(processor: &mut P, address: u64, validated: bool) -> Result<(), Cause> {
    check(processor.pvalidate(address, PageSize::Small, validated))
}

#[inline(always)]
fn check(outcome: Outcome) -> Result<(), Cause> {
    if outcome.status == 0 && !outcome.unchanged { Ok(()) } else { Err(Cause::Pvalidate) }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::collections::BTreeMap;

    const LARGE: u64 = 2 << 20;
    const SMALL: u64 = 4096;

    /// A reverse map: pages by address, with size and whether they are validated.
    #[derive(Default)]
    struct ReverseMap(BTreeMap<u64, (u64, bool)>);

    impl ReverseMap {
        fn with(mut self, address: u64, page: u64, validated: bool) -> Self {
            for at in (address..address + LARGE).step_by(page as usize) {
                self.0.insert(at, (page, validated));
            }
            self
        }

        fn all(&self, validated: bool) -> bool {
            self.0.values().all(|(_, is)| *is == validated)
        }
    }

    impl Processor for ReverseMap {
        fn pvalidate(&mut self, address: u64, size: PageSize, validated: bool) -> Outcome {
            let failed = |status| Outcome { status, unchanged: false };
            match self.0.get_mut(&address) {
                None => failed(1),
                Some((page, _)) if *page != size.bytes() => failed(FAIL_SIZE_MISMATCH),
                Some((_, is)) => {
                    let unchanged = core::mem::replace(is, validated) == validated;
                    Outcome { status: 0, unchanged }
                }
            }
        }
    }

    #[test]
    fn large_pages_go_at_once_and_where_they_are_small_one_by_one() {
        let mut map = ReverseMap::default().with(0, LARGE, false).with(LARGE, SMALL, false);
        range(&mut map, 0, 2 * LARGE, true).unwrap();
        assert!(map.all(true));
        range(&mut map, 0, 2 * LARGE, false).unwrap();
        assert!(map.all(false));
        small(&mut map, LARGE + SMALL, true).unwrap();
        assert_eq!(map.0[&(LARGE + SMALL)], (SMALL, true));
    }

    /// A hypervisor that gives two pages the same place, or one page two places.
    #[test]
    fn a_page_that_is_in_that_state_already_ends_the_guest() {
        for page in [LARGE, SMALL] {
            let mut map = ReverseMap::default().with(0, page, false);
            if let Some((_, validated)) = map.0.values_mut().last() {
                *validated = true;
            }
            assert_eq!(range(&mut map, 0, LARGE, true), Err(Cause::Pvalidate));
        }
        let mut map = ReverseMap::default().with(0, SMALL, true);
        assert_eq!(small(&mut map, 0, true), Err(Cause::Pvalidate));
    }

    #[test]
    fn a_page_that_is_not_there_ends_the_guest() {
        let mut map = ReverseMap::default().with(0, LARGE, false);
        assert_eq!(range(&mut map, 0, 2 * LARGE, true), Err(Cause::Pvalidate));
        let mut half = ReverseMap::default().with(0, SMALL, false);
        half.0.remove(&(256 * SMALL));
        assert_eq!(range(&mut half, 0, LARGE, true), Err(Cause::Pvalidate));
        assert_eq!(half.0[&(255 * SMALL)], (SMALL, true));
    }
}
