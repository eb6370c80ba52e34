//! Where things stand in guest-physical address space.
//!
//! Guest memory from 0 to at most 3 GiB, the rest of it from 4 GiB; in the hole the configuration
//! space (ECAM) and KVM's interrupt controllers; above everything the window for BARs. Addresses
//! are without the C-bit, and all of them are below it.

use std::ops::Range;

/// First address of the hole below 4 GiB.
const HOLE_START: u64 = 3 << 30;
/// First address behind the hole.
const HOLE_END: u64 = 4 << 30;
/// Configuration space of bus 0, in the hole.
const ECAM: u64 = 0xe000_0000;
/// BARs are placed from a multiple of this on.
const BAR_ALIGNMENT: u64 = 1 << 30;
/// Guest memory comes in units of a large page.
pub const MEMORY_ALIGNMENT: u64 = 2 << 20;
/// The least that the built-in guest, its arena and its heap need.
pub const MEMORY_MINIMUM: u64 = 64 << 20;

/// Where the addresses of an SNP guest end, wherever it runs: BARs are said in its ACPI tables, which are
/// measured, and its digest must not depend on the host's processor.
pub const SNP_LIMIT: u64 = 1 << 46;

/// Bytes of configuration space of one bus.
pub const ECAM_SIZE: u64 = 1 << 20;
/// The I/O APIC's registers, which KVM answers.
pub const IO_APIC: u64 = 0xfec0_0000;
/// The local APICs' registers, which KVM answers.
pub const LOCAL_APIC: u64 = 0xfee0_0000;
/// Three pages that KVM takes on Intel processors without unrestricted guest mode.
pub const KVM_TSS: u64 = 0xfffb_d000;
/// One page that KVM takes on the same processors.
pub const KVM_IDENTITY_MAP: u64 = 0xfffb_c000;

/// Why there is no such address space.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Too little, or no multiple of 2 MiB.
    #[error("guest memory of {0} bytes: give a multiple of 2 MiB, at least 64 MiB")]
    Memory(u64),
    /// Memory and BARs do not fit below the limit.
    #[error("guest memory of {memory} bytes does not fit {limit:#x} bytes of address space")]
    TooLarge {
        /// Bytes of guest memory.
        memory: u64,
        /// First address that cannot be used.
        limit: u64,
    },
}

/// The guest-physical address space of one VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Guest memory, in order.
    pub memory: Vec<Range<u64>>,
    /// First address of the configuration space; [`ECAM_SIZE`] bytes.
    pub ecam: u64,
    /// The window for BARs.
    pub bars: Range<u64>,
}

/// Bytes of guest memory that lie below the hole, from address 0 on.
pub fn low_memory(memory: u64) -> u64 {
    memory.min(HOLE_START)
}

impl Layout {
    /// The layout for `memory` bytes of guest memory where addresses end before `limit`.
    ///
    /// # Errors
    /// The size makes no sense or does not fit.
    pub fn new(memory: u64, limit: u64) -> Result<Layout, Error> {
        if memory < MEMORY_MINIMUM || !memory.is_multiple_of(MEMORY_ALIGNMENT) {
            return Err(Error::Memory(memory));
        }
        let low = low_memory(memory);
        let high = memory - low;
        let too_large = Error::TooLarge { memory, limit };
        let end = HOLE_END.checked_add(high).ok_or(Error::TooLarge { memory, limit })?;
        let bars = end.checked_next_multiple_of(BAR_ALIGNMENT).filter(|bars| *bars < limit);
        let Some(bars) = bars else { return Err(too_large) };
        let memory = [0..low, HOLE_END..end].into_iter().filter(|range| !range.is_empty());
        Ok(Layout { memory: memory.collect(), ecam: ECAM, bars: bars..limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::iter;

    #[test]
    fn little_memory_stays_below_the_hole() {
        let layout = Layout::new(256 << 20, 1 << 39).unwrap();
        assert_eq!(layout.memory, iter::once(0..256 << 20).collect::<Vec<_>>());
        assert_eq!(layout.bars, 4 << 30..1 << 39);
    }

    #[test]
    fn much_memory_goes_around_the_hole_and_the_bars_behind_it() {
        let layout = Layout::new((5 << 30) + (2 << 20), 1 << 39).unwrap();
        assert_eq!(layout.memory, [0..3 << 30, 4 << 30..(6 << 30) + (2 << 20)]);
        assert_eq!(layout.bars.start, 7 << 30);
    }

    #[test]
    fn senseless_sizes_are_refused() {
        for size in [0, 1, 62 << 20, (64 << 20) + 4096, u64::MAX] {
            assert_eq!(Layout::new(size, 1 << 39), Err(Error::Memory(size)), "{size}");
        }
        for size in [1 << 39, 1 << 62, u64::MAX - (2 << 20) + 1] {
            let refused = Layout::new(size, 1 << 39);
            assert_eq!(refused, Err(Error::TooLarge { memory: size, limit: 1 << 39 }), "{size}");
        }
    }
}
