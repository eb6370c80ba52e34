//! The CPUID page (ABI, "CPUID Page"): what a guest believes of its processor without asking the
//! hypervisor. The hypervisor writes it before the launch, the AMD-SP checks it there, the guest
//! reads it.
//!
//! A count, and up to [`MAX_FUNCTIONS`] entries of 48 bytes.

use crate::ghcb::PAGE_SIZE;

/// Entries that the page may have.
pub const MAX_FUNCTIONS: usize = 64;

const HEADER: usize = 16;
const FUNCTION: usize = 48;

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

/// A CPUID page.
#[derive(Clone, PartialEq, Eq)]
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
}
