//! How a BAR is shown: which pages the guest reaches directly, and which bytes of the others answer.
//!
//! Memory slots are made of pages, blocked ranges of bytes. Every page with a byte that must not be
//! reached directly traps; of its bytes only the blocked ones are refused.

use super::face::VectorTable;
use crate::page_state::PAGE_SIZE;
use std::ops::Range;

/// Bytes of a BAR that nobody reaches: `END` is the first byte behind them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    /// Number of the BAR.
    pub bar: u8,
    /// Offsets in it.
    pub range: Range<u64>,
}

impl std::fmt::Display for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{:#x}-{:#x}", self.bar, self.range.start, self.range.end)
    }
}

/// What answers an access to a page that traps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The device.
    Device,
    /// Nobody: all ones, writes dropped.
    Blocked,
    /// The table of vectors, at this offset in it.
    Table(u64),
    /// The pending bits, at this offset in them.
    Pending(u64),
}

/// A BAR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BarPlan {
    /// Its number.
    pub index: u8,
    /// Its bytes.
    pub size: u64,
    blocked: Vec<Range<u64>>,
    table: Option<Range<u64>>,
    pending: Option<Range<u64>>,
}

impl BarPlan {
    /// A BAR with what must trap in it.
    pub fn new(index: u8, size: u64, blocks: &[Block], vectors: Option<&VectorTable>) -> Self {
        let mut blocked: Vec<_> = blocks
            .iter()
            .filter(|block| block.bar == index)
            .map(|block| block.range.clone())
            .collect();
        blocked.sort_by_key(|range| range.start);
        let here = |(bar, start): (u8, u64), length: u64| {
            (bar == index).then(|| start..start.saturating_add(length))
        };
        let table = vectors.and_then(|at| here(at.table, u64::from(at.physical) * 16));
        let pending =
            vectors.and_then(|at| here(at.pending, u64::from(at.physical).div_ceil(64) * 8));
        Self { index, size, blocked, table, pending }
    }

    /// The pages that the guest may reach without us, in runs as long as possible.
    pub fn direct(&self) -> Vec<Range<u64>> {
        let mut traps: Vec<&Range<u64>> =
            self.blocked.iter().chain(&self.table).chain(&self.pending).collect();
        traps.sort_by_key(|range| range.start);
        let mut direct = Vec::new();
        let mut start = 0;
        for trap in traps {
            let end = trap.start / PAGE_SIZE * PAGE_SIZE;
            direct.push(start..end);
            start = start.max(trap.end.div_ceil(PAGE_SIZE).saturating_mul(PAGE_SIZE));
        }
        direct.push(start..self.size / PAGE_SIZE * PAGE_SIZE);
        direct.retain(|range| !range.is_empty());
        direct
    }

    /// Who answers an access within the BAR. One that has a single blocked byte is refused whole, and
    /// so is one that is only half in a structure of ours.
    pub fn answer(&self, offset: u64, length: u64) -> Answer {
        let end = offset.saturating_add(length);
        let touches = |range: &Range<u64>| range.start < end && offset < range.end;
        let within = |range: &Range<u64>| range.start <= offset && end <= range.end;
        if self.blocked.iter().any(touches) {
            return Answer::Blocked;
        }
        for (range, answer) in
            [(&self.table, Answer::Table as fn(u64) -> Answer), (&self.pending, Answer::Pending)]
        {
            match range {
                Some(range) if within(range) => return answer(offset - range.start),
                Some(range) if touches(range) => return Answer::Blocked,
                _ => {}
            }
        }
        Answer::Device
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VECTORS: VectorTable =
        VectorTable { vectors: 4, physical: 65, table: (0, 0x2000), pending: (0, 0x3000) };

    #[test]
    fn the_pages_of_vectors_and_of_blocked_bytes_are_not_direct_and_the_others_are() {
        let plan =
            BarPlan::new(0, 0x8000, &[Block { bar: 0, range: 0x5ffc..0x6004 }], Some(&VECTORS));
        assert_eq!(plan.direct(), [0..0x2000, 0x4000..0x5000, 0x7000..0x8000]);
        let other = BarPlan::new(2, 0x800, &[], Some(&VECTORS));
        assert_eq!(other.direct(), []);
    }

    #[test]
    fn an_access_is_refused_at_each_edge_of_a_block_and_not_beside_it() {
        let plan = BarPlan::new(0, 0x8000, &[Block { bar: 0, range: 0x5004..0x5008 }], None);
        for width in [1, 2, 4, 8] {
            for offset in 0x5000 - 8..0x5010_u64 {
                let touches = offset < 0x5008 && offset + width > 0x5004;
                let answer = if touches { Answer::Blocked } else { Answer::Device };
                assert_eq!(plan.answer(offset, width), answer, "{offset:#x}, {width}");
            }
        }
        assert_eq!(plan.answer(u64::MAX, 8), Answer::Device);
    }

    #[test]
    fn the_table_and_the_pending_bits_are_ours_and_what_is_half_in_them_is_refused() {
        let plan = BarPlan::new(0, 0x8000, &[], Some(&VECTORS));
        assert_eq!(plan.answer(0x2010, 4), Answer::Table(0x10));
        assert_eq!(plan.answer(0x2000 + 65 * 16, 4), Answer::Device);
        assert_eq!(plan.answer(0x3008, 8), Answer::Pending(8));
        assert_eq!(plan.answer(0x1ffe, 4), Answer::Blocked);
    }

    proptest! {
        #[test]
        fn no_blocked_byte_is_ever_in_a_direct_page(
            blocks in prop::collection::vec((0u64..0x10000, 1u64..0x3000), 0..6),
        ) {
            let blocks: Vec<Block> = blocks
                .into_iter()
                .map(|(start, length)| Block { bar: 0, range: start..(start + length).min(0x10000) })
                .collect();
            let plan = BarPlan::new(0, 0x10000, &blocks, None);
            let direct = plan.direct();
            for page in (0..0x10000).step_by(PAGE_SIZE as usize) {
                let blocked = blocks
                    .iter()
                    .any(|block| block.range.start < page + PAGE_SIZE && page < block.range.end);
                let shown = direct.iter().any(|range| range.contains(&page));
                prop_assert_eq!(shown, !blocked, "page {:#x}", page);
            }
        }
    }
}
