//! Privileged instructions, by name.

use core::arch::asm;
use core::arch::x86_64::__cpuid_count;
use core::sync::atomic::{AtomicU64, Ordering};

pub(super) const MSR_EFER: u32 = 0xc000_0080;
pub(super) const CR4_OSXSAVE: u64 = 1 << 18;

/// What was last written to XCR0; its value after reset is 1.
#[unsafe(link_section = ".bss.supervisor.processor")]
static XCR0: AtomicU64 = AtomicU64::new(0);

/// Reads a model-specific register.
///
/// # Safety
/// The register must exist.
#[inline(always)]
pub(super) unsafe fn rdmsr(index: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the caller says that it exists; reading changes nothing.
    unsafe {
        asm!("rdmsr", in("ecx") index, out("eax") low, out("edx") high, options(nostack));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Writes a model-specific register.
///
/// # Safety
/// The register must exist and the value must keep the machine as Rust knows it.
#[inline(always)]
pub(super) unsafe fn wrmsr(index: u32, value: u64) {
    // SAFETY: the caller's.
    unsafe {
        asm!("wrmsr", in("ecx") index, in("eax") value as u32, in("edx") (value >> 32) as u32,
             options(nostack));
    }
}

/// Writes a byte to a port.
///
/// # Safety
/// The device behind it must not touch this program's memory.
#[inline(always)]
pub(super) unsafe fn outb(port: u16, value: u8) {
    // SAFETY: the caller's.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nostack, nomem)) };
}

/// EAX and EBX of a CPUID leaf.
#[inline(always)]
pub(super) fn cpuid(leaf: u32) -> (u32, u32, u32) {
    let result = __cpuid_count(leaf, 0);
    (result.eax, result.ebx, result.ecx)
}

/// Whether CR4.OSXSAVE is set.
#[inline(always)]
pub(super) fn has_os_xsave() -> bool {
    let cr4: u64;
    // SAFETY: reading CR4 changes nothing.
    unsafe { asm!("mov {}, cr4", out(reg) cr4, options(nostack, nomem)) };
    cr4 & CR4_OSXSAVE != 0
}

/// XCR0.
#[inline(always)]
pub(super) fn xcr0() -> u64 {
    XCR0.load(Ordering::Relaxed) | 1
}

/// Sets XCR0.
///
/// # Safety
/// CR4.OSXSAVE is set, CPUID has these states, and nothing has any of them to lose.
#[inline(always)]
pub(super) unsafe fn set_xcr0(states: u32) {
    // SAFETY: the caller's.
    unsafe {
        asm!("xsetbv", in("ecx") 0, in("eax") states, in("edx") 0, options(nostack, nomem));
    }
    XCR0.store(states.into(), Ordering::Relaxed);
}
