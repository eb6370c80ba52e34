//! The local APIC in x2APIC mode: interrupts wake the processor, and so does its timer.

use super::processor::{cpuid, rdmsr, wrmsr};
use core::arch::asm;
use ravelin_guest::call::WAKE_VECTOR;

const MSR_APIC_BASE: u32 = 0x1b;
const APIC_BASE_X2APIC: u64 = 1 << 10;
const APIC_BASE_ENABLE: u64 = 1 << 11;

const MSR_SPURIOUS: u32 = 0x80f;
const MSR_TIMER: u32 = 0x832;
const MSR_INITIAL_COUNT: u32 = 0x838;
const MSR_DIVIDE: u32 = 0x83e;

/// Spurious interrupts have vector 255; bit 8 turns the APIC on.
const SPURIOUS_AND_ENABLE: u64 = 0x1ff;
/// Divide by 1: KVM's APIC then counts nanoseconds.
const DIVIDE_BY_ONE: u64 = 0b1011;

const CPUID_1_ECX_X2APIC: u32 = 1 << 21;

/// Turns the APIC on. Without x2APIC mode nothing is turned on and [`wait`] does not halt.
#[inline(always)]
pub(super) fn start() {
    if cpuid(1).2 & CPUID_1_ECX_X2APIC == 0 {
        return;
    }
    // SAFETY: CPUID says that these exist; interrupts are off.
    unsafe {
        wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2APIC | APIC_BASE_ENABLE);
        wrmsr(MSR_SPURIOUS, SPURIOUS_AND_ENABLE);
        wrmsr(MSR_DIVIDE, DIVIDE_BY_ONE);
        wrmsr(MSR_TIMER, WAKE_VECTOR.into());
    }
}

/// Halts until an interrupt, the timer's after `nanoseconds` at the latest.
#[inline(always)]
pub(super) fn wait(nanoseconds: u64) {
    // SAFETY: `start` has made sure of the MSRs and their handler; a count of 0 would never come
    // due. `sti` lets an interrupt in only behind the next instruction, so none is missed. The
    // handler uses the stack below RSP, which is the supervisor's.
    unsafe {
        wrmsr(MSR_INITIAL_COUNT, nanoseconds.clamp(1, u32::MAX.into()));
        asm!("sti", "hlt", "cli");
        wrmsr(MSR_INITIAL_COUNT, 0);
    }
}
