//! The save area of a vCPU (APM volume 2, table B-4): the state that it begins in, as the page of type
//! VMSA that a launch measures.
//!
//! A [`Vmsa`] has what a VMM sets before the first instruction; everything else in the page is 0. KVM
//! makes the page of the vCPU's registers at SNP_LAUNCH_FINISH and adds bits of its own: a state that is
//! to be measured here must have them too ([`Vmsa::as_kvm_has_it`]).

use crate::ghcb::PAGE_SIZE;

/// Guest-physical address that each VMSA is measured at: all ones, as a page below 52 bits.
pub const ADDRESS: u64 = 0xffff_ffff_f000;
/// SEV_FEATURES: SNP is active. Always set for an SNP guest.
pub const SNP_ACTIVE: u64 = 1;

/// EFER.SVME, which KVM sets for each guest.
const EFER_SVME: u64 = 1 << 12;
/// CR4.MCE, which KVM takes from its host.
const CR4_MCE: u64 = 1 << 6;
/// CR0.NW and CR0.CD, which KVM takes away.
const CR0_UNCACHED: u64 = 0b11 << 29;

/// A segment register as a VMCB has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Selector.
    pub selector: u16,
    /// Type, S, DPL, P, AVL, L, D/B and G, from bit 0 on.
    pub attributes: u16,
    /// Limit, expanded.
    pub limit: u32,
    /// Base.
    pub base: u64,
}

/// The number of a general register in instructions, and in [`Vmsa::registers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "they are called what they are called")]
pub enum Register {
    Rax,
    Rcx,
    Rdx,
    Rbx,
    Rsp,
    Rbp,
    Rsi,
    Rdi,
}

/// The state of a vCPU before its first instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are called what they are called")]
pub struct Vmsa {
    pub es: Segment,
    pub cs: Segment,
    pub ss: Segment,
    pub ds: Segment,
    pub fs: Segment,
    pub gs: Segment,
    pub gdtr: Segment,
    pub ldtr: Segment,
    pub idtr: Segment,
    pub tr: Segment,
    pub efer: u64,
    pub cr4: u64,
    pub cr3: u64,
    pub cr0: u64,
    pub dr7: u64,
    pub dr6: u64,
    pub rflags: u64,
    pub rip: u64,
    /// RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15.
    pub registers: [u64; 16],
    /// The PAT MSR.
    pub g_pat: u64,
    pub sev_features: u64,
    pub xcr0: u64,
    pub mxcsr: u32,
    /// The x87 control word.
    pub x87_fcw: u16,
}

/// Where the general registers stand, in the order of [`Vmsa::registers`].
const REGISTERS: [usize; 16] = [
    0x1f8, 0x308, 0x310, 0x318, 0x1d8, 0x328, 0x330, 0x338, 0x340, 0x348, 0x350, 0x358, 0x360,
    0x368, 0x370, 0x378,
];
const MXCSR: usize = 0x408;
const X87_FCW: usize = 0x410;

impl Vmsa {
    /// The state after a reset as QEMU sets it, and so Ravelin: real mode at `instruction`, whose upper
    /// half is the base of CS. `signature` is EAX of CPUID 1, which a processor has in EDX.
    pub fn reset(instruction: u32, signature: u32, sev_features: u64) -> Vmsa {
        let data = Segment { selector: 0, attributes: 0x93, limit: 0xffff, base: 0 };
        let table = Segment { limit: 0xffff, ..Segment::default() };
        let mut vmsa = Vmsa {
            es: data,
            cs: Segment {
                selector: 0xf000,
                attributes: 0x9b,
                limit: 0xffff,
                base: u64::from(instruction & 0xffff_0000),
            },
            ss: data,
            ds: data,
            fs: data,
            gs: data,
            gdtr: table,
            ldtr: Segment { attributes: 0x82, ..table },
            idtr: table,
            tr: Segment { attributes: 0x8b, ..table },
            efer: EFER_SVME,
            cr4: CR4_MCE,
            cr3: 0,
            cr0: 0x10,
            dr7: 0x400,
            dr6: 0xffff_0ff0,
            rflags: 2,
            rip: u64::from(instruction & 0xffff),
            registers: [0; 16],
            g_pat: 0x0007_0406_0007_0406,
            sev_features,
            xcr0: 1,
            mxcsr: 0x1f80,
            x87_fcw: 0x37f,
        };
        vmsa.set(Register::Rdx, signature.into());
        vmsa
    }

    /// A general register.
    pub fn get(&self, register: Register) -> u64 {
        self.registers[register as usize]
    }

    /// Sets a general register.
    pub fn set(&mut self, register: Register, value: u64) {
        self.registers[register as usize] = value;
    }

    /// This state with the bits that KVM sets and takes away when a VMM sets it.
    pub fn as_kvm_has_it(mut self) -> Vmsa {
        self.efer |= EFER_SVME;
        self.cr4 |= CR4_MCE;
        self.cr0 &= !CR0_UNCACHED;
        self
    }

    /// The page.
    pub fn encode(&self) -> [u8; PAGE_SIZE] {
        let mut page = [0; PAGE_SIZE];
        for (index, segment) in self.segments().into_iter().enumerate() {
            let at = 16 * index;
            page[at..at + 2].copy_from_slice(&segment.selector.to_le_bytes());
            page[at + 2..at + 4].copy_from_slice(&segment.attributes.to_le_bytes());
            page[at + 4..at + 8].copy_from_slice(&segment.limit.to_le_bytes());
            page[at + 8..at + 16].copy_from_slice(&segment.base.to_le_bytes());
        }
        let special = self.special().into_iter();
        for (at, value) in special.chain(REGISTERS.into_iter().zip(self.registers)) {
            page[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        page[MXCSR..MXCSR + 4].copy_from_slice(&self.mxcsr.to_le_bytes());
        page[X87_FCW..X87_FCW + 2].copy_from_slice(&self.x87_fcw.to_le_bytes());
        page
    }

    /// The state in a page; `None` where the page has something that a [`Vmsa`] cannot say.
    pub fn decode(page: &[u8; PAGE_SIZE]) -> Option<Vmsa> {
        let word = |at: usize| u64::from_le_bytes(core::array::from_fn(|byte| page[at + byte]));
        let segment = |index: usize| Segment {
            selector: word(16 * index) as u16,
            attributes: (word(16 * index) >> 16) as u16,
            limit: (word(16 * index) >> 32) as u32,
            base: word(16 * index + 8),
        };
        let vmsa = Vmsa {
            es: segment(0),
            cs: segment(1),
            ss: segment(2),
            ds: segment(3),
            fs: segment(4),
            gs: segment(5),
            gdtr: segment(6),
            ldtr: segment(7),
            idtr: segment(8),
            tr: segment(9),
            efer: word(0xd0),
            cr4: word(0x148),
            cr3: word(0x150),
            cr0: word(0x158),
            dr7: word(0x160),
            dr6: word(0x168),
            rflags: word(0x170),
            rip: word(0x178),
            registers: REGISTERS.map(word),
            g_pat: word(0x268),
            sev_features: word(0x3b0),
            xcr0: word(0x3e8),
            mxcsr: word(MXCSR) as u32,
            x87_fcw: word(X87_FCW) as u16,
        };
        (vmsa.encode() == *page).then_some(vmsa)
    }

    /// The segment registers in the order in which they stand.
    fn segments(&self) -> [Segment; 10] {
        [
            self.es, self.cs, self.ss, self.ds, self.fs, self.gs, self.gdtr, self.ldtr, self.idtr,
            self.tr,
        ]
    }

    /// Registers of 8 bytes that are not general, and where they stand.
    fn special(&self) -> [(usize, u64); 11] {
        [
            (0x0d0, self.efer),
            (0x148, self.cr4),
            (0x150, self.cr3),
            (0x158, self.cr0),
            (0x160, self.dr7),
            (0x168, self.dr6),
            (0x170, self.rflags),
            (0x178, self.rip),
            (0x268, self.g_pat),
            (0x3b0, self.sev_features),
            (0x3e8, self.xcr0),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offsets from the APM's table. That the whole page is the one that others measure is tested where
    /// launch digests are predicted.
    #[test]
    fn registers_stand_where_the_apm_puts_them() {
        let mut vmsa = Vmsa::reset(0xffff_fff0, 0x00a0_0f11, SNP_ACTIVE);
        vmsa.registers = core::array::from_fn(|number| number as u64 + 1);
        (vmsa.cr3, vmsa.cr0) = (0x1111, 0x2222);
        let page = vmsa.encode();
        assert_eq!(page[0x10..0x1c], [0, 0xf0, 0x9b, 0, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff]);
        assert_eq!((page[0x72], page[0x92]), (0x82, 0x8b), "LDTR and TR");
        assert_eq!(page[0x150..0x15a], [0x11, 0x11, 0, 0, 0, 0, 0, 0, 0x22, 0x22]);
        assert_eq!(page[0x178..0x17a], [0xf0, 0xff], "RIP");
        assert_eq!((page[0x1f8], page[0x1d8]), (1, 5), "RAX and RSP");
        assert_eq!((page[0x308], page[0x310], page[0x318]), (2, 3, 4), "RCX, RDX, RBX");
        assert_eq!((page[0x328], page[0x338], page[0x340], page[0x378]), (6, 8, 9, 16));
        assert_eq!((page[0x3b0], page[0x3e8]), (1, 1), "SEV_FEATURES and XCR0");
        assert_eq!((page[0x409], page[0x410], page[0x411]), (0x1f, 0x7f, 3));
    }

    #[test]
    fn a_page_is_read_back_unless_it_says_more() {
        let vmsa = Vmsa::reset(0x80b004, 0x00a1_0f10, 0x21);
        let mut page = vmsa.encode();
        assert_eq!(Vmsa::decode(&page), Some(vmsa));
        page[0xca] = 1;
        assert_eq!(Vmsa::decode(&page), None, "VMPL 1");
    }

    #[test]
    fn kvm_adds_its_bits_once() {
        let bare = Vmsa { cr0: 0xe000_0011, ..Vmsa::default() };
        let had = bare.as_kvm_has_it();
        assert_eq!((had.efer, had.cr4, had.cr0), (0x1000, 0x40, 0x8000_0011));
        assert_eq!(had.clone().as_kvm_has_it(), had);
        let reset = Vmsa::reset(0xffff_fff0, 0, 1);
        assert_eq!(reset.clone().as_kvm_has_it(), reset);
    }
}
