//! The CPUID page (ABI, "CPUID Page"): what a guest believes of its processor without asking the
//! hypervisor. The hypervisor writes it before the launch, the AMD-SP checks it there, the guest
//! reads it.
//!
//! A count, and up to [`MAX_FUNCTIONS`] entries of 48 bytes. What depends on what the guest has turned on
//! is not in the page but follows from it: [`CpuidPage::answer`].

use crate::ghcb::PAGE_SIZE;

/// Entries that the page may have.
pub const MAX_FUNCTIONS: usize = 64;

const HEADER: usize = 16;
const FUNCTION: usize = 48;
/// Where things stand in an entry.
const LEAF: usize = 0;
const SUBLEAF: usize = 4;
const REGISTERS: usize = 24;

/// One leaf or subleaf and its registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Function {
    /// EAX that is asked for.
    pub leaf: u32,
    /// ECX that is asked for; 0 where the leaf has no subleaves.
    pub subleaf: u32,
    /// XCR0 that the answer is for; 0 where it does not depend on it.
    pub xcr0: u64,
    /// IA32_XSS that the answer is for; 0 where it does not depend on it.
    pub xss: u64,
    /// EAX, EBX, ECX, EDX of the answer.
    pub registers: [u32; 4],
}

/// What a guest has turned on in its processor, as far as CPUID shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Enabled {
    /// CR4.OSXSAVE.
    pub osxsave: bool,
    /// XCR0.
    pub xcr0: u64,
    /// IA32_XSS.
    pub xss: u64,
}

/// Leaf 1, ECX: CR4.OSXSAVE.
const OSXSAVE: u32 = 1 << 27;
/// The leaf of extended states.
const EXTENDED_STATE: u32 = 0xd;
/// Its subleaf 1, EAX: XSAVEC and XSAVES.
const COMPACTED: u32 = 1 << 1 | 1 << 3;
/// Bytes of the states that every processor has, and of the header.
const LEGACY_STATE: u32 = 0x240;
/// The states in that.
const LEGACY_STATES: u64 = 0b11;

/// A CPUID page.
#[derive(Clone, PartialEq, Eq)]
#[repr(transparent)]
pub struct CpuidPage([u8; PAGE_SIZE]);

impl CpuidPage {
    /// The page with these functions. `None` where they are more than [`MAX_FUNCTIONS`].
    pub fn new(functions: &[Function]) -> Option<CpuidPage> {
        if functions.len() > MAX_FUNCTIONS {
            return None;
        }
        let mut page = [0; PAGE_SIZE];
        page[..4].copy_from_slice(&(functions.len() as u32).to_le_bytes());
        let entries = page[HEADER..].chunks_exact_mut(FUNCTION);
        for (entry, function) in entries.zip(functions) {
            entry[..4].copy_from_slice(&function.leaf.to_le_bytes());
            entry[4..8].copy_from_slice(&function.subleaf.to_le_bytes());
            entry[8..16].copy_from_slice(&function.xcr0.to_le_bytes());
            entry[16..24].copy_from_slice(&function.xss.to_le_bytes());
            for (place, register) in entry[24..40].chunks_exact_mut(4).zip(function.registers) {
                place.copy_from_slice(&register.to_le_bytes());
            }
        }
        Some(CpuidPage(page))
    }

    /// The page of these bytes; what is in it is looked at when it is asked for.
    pub const fn from_bytes(bytes: [u8; PAGE_SIZE]) -> CpuidPage {
        CpuidPage(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; PAGE_SIZE] {
        &self.0
    }

    /// The functions, in order. A count beyond [`MAX_FUNCTIONS`] counts as that many.
    pub fn functions(&self) -> impl Iterator<Item = Function> + '_ {
        let count = word(&self.0, 0) as usize;
        let entries = self.0[HEADER..].chunks_exact(FUNCTION).take(count.min(MAX_FUNCTIONS));
        entries.map(|entry| Function {
            leaf: word(entry, 0),
            subleaf: word(entry, 4),
            xcr0: u64::from(word(entry, 8)) | u64::from(word(entry, 12)) << 32,
            xss: u64::from(word(entry, 16)) | u64::from(word(entry, 20)) << 32,
            registers: core::array::from_fn(|register| word(entry, 24 + 4 * register)),
        })
    }

    /// What CPUID answers a guest that has so much turned on: EAX, EBX, ECX, EDX, zeros where the page has
    /// nothing. `None` where the page is of no use: it is empty, or lacks a state that is turned on.
    #[inline(always)]
    pub fn answer(&self, leaf: u32, subleaf: u32, enabled: Enabled) -> Option<[u32; 4]> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let subleaf = if has_subleaves(leaf) { subleaf } else { 0 };
        let mut index = 0;
        while index < count {
            if self.word(index, LEAF) == leaf && self.word(index, SUBLEAF) == subleaf {
                break;
            }
            index += 1;
        }
        if index == count {
            return Some([0; 4]);
        }
        let eax = self.word(index, REGISTERS);
        let mut ebx = self.word(index, REGISTERS + 4);
        let mut ecx = self.word(index, REGISTERS + 8);
        let edx = self.word(index, REGISTERS + 12);
        if leaf == 1 {
            ecx = if enabled.osxsave { ecx | OSXSAVE } else { ecx & !OSXSAVE };
        } else if leaf == EXTENDED_STATE && subleaf == 0 {
            ebx = self.state_size(enabled.xcr0, false)?;
        } else if leaf == EXTENDED_STATE && subleaf == 1 && eax & COMPACTED != 0 {
            ebx = self.state_size(enabled.xcr0 | enabled.xss, true)?;
        }
        Some([eax, ebx, ecx, edx])
    }

    /// Bytes that these states take in memory (APM volume 3, E.3.8). `None` where one is unknown.
    #[inline(always)]
    fn state_size(&self, states: u64, compacted: bool) -> Option<u32> {
        let mut missing = states & !LEGACY_STATES;
        let mut size = LEGACY_STATE;
        let mut index = 0;
        while index < self.count() {
            let number = self.word(index, SUBLEAF);
            let is_state = self.word(index, LEAF) == EXTENDED_STATE && number < 64;
            if is_state && missing & 1 << number != 0 {
                missing &= !(1 << number);
                let (length, offset) =
                    (self.word(index, REGISTERS), self.word(index, REGISTERS + 4));
                let end = if compacted { size } else { offset }.checked_add(length)?;
                size = if end > size { end } else { size };
            }
            index += 1;
        }
        if missing == 0 { Some(size) } else { None }
    }

    #[inline(always)]
    fn count(&self) -> usize {
        let count = word(&self.0, 0) as usize;
        if count > MAX_FUNCTIONS { MAX_FUNCTIONS } else { count }
    }

    /// A word of an entry.
    #[inline(always)]
    fn word(&self, index: usize, at: usize) -> u32 {
        word(&self.0, HEADER + FUNCTION * index + at)
    }

    /// The first function of this leaf and subleaf.
    pub fn find(&self, leaf: u32, subleaf: u32) -> Option<Function> {
        self.functions().find(|function| function.leaf == leaf && function.subleaf == subleaf)
    }
}

impl core::fmt::Debug for CpuidPage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.functions()).finish()
    }
}

/// Whether ECX matters to a leaf (APM volume 3, appendix E; Intel SDM, CPUID).
#[inline(always)]
fn has_subleaves(leaf: u32) -> bool {
    matches!(
        leaf,
        4 | 7
            | 0xb
            | 0xd
            | 0xf
            | 0x10
            | 0x12
            | 0x14
            | 0x17
            | 0x18
            | 0x1a
            | 0x1b
            | 0x1d
            | 0x1f
            | 0x20
            | 0x23
            | 0x24
            | 0x8000_001d
            | 0x8000_0020
            | 0x8000_0026
    )
}

#[inline(always)]
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXTENDED_STATE: Function = Function {
        leaf: 0xd,
        subleaf: 1,
        xcr0: 1,
        xss: 0x1234_5678_9abc_def0,
        registers: [0xf, 0x240, 3, 4],
    };

    #[test]
    fn the_page_is_laid_out_as_in_the_abi() {
        let first = Function { leaf: 0x8000_001f, registers: [1, 2, 3, 4], ..Function::default() };
        let page = CpuidPage::new(&[first, EXTENDED_STATE]).unwrap();
        let bytes = page.as_bytes();
        assert_eq!(bytes[..16], [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[16..20], [0x1f, 0, 0, 0x80]);
        assert_eq!(bytes[40..56], [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0]);
        let second = &bytes[64..112];
        assert_eq!(second[..16], [0xd, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(second[16..24], [0xf0, 0xde, 0xbc, 0x9a, 0x78, 0x56, 0x34, 0x12]);
        assert_eq!(second[24..32], [0xf, 0, 0, 0, 0x40, 2, 0, 0]);
        assert!(bytes[112..].iter().all(|byte| *byte == 0));
        assert_eq!(page.find(0xd, 1), Some(EXTENDED_STATE));
        assert_eq!(page.find(0xd, 0), None);
    }

    #[test]
    fn a_page_has_at_most_64_functions_whatever_it_says() {
        assert!(CpuidPage::new(&[EXTENDED_STATE; MAX_FUNCTIONS]).is_some());
        assert!(CpuidPage::new(&[EXTENDED_STATE; MAX_FUNCTIONS + 1]).is_none());
        let hostile = CpuidPage::from_bytes([0xff; PAGE_SIZE]);
        assert_eq!(hostile.functions().count(), MAX_FUNCTIONS);
    }

    fn function(leaf: u32, subleaf: u32, registers: [u32; 4]) -> Function {
        Function { leaf, subleaf, registers, ..Function::default() }
    }

    /// Sizes and offsets as an EPYC has them: AVX at 576, PKRU at 2432.
    fn page() -> CpuidPage {
        CpuidPage::new(&[
            function(1, 0, [1, 2, OSXSAVE | 4, 5]),
            function(7, 0, [1, 7, 7, 7]),
            Function { xcr0: 1, ..function(0xd, 0, [0x207, 0x240, 0x988, 0]) },
            Function { xcr0: 1, ..function(0xd, 1, [0xf, 0x240, 0x1800, 0]) },
            function(0xd, 2, [0x100, 0x240, 0, 0]),
            function(0xd, 9, [8, 0x980, 0, 0]),
            function(0xd, 11, [0x10, 0, 1, 0]),
        ])
        .unwrap()
    }

    fn with(xcr0: u64, xss: u64) -> Enabled {
        Enabled { osxsave: true, xcr0, xss }
    }

    #[test]
    fn a_guest_is_told_what_the_page_says_and_zeros_of_the_rest() {
        let (page, on) = (page(), with(7, 0));
        assert_eq!(page.answer(7, 0, on), Some([1, 7, 7, 7]));
        assert_eq!(page.answer(7, 1, on), Some([0; 4]), "a subleaf that is not there");
        assert_eq!(page.answer(0x4000_0000, 0, on), Some([0; 4]));
        let one = page.answer(1, 0, on);
        assert_eq!(page.answer(1, 77, on), one, "ECX is nothing to this leaf");
        assert_eq!(one, Some([1, 2, OSXSAVE | 4, 5]));
        assert_eq!(page.answer(1, 0, Enabled::default()), Some([1, 2, 4, 5]));
    }

    #[test]
    fn sizes_of_states_are_those_of_the_states_that_are_on() {
        let page = page();
        let size = |subleaf, xcr0, xss| page.answer(0xd, subleaf, with(xcr0, xss)).map(|it| it[1]);
        assert_eq!(size(0, 0b11, 0), Some(0x240));
        assert_eq!(size(0, 0b111, 0), Some(0x340));
        assert_eq!(size(0, 0x207, 0), Some(0x988), "where each state has its own place");
        assert_eq!(size(1, 0x207, 0), Some(0x348), "and where they stand close together");
        assert_eq!(size(1, 0x207, 1 << 11), Some(0x358));
        assert_eq!(size(0, 0x207, 1 << 11), Some(0x988), "only the compacted form has those");
        assert_eq!(size(2, 7, 0), Some(0x240), "an offset");
        assert_eq!(size(0, 0xe7, 0), None, "a state that the page does not know");
    }

    #[test]
    fn a_page_that_says_nothing_or_the_impossible_is_of_no_use() {
        let empty = CpuidPage::new(&[]).unwrap();
        assert_eq!(empty.answer(1, 0, with(1, 0)), None);
        let huge = function(0xd, 2, [u32::MAX, 1, 0, 0]);
        let overflowing = CpuidPage::new(&[function(0xd, 0, [7, 0, 0, 0]), huge]).unwrap();
        assert_eq!(overflowing.answer(0xd, 0, with(7, 0)), None);
        let hostile = CpuidPage::from_bytes([0xff; PAGE_SIZE]);
        assert_eq!(hostile.answer(1, 0, with(1, 0)), Some([0; 4]));
    }
}
