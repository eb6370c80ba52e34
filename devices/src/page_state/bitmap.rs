//! One bit a page, over as many extents of pages as the guest has ranges of memory.
//!
//! Pages are page numbers. The map has no locks and no rules about who may flip a bit; those are
//! [`page_state`](super)'s.

use super::{Error, PAGE_SIZE};
use std::ops::Range;

/// Extents in order, without overlap.
#[derive(Default)]
pub(super) struct Bitmap(Vec<Extent>);

struct Extent {
    pages: Range<u64>,
    words: Box<[u64]>,
    /// How many bits are set. Where none is nobody has to look: a VM's memory begins clear, and must not
    /// take longer to start with the more of it there is.
    set: u64,
}

impl Extent {
    fn get(&self, page: u64) -> bool {
        let at = (page - self.pages.start) as usize;
        self.words[at / 64] >> (at % 64) & 1 != 0
    }

    /// The value of all bits of a word, if they have one and this is its first page.
    fn whole_word(&self, page: u64) -> Option<bool> {
        let at = (page - self.pages.start) as usize;
        match self.words[at / 64] {
            0 if at.is_multiple_of(64) => Some(false),
            u64::MAX if at.is_multiple_of(64) => Some(true),
            _ => None,
        }
    }

    fn set(&mut self, page: u64, value: bool) {
        let at = (page - self.pages.start) as usize;
        let (word, bit) = (&mut self.words[at / 64], 1 << (at % 64));
        match (*word & bit != 0, value) {
            (false, true) => self.set += 1,
            (true, false) => self.set -= 1,
            _ => return,
        }
        *word ^= bit;
    }
}

impl Bitmap {
    /// Adds an extent that is not empty, every bit of it `value`.
    pub(super) fn add(&mut self, pages: Range<u64>, value: bool) -> Result<(), Error> {
        let at = self.0.partition_point(|extent| extent.pages.end <= pages.start);
        if self.0.get(at).is_some_and(|next| next.pages.start < pages.end) {
            return Err(Error::Duplicate { address: pages.start * PAGE_SIZE });
        }
        let words = (pages.end - pages.start).div_ceil(64) as usize;
        let words = vec![0; words].into_boxed_slice();
        self.0.insert(at, Extent { pages: pages.clone(), words, set: 0 });
        if value {
            self.fill(pages, true);
        }
        Ok(())
    }

    /// The bit of a page; `None` outside every extent.
    pub(super) fn get(&self, page: u64) -> Option<bool> {
        self.extent(page).map(|extent| extent.get(page))
    }

    /// The first page of a range whose bit is `value`.
    pub(super) fn first(&self, pages: Range<u64>, value: bool) -> Result<Option<u64>, Error> {
        self.covered(&pages)?;
        Ok(self
            .parts(pages)
            .find_map(|(extent, mut part)| part.find(|&page| extent.get(page) == value)))
    }

    /// The runs of pages in a range whose bit is `value`.
    pub(super) fn runs(&self, pages: Range<u64>, value: bool) -> Result<Vec<Range<u64>>, Error> {
        self.covered(&pages)?;
        Ok(self.collect(pages, value))
    }

    /// Every run of pages whose bit is `value`.
    pub(super) fn all_runs(&self, value: bool) -> Vec<Range<u64>> {
        self.collect(0..u64::MAX, value)
    }

    /// Gives every page of a range the same bit. Pages outside every extent have none.
    pub(super) fn fill(&mut self, pages: Range<u64>, value: bool) {
        for extent in &mut self.0 {
            for page in intersection(&extent.pages, &pages) {
                extent.set(page, value);
            }
        }
    }

    /// Number of bits set.
    pub(super) fn count_set(&self) -> u64 {
        self.0.iter().map(|extent| extent.set).sum()
    }

    fn extent(&self, page: u64) -> Option<&Extent> {
        let at = self.0.partition_point(|extent| extent.pages.end <= page);
        self.0.get(at).filter(|extent| extent.pages.contains(&page))
    }

    /// Checks in time proportional to the number of extents: the range may be absurdly long.
    fn covered(&self, pages: &Range<u64>) -> Result<(), Error> {
        let mut page = pages.start;
        while page < pages.end {
            let extent =
                self.extent(page).ok_or(Error::NotCovered { address: page * PAGE_SIZE })?;
            page = extent.pages.end;
        }
        Ok(())
    }

    fn parts(&self, pages: Range<u64>) -> impl Iterator<Item = (&Extent, Range<u64>)> {
        self.0.iter().map(move |extent| (extent, intersection(&extent.pages, &pages)))
    }

    fn collect(&self, pages: Range<u64>, value: bool) -> Vec<Range<u64>> {
        let mut runs: Vec<Range<u64>> = Vec::new();
        for (extent, part) in self.parts(pages).filter(|(extent, _)| !(value && extent.set == 0)) {
            let mut page = part.start;
            while page < part.end {
                if extent.whole_word(page) == Some(!value) {
                    page += u64::from(u64::BITS);
                    continue;
                }
                if extent.get(page) == value {
                    match runs.last_mut() {
                        Some(run) if run.end == page => run.end += 1,
                        _ => runs.push(page..page + 1),
                    }
                }
                page += 1;
            }
        }
        runs
    }
}

fn intersection(a: &Range<u64>, b: &Range<u64>) -> Range<u64> {
    a.start.max(b.start)..a.end.min(b.end)
}
