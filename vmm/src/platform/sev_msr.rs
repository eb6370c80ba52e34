//! The MSRs besides the GHCB's that Linux reads before it believes that it is an SEV guest.
//!
//! Their values are those of hardware with memory encryption on. Writes to them are taken and
//! forgotten: a kernel sets bits here that have no meaning for a guest.

/// SYSCFG (APM volume 2, 7.11.1).
pub(super) const SYSCFG: u32 = 0xc001_0010;
/// SYSCFG: memory encryption is on, so that the kernel honours the narrower addresses.
const MEMORY_ENCRYPTION: u64 = 1 << 23;
/// HWCR, hardware configuration.
pub(super) const HWCR: u32 = 0xc001_0015;
/// HWCR: SMM is locked, without which the kernel takes SEV for absent; the TSC ticks at its P0 rate.
const SMM_LOCKED_TSC_FIXED: u64 = 1 << 0 | 1 << 24;
/// `MSR_KVM_MIGRATION_CONTROL`, by which a guest says that it keeps its page states in order.
pub(super) const MIGRATION_CONTROL: u32 = 0x4b56_4d08;

/// The guest reads an MSR; `None` where it is not one of these.
pub(crate) fn read(index: u32) -> Option<u64> {
    match index {
        SYSCFG => Some(MEMORY_ENCRYPTION),
        HWCR => Some(SMM_LOCKED_TSC_FIXED),
        MIGRATION_CONTROL => Some(0),
        _ => None,
    }
}

/// Whether the guest may write an MSR.
pub(crate) fn takes_writes(index: u32) -> bool {
    read(index).is_some()
}
