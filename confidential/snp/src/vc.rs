//! #VC exceptions (APM volume 2, 15.35.5): what a guest does for an instruction that was not executed.
//!
//! [`instruction`] reads which instruction it was, [`handler`] does its work with what the guest knows
//! itself and what the hypervisor is asked through the GHCB.

pub mod handler;
pub mod instruction;

/// Error codes of #VC, which are exit codes of a VMCB (APM volume 2, appendix C).
pub mod exit_code {
    /// CPUID.
    pub const CPUID: u64 = 0x72;
    /// IN or OUT.
    pub const IOIO: u64 = 0x7b;
    /// RDMSR or WRMSR.
    pub const MSR: u64 = 0x7c;
    /// An access to memory that is none: MMIO.
    pub const NESTED_PAGE_FAULT: u64 = 0x400;
}
