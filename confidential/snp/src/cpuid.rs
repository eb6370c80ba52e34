//! CPUID leaf 0x8000001F: what a guest learns of its memory encryption (APM volume 3, E.4.17); and in
//! [`page`], how an SNP guest learns of all leaves.

pub mod page;

/// Number of the leaf.
pub const LEAF: u32 = 0x8000_001f;

/// What the leaf says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncryptionLeaf {
    /// SEV is supported (EAX bit 1).
    pub sev: bool,
    /// SEV-ES is supported (EAX bit 3).
    pub sev_es: bool,
    /// Which bit of a page-table entry selects encrypted memory (EBX bits 5:0).
    pub c_bit: u8,
    /// By how many bits encryption narrows physical addresses (EBX bits 11:6).
    pub reduction: u8,
}

impl EncryptionLeaf {
    /// EAX and EBX of the leaf.
    pub fn encode(self) -> (u32, u32) {
        let eax = u32::from(self.sev) << 1 | u32::from(self.sev_es) << 3;
        let ebx = u32::from(self.c_bit & 0x3f) | u32::from(self.reduction & 0x3f) << 6;
        (eax, ebx)
    }

    /// The leaf of these registers.
    pub fn decode(eax: u32, ebx: u32) -> EncryptionLeaf {
        EncryptionLeaf {
            sev: eax & 1 << 1 != 0,
            sev_es: eax & 1 << 3 != 0,
            c_bit: (ebx & 0x3f) as u8,
            reduction: (ebx >> 6 & 0x3f) as u8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leaf_is_laid_out_as_on_hardware() {
        // EPYC 7003: SME, SEV, page flush MSR, SEV-ES, SEV-SNP...; C-bit 51, reduction 5.
        let leaf = EncryptionLeaf::decode(0x0101_fd3f, 0x0000_4173);
        assert_eq!(leaf, EncryptionLeaf { sev: true, sev_es: true, c_bit: 51, reduction: 5 });
        assert_eq!(leaf.encode(), (0b1010, 0x173));
    }
}
