//! Numbers of the model-specific registers that an SEV guest uses (APM volume 2, 15.34).

/// GHCB: the guest's half of the MSR protocol, or the address of its GHCB page.
pub const GHCB: u32 = 0xc001_0130;
/// SEV_STATUS: which protections are active.
pub const SEV_STATUS: u32 = 0xc001_0131;

/// [`SEV_STATUS`]: memory is encrypted.
pub const SEV_STATUS_SEV: u64 = 1 << 0;
/// [`SEV_STATUS`]: register state is encrypted and the guest speaks through the GHCB.
pub const SEV_STATUS_SEV_ES: u64 = 1 << 1;
/// [`SEV_STATUS`]: pages belong to the guest once it has validated them.
pub const SEV_STATUS_SEV_SNP: u64 = 1 << 2;
