//! Privileged instructions, by name.

use core::arch::asm;
use core::arch::x86_64::__cpuid_count;

pub(super) const MSR_EFER: u32 = 0xc000_0080;

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
