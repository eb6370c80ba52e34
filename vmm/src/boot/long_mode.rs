//! An entry in 64-bit mode: identity page tables for the first GiB, flat segments and their
//! descriptors, with the selectors that Linux wants (`__BOOT_CS` and `__BOOT_DS`).
//!
//! With a C-bit, every address in a table and in CR3 carries it: the guest begins in private
//! memory, tables included. The guest makes its own tables soon after.

use super::Error;
use kvm_bindings::{kvm_dtable, kvm_regs, kvm_segment, kvm_sregs};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

const GDT: u64 = 0x1000;
const PML4: u64 = 0x2000;
const PDPT: u64 = 0x3000;
const PD: u64 = 0x4000;

const PRESENT_WRITABLE: u64 = 0b11;
const LARGE: u64 = 1 << 7;
const LARGE_SIZE: u64 = 2 << 20;

const CODE: u16 = 0x10;
const DATA: u16 = 0x18;
/// Null, unused, 64-bit code, data: base 0, limit 4 GiB, present, accessed.
const DESCRIPTORS: [u64; 4] = [0, 0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff];

const CR0_PE: u64 = 1 << 0;
const CR0_MP: u64 = 1 << 1;
const CR0_ET: u64 = 1 << 4;
const CR0_NE: u64 = 1 << 5;
const CR0_PG: u64 = 1 << 31;
const CR4_PAE: u64 = 1 << 5;
const EFER_LME: u64 = 1 << 8;
const EFER_LMA: u64 = 1 << 10;

/// Writes descriptors and page tables.
///
/// # Errors
/// Memory is not there.
pub fn write_tables(memory: &GuestMemoryMmap, c_bit: Option<u8>) -> Result<(), Error> {
    let encrypted = mask(c_bit);
    memory.write_obj(DESCRIPTORS, GuestAddress(GDT))?;
    memory.write_obj(PDPT | encrypted | PRESENT_WRITABLE, GuestAddress(PML4))?;
    memory.write_obj(PD | encrypted | PRESENT_WRITABLE, GuestAddress(PDPT))?;
    for entry in 0..512 {
        let value = (entry * LARGE_SIZE) | encrypted | LARGE | PRESENT_WRITABLE;
        memory.write_obj(value, GuestAddress(PD + 8 * entry))?;
    }
    Ok(())
}

/// Puts a vCPU's special registers into 64-bit mode.
pub fn set_special_registers(registers: &mut kvm_sregs, c_bit: Option<u8>) {
    let segment = |selector, type_, db, l| kvm_segment {
        base: 0,
        limit: u32::MAX,
        selector,
        type_,
        present: 1,
        dpl: 0,
        db,
        s: 1,
        l,
        g: 1,
        ..Default::default()
    };
    // Type 11: code, read, accessed. Type 3: data, written, accessed.
    let data = segment(DATA, 3, 1, 0);
    registers.cs = segment(CODE, 11, 0, 1);
    (registers.ds, registers.es, registers.fs) = (data, data, data);
    (registers.gs, registers.ss) = (data, data);
    // A linear address: the page tables put the C-bit in front.
    registers.gdt = kvm_dtable {
        base: GDT,
        limit: (size_of_val(&DESCRIPTORS) - 1) as u16,
        ..Default::default()
    };
    registers.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_PG;
    registers.cr3 = PML4 | mask(c_bit);
    registers.cr4 = CR4_PAE;
    registers.efer = EFER_LME | EFER_LMA;
}

/// A vCPU's general registers at the first instruction: RSI is the address of what it is told.
pub fn registers(instruction: u64, argument: u64) -> kvm_regs {
    // Bit 1 of RFLAGS is always set; interrupts are off.
    kvm_regs { rip: instruction, rsi: argument, rflags: 2, ..Default::default() }
}

fn mask(c_bit: Option<u8>) -> u64 {
    c_bit.map_or(0, |bit| 1 << bit)
}
