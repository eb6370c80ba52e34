//! Guest memory as the pages of a launch, in the order of their addresses.

use ravelin_launch::{Page, PageBytes, PageType};
use ravelin_snp::ghcb::PAGE_SIZE;
use std::ops::Range;
use vm_memory::{Bytes, GuestAddress, GuestMemoryError, GuestMemoryMmap};

const PAGE: u64 = PAGE_SIZE as u64;

/// Which pages of memory a launch puts in.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// Where something was written, in order; what is elsewhere is zeros and not looked at.
    pub loaded: &'a [Range<u64>],
    /// Pages of a type of their own.
    pub special: &'a [(u64, PageType)],
    /// Where every page is put in, zeros too; elsewhere only what is not zeros.
    pub every: &'a [Range<u64>],
}

impl Plan<'_> {
    /// The pages of this memory.
    ///
    /// # Errors
    /// Memory is not there.
    pub fn collect(&self, memory: &GuestMemoryMmap) -> Result<Vec<Page>, GuestMemoryError> {
        let scope = if self.every.is_empty() { self.loaded } else { self.every };
        let mut pages = Vec::new();
        let mut next = 0;
        for range in scope {
            let start = (range.start & !(PAGE - 1)).max(next);
            next = range.end.next_multiple_of(PAGE).max(next);
            for address in (start..next).step_by(PAGE_SIZE) {
                pages.extend(self.page(memory, address)?);
            }
        }
        Ok(pages)
    }

    fn page(&self, memory: &GuestMemoryMmap, at: u64) -> Result<Option<Page>, GuestMemoryError> {
        let special =
            self.special.iter().find(|(address, _)| *address == at).map(|(_, kind)| *kind);
        let contents = match special {
            // What is on them is made at the launch.
            Some(PageType::Secrets | PageType::Cpuid) => None,
            _ => self.contents(memory, at)?,
        };
        let kind = match (special, &contents) {
            (Some(kind), _) => kind,
            (None, Some(_)) => PageType::Normal,
            (None, None) if self.every.is_empty() => return Ok(None),
            (None, None) => PageType::Zero,
        };
        Ok(Some(Page { kind, address: at, contents }))
    }

    /// What is on a page; `None` for zeros.
    fn contents(
        &self,
        memory: &GuestMemoryMmap,
        at: u64,
    ) -> Result<Option<Box<PageBytes>>, GuestMemoryError> {
        if !self.loaded.iter().any(|range| range.start < at + PAGE && at < range.end) {
            return Ok(None);
        }
        let mut page = Box::new([0; PAGE_SIZE]);
        memory.read_slice(page.as_mut_slice(), GuestAddress(at))?;
        Ok((*page != [0; PAGE_SIZE]).then_some(page))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> GuestMemoryMmap {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 1 << 20)]).unwrap();
        memory.write_slice(b"one", GuestAddress(0x1ffe)).unwrap();
        memory.write_slice(b"two", GuestAddress(0x5000)).unwrap();
        memory.write_slice(b"hint", GuestAddress(0x7000)).unwrap();
        memory
    }

    fn kinds(plan: &Plan<'_>) -> Vec<(u64, PageType)> {
        let pages = plan.collect(&memory()).unwrap();
        pages.iter().map(|page| (page.address, page.kind)).collect()
    }

    use PageType::{Normal, Secrets, Unmeasured, Zero};

    #[test]
    fn what_is_loaded_goes_in_page_by_page_and_nothing_twice() {
        let plan = Plan { loaded: &[0x1ff0..0x2010, 0x2800..0x5001], special: &[], every: &[] };
        assert_eq!(kinds(&plan), [(0x1000, Normal), (0x2000, Normal), (0x5000, Normal)]);
    }

    #[test]
    fn every_page_of_a_guest_that_must_find_all_of_it_valid_goes_in() {
        let special = [(0x3000, Secrets), (0x7000, Unmeasured)];
        let (loaded, every) = (0..0x8000, 0..0x9000);
        let [loaded, every] = [&loaded, &every].map(std::slice::from_ref);
        let plan = Plan { loaded, special: &special, every };
        let expected = [
            (0, Zero),
            (0x1000, Normal),
            (0x2000, Normal),
            (0x3000, Secrets),
            (0x4000, Zero),
            (0x5000, Normal),
            (0x6000, Zero),
            (0x7000, Unmeasured),
            (0x8000, Zero),
        ];
        assert_eq!(kinds(&plan), expected);
        let hint = &plan.collect(&memory()).unwrap()[7].contents;
        assert_eq!(hint.as_ref().unwrap()[..4], *b"hint");
    }
}
