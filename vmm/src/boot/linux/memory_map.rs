//! What the guest is told about its address space: which parts are memory, which are spoken for.
//!
//! Everything is whole pages: a guest whose memory is encrypted announces each range of memory to
//! the hypervisor in pages.

use super::{Protection, acpi, reset_vector};
use crate::boot::confidential;
use crate::layout::Layout;
use std::ops::Range;

/// First address that is no memory below 1 MiB: video memory and firmware on a PC.
const LOW_END: u64 = 0xa_0000;
/// Memory goes on here.
const HIGH_START: u64 = 1 << 20;

/// Kinds of address space, with the numbers that e820 and PVH have for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Memory.
    Ram = 1,
    /// Not for the kernel to use.
    Reserved = 2,
    /// ACPI tables; memory once they have been read.
    Acpi = 3,
}

/// A guest's map of its address space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryMap {
    entries: Vec<(Range<u64>, Kind)>,
    low: u64,
}

impl MemoryMap {
    /// The map of this layout. On SNP some pages are not for the kernel to use as memory.
    pub fn new(layout: &Layout, protection: Protection) -> Self {
        let low = layout.memory.first().map_or(0, |range| range.end);
        let mut entries = match protection {
            Protection::None | Protection::Sev => vec![(0..LOW_END.min(low), Kind::Ram)],
            Protection::Snp => vec![
                (0..confidential::RESERVED.start, Kind::Ram),
                (confidential::RESERVED, Kind::Reserved),
                (confidential::RESERVED.end..LOW_END.min(low), Kind::Ram),
            ],
        };
        entries.extend([
            (acpi::ADDRESS..acpi::END, Kind::Acpi),
            (reset_vector::PAGE, Kind::Reserved),
            (HIGH_START..low, Kind::Ram),
            (layout.ecam..layout.ecam + crate::layout::ECAM_SIZE, Kind::Reserved),
        ]);
        entries.extend(layout.memory.iter().skip(1).map(|range| (range.clone(), Kind::Ram)));
        Self { entries, low }
    }

    /// The ranges, in order and without overlap.
    pub fn entries(&self) -> &[(Range<u64>, Kind)] {
        &self.entries
    }

    /// Bytes of memory from address 0 on.
    pub fn low(&self) -> u64 {
        self.low
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_map_is_in_order_of_whole_pages_and_all_its_memory_is_there(
            units in 32u64..(600 << 30 >> 21), snp: bool,
        ) {
            let layout = Layout::new(units << 21, 1 << 46).unwrap();
            let protection = if snp { Protection::Snp } else { Protection::Sev };
            let map = MemoryMap::new(&layout, protection);
            let mut end = 0;
            let mut ram = 0;
            for (range, kind) in map.entries() {
                prop_assert!(range.start >= end && range.start < range.end);
                prop_assert!(range.start % 4096 == 0 && range.end % 4096 == 0);
                end = range.end;
                let within = |whole: &Range<u64>| whole.start <= range.start && range.end <= whole.end;
                if *kind == Kind::Ram {
                    prop_assert!(layout.memory.iter().any(within));
                    ram += range.end - range.start;
                }
            }
            // All but what a PC has below 1 MiB, and what SNP takes there.
            let taken = if snp { 0x3000 } else { 0 };
            prop_assert_eq!(ram, (units << 21) - (HIGH_START - LOW_END) - taken);
            prop_assert!(end <= layout.bars.start);
        }
    }
}
