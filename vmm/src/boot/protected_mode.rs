//! An entry in 32-bit protected mode without paging, as PVH has it (Xen, docs/misc/pvh.pandoc):
//! flat segments, EBX the address of `hvm_start_info`.
//!
//! Without paging there is no C-bit: never for a guest whose memory is encrypted.

use kvm_bindings::{kvm_regs, kvm_segment, kvm_sregs};

const CR0_PE: u64 = 1 << 0;
const CR0_ET: u64 = 1 << 4;

/// Puts a vCPU's special registers into protected mode.
pub fn set_special_registers(registers: &mut kvm_sregs) {
    let segment = |selector, type_, limit, db, s, g| kvm_segment {
        base: 0,
        limit,
        selector,
        type_,
        present: 1,
        db,
        s,
        g,
        ..Default::default()
    };
    // Type 11: code, read, accessed. Type 3: data, written, accessed.
    let data = segment(0x10, 3, u32::MAX, 1, 1, 1);
    registers.cs = segment(0x08, 11, u32::MAX, 1, 1, 1);
    (registers.ds, registers.es, registers.fs) = (data, data, data);
    (registers.gs, registers.ss) = (data, data);
    // A busy 32-bit task state of the smallest size.
    registers.tr = segment(0, 11, 0x67, 0, 0, 0);
    registers.cr0 = CR0_PE | CR0_ET;
    (registers.cr3, registers.cr4, registers.efer) = (0, 0, 0);
}

/// A vCPU's general registers at the first instruction.
pub fn registers(instruction: u64, start_info: u64) -> kvm_regs {
    // Bit 1 of RFLAGS is always set; interrupts are off.
    kvm_regs { rip: instruction, rbx: start_info, rflags: 2, ..Default::default() }
}
