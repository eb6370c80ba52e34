//! Whether the processor runs AES-GCM in hardware.
//!
//! The cipher's crate looks for itself and silently takes bit-sliced software where the
//! instructions are missing: right, constant-time, and twenty times too slow. A caller for whom
//! that is a fault asks here first.

/// Whether AES and carry-less multiplication run in hardware here, as the cipher itself will find.
#[cfg(target_arch = "x86_64")]
pub fn has_hardware_cipher() -> bool {
    cpufeatures::new!(instructions, "aes", "pclmulqdq");
    instructions::get()
}

/// Whether AES and carry-less multiplication run in hardware here. Not known for this processor.
#[cfg(not(target_arch = "x86_64"))]
pub fn has_hardware_cipher() -> bool {
    false
}
