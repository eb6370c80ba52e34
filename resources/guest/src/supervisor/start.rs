//! From the first instruction to user mode, once.

use super::processor::{CR4_OSXSAVE, MSR_EFER, cpuid, rdmsr, set_xcr0, wrmsr};
use super::{apic, ghcb, tables};
use core::arch::asm;
use ravelin_snp::ghcb::termination::Cause;

const EFER_NXE: u64 = 1 << 11;
const CR4_OSFXSR: u64 = 1 << 9;
const CR4_OSXMMEXCPT: u64 = 1 << 10;
const CPUID_1_ECX_XSAVE: u32 = 1 << 26;
/// x87, SSE, AVX: what the ciphers use. There is one task, so nothing is ever saved.
const XCR0_AVX: u32 = 0b111;
/// Opmask, ZMM high halves, high ZMM: all or none.
const XCR0_AVX512: u32 = 0b1110_0000;

/// Bits of CR3 that are no address: the VMM's tables stand below 4 GiB.
const C_BITS: u64 = 0x000f_ffff_0000_0000;

const TASK_STATE: u16 = 0x28;

/// In `hvm_start_info`: address of the memory map.
const START_INFO_MEMORY_MAP: u64 = 40;
/// In an entry of the map: bytes of the range.
const MEMORY_MAP_SIZE: u64 = 8;

unsafe extern "C" {
    static mut supervisor_gdt: [u64; 7];
    static supervisor_gdt_pointer: u8;
    static supervisor_idt_pointer: u8;
    static supervisor_tss: u8;
    static supervisor_tss_end: u8;
}

/// From `entry.s`: `start_info` is the address that the VMM gave. Returns it for user mode.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".supervisor.text.start")]
extern "C" fn supervisor_start(start_info: u64) -> u64 {
    let c_mask = c_mask();
    // SAFETY: the VMM's tables map the first GiB; a VMM that lies about these addresses gets a
    // guest that does not start. The first entry of the map is the memory that begins at 0.
    let memory_end = unsafe {
        let map = ((start_info + START_INFO_MEMORY_MAP) as *const u64).read_volatile();
        ((map + MEMORY_MAP_SIZE) as *const u64).read_volatile()
    };
    // SAFETY: once, at the start, in the order that each needs the one before.
    unsafe {
        descriptors();
        wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
        tables::build(c_mask, memory_end);
    }
    // From here on the processor may leave instructions to us.
    if c_mask != 0
        && let Err(cause) = ghcb::start()
    {
        ghcb::give_up(cause);
    }
    // SAFETY: as above.
    unsafe { vector_state() };
    apic::start();
    start_info
}

/// The C-bit as a mask; 0 where memory is not encrypted. It is the one that the guest was launched with: the
/// first vCPU's CR3 is measured, and what CPUID says of it is the hypervisor's word.
#[inline(always)]
fn c_mask() -> u64 {
    let cr3: u64;
    // SAFETY: reading CR3 changes nothing.
    unsafe { asm!("mov {}, cr3", out(reg) cr3, options(nostack, nomem)) };
    let mask = cr3 & C_BITS;
    if mask & mask.wrapping_sub(1) != 0 {
        ghcb::give_up(Cause::CBit);
    }
    mask
}

/// Loads descriptor tables and the task state, from which the processor takes its stacks.
#[inline(always)]
unsafe fn descriptors() {
    let tss = &raw const supervisor_tss as u64;
    let limit = &raw const supervisor_tss_end as u64 - tss - 1;
    // Base 23:0, type 9 (available 64-bit TSS), present, base 31:24, limit 15:0.
    let low = (tss & 0xff_ffff) << 16 | 0x89 << 40 | (tss >> 24 & 0xff) << 56 | limit;
    // SAFETY: nobody else has a reference to the table, and it says what is so.
    unsafe {
        let gdt = (&raw mut supervisor_gdt).cast::<u64>();
        gdt.add(5).write_volatile(low);
        gdt.add(6).write_volatile(tss >> 32);
        asm!("lgdt [{}]", in(reg) &raw const supervisor_gdt_pointer, options(nostack));
        asm!("lidt [{}]", in(reg) &raw const supervisor_idt_pointer, options(nostack));
        asm!("ltr {:x}", in(reg) TASK_STATE, options(nostack, nomem));
    }
}

/// Turns on SSE, AVX and, where it is, AVX-512.
#[inline(always)]
unsafe fn vector_state() {
    let mut cr4: u64;
    // SAFETY: the features are there (SSE with every 64-bit processor, XSAVE by CPUID), and nothing
    // here has vector state to lose.
    unsafe {
        asm!("mov {}, cr4", out(reg) cr4, options(nostack, nomem));
        cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT;
        let xsave = cpuid(1).2 & CPUID_1_ECX_XSAVE != 0;
        if xsave {
            cr4 |= CR4_OSXSAVE;
        }
        asm!("mov cr4, {}", in(reg) cr4, options(nostack, nomem));
        if xsave {
            let supported = cpuid(0xd).0;
            let mut enabled = supported & XCR0_AVX;
            if supported & XCR0_AVX512 == XCR0_AVX512 {
                enabled |= XCR0_AVX512;
            }
            set_xcr0(enabled);
        }
    }
}
