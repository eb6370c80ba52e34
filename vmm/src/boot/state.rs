//! The state in which a vCPU begins: as a VMSA, which is what a launch measures, and as the registers that
//! KVM is given, which are the same.
//!
//! What is measured is what is set: the first vCPU's registers are made once, as a [`Vmsa`], and a vCPU
//! gets them from there.

use super::{Entry, long_mode, protected_mode};
use kvm_bindings::{kvm_dtable, kvm_regs, kvm_segment, kvm_sregs};
use ravelin_snp::vmsa::{Register, SNP_ACTIVE, Segment, Vmsa};

/// EFER.SVME and CR4.MCE: KVM has them in the VMSA, whatever it is told. A guest has no SVM of its own to
/// be told of.
const EFER_SVME: u64 = 1 << 12;
const CR4_MCE: u64 = 1 << 6;

/// The first vCPU's state at this entry, as KVM has it.
pub fn first(entry: Entry, c_bit: Option<u8>) -> Vmsa {
    let mut special = special_registers(&Vmsa::reset(0, 0, SNP_ACTIVE), kvm_sregs::default());
    let general = match entry {
        Entry::LongMode { instruction, argument } => {
            long_mode::set_special_registers(&mut special, c_bit);
            long_mode::registers(instruction, argument)
        }
        Entry::ProtectedMode { instruction, start_info } => {
            protected_mode::set_special_registers(&mut special);
            protected_mode::registers(instruction, start_info)
        }
    };
    measured(&general, &special)
}

/// The VMSA that KVM makes of these registers at SNP_LAUNCH_FINISH, if nothing else was set.
pub fn measured(general: &kvm_regs, special: &kvm_sregs) -> Vmsa {
    let table = |table: &kvm_dtable| Segment {
        selector: 0,
        attributes: 0,
        limit: table.limit.into(),
        base: table.base,
    };
    let vmsa = Vmsa {
        es: segment(&special.es),
        cs: segment(&special.cs),
        ss: segment(&special.ss),
        ds: segment(&special.ds),
        fs: segment(&special.fs),
        gs: segment(&special.gs),
        gdtr: table(&special.gdt),
        ldtr: segment(&special.ldt),
        idtr: table(&special.idt),
        tr: segment(&special.tr),
        efer: special.efer,
        cr4: special.cr4,
        cr3: special.cr3,
        cr0: special.cr0,
        rflags: general.rflags,
        rip: general.rip,
        registers: [
            general.rax,
            general.rcx,
            general.rdx,
            general.rbx,
            general.rsp,
            general.rbp,
            general.rsi,
            general.rdi,
            general.r8,
            general.r9,
            general.r10,
            general.r11,
            general.r12,
            general.r13,
            general.r14,
            general.r15,
        ],
        ..Vmsa::reset(0, 0, SNP_ACTIVE)
    };
    vmsa.as_kvm_has_it()
}

/// General registers of a state.
pub fn general_registers(vmsa: &Vmsa) -> kvm_regs {
    let [_, _, _, _, _, _, _, _, r8, r9, r10, r11, r12, r13, r14, r15] = vmsa.registers;
    kvm_regs {
        rax: vmsa.get(Register::Rax),
        rbx: vmsa.get(Register::Rbx),
        rcx: vmsa.get(Register::Rcx),
        rdx: vmsa.get(Register::Rdx),
        rsi: vmsa.get(Register::Rsi),
        rdi: vmsa.get(Register::Rdi),
        rsp: vmsa.get(Register::Rsp),
        rbp: vmsa.get(Register::Rbp),
        r8,
        r9,
        r10,
        r11,
        r12,
        r13,
        r14,
        r15,
        rip: vmsa.rip,
        rflags: vmsa.rflags,
    }
}

/// Special registers of a state; what a VMSA does not have stays as in `before`.
pub fn special_registers(vmsa: &Vmsa, before: kvm_sregs) -> kvm_sregs {
    let table = |segment: &Segment| kvm_dtable {
        base: segment.base,
        limit: segment.limit as u16,
        ..Default::default()
    };
    kvm_sregs {
        cs: kvm_of(&vmsa.cs),
        ds: kvm_of(&vmsa.ds),
        es: kvm_of(&vmsa.es),
        fs: kvm_of(&vmsa.fs),
        gs: kvm_of(&vmsa.gs),
        ss: kvm_of(&vmsa.ss),
        tr: kvm_of(&vmsa.tr),
        ldt: kvm_of(&vmsa.ldtr),
        gdt: table(&vmsa.gdtr),
        idt: table(&vmsa.idtr),
        cr0: vmsa.cr0,
        cr3: vmsa.cr3,
        cr4: vmsa.cr4 & !CR4_MCE,
        efer: vmsa.efer & !EFER_SVME,
        ..before
    }
}

/// Whether KVM can be told this state: it has more than registers that KVM_SET_SREGS and KVM_SET_REGS have
/// only as a reset leaves it.
pub fn can_be_set(vmsa: &Vmsa) -> bool {
    let reset = Vmsa::reset(0, 0, vmsa.sev_features);
    let same = Vmsa {
        dr7: reset.dr7,
        dr6: reset.dr6,
        g_pat: reset.g_pat,
        xcr0: reset.xcr0,
        mxcsr: reset.mxcsr,
        x87_fcw: reset.x87_fcw,
        ..vmsa.clone()
    };
    same == *vmsa && vmsa.clone().as_kvm_has_it() == *vmsa
}

fn segment(from: &kvm_segment) -> Segment {
    let present = if from.unusable == 0 { from.present } else { 0 };
    let attributes = u16::from(from.type_)
        | u16::from(from.s) << 4
        | u16::from(from.dpl) << 5
        | u16::from(present) << 7
        | u16::from(from.avl) << 8
        | u16::from(from.l) << 9
        | u16::from(from.db) << 10
        | u16::from(from.g) << 11;
    Segment { selector: from.selector, attributes, limit: from.limit, base: from.base }
}

fn kvm_of(segment: &Segment) -> kvm_segment {
    let bit = |number: u16| (segment.attributes >> number & 1) as u8;
    kvm_segment {
        base: segment.base,
        limit: segment.limit,
        selector: segment.selector,
        type_: (segment.attributes & 0xf) as u8,
        s: bit(4),
        dpl: (segment.attributes >> 5 & 3) as u8,
        present: bit(7),
        avl: bit(8),
        l: bit(9),
        db: bit(10),
        g: bit(11),
        unusable: 1 - bit(7),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: Entry = Entry::LongMode { instruction: 0x100_0200, argument: 0x7000 };

    #[test]
    fn what_is_measured_is_what_is_set() {
        for state in [first(ENTRY, Some(51)), Vmsa::reset(0xffff_fff0, 0xa0_0f11, SNP_ACTIVE)] {
            let special = special_registers(&state, kvm_sregs::default());
            assert_eq!(measured(&general_registers(&state), &special), state);
            assert!(can_be_set(&state));
        }
    }

    /// Values by the APM: 64-bit mode on our page tables.
    #[test]
    fn a_guest_begins_in_64_bit_mode_with_the_c_bit_in_cr3() {
        let state = first(ENTRY, Some(51));
        assert_eq!((state.cs.attributes, state.cs.selector), (0xa9b, 0x10));
        assert_eq!((state.ss.attributes, state.ds.limit), (0xc93, u32::MAX));
        assert_eq!((state.cr0, state.cr4, state.efer), (0x8000_0033, 0x60, 0x1500));
        assert_eq!(state.cr3, 1 << 51 | 0x2000);
        assert_eq!((state.rip, state.get(Register::Rsi)), (0x100_0200, 0x7000));
    }

    #[test]
    fn a_state_that_kvm_cannot_be_told_is_known() {
        let state = first(ENTRY, None);
        assert!(!can_be_set(&Vmsa { g_pat: 0, ..state.clone() }));
        assert!(!can_be_set(&Vmsa { dr7: 0x401, ..state.clone() }));
        assert!(!can_be_set(&Vmsa { efer: 0x500, ..state }), "KVM adds SVME");
    }
}
