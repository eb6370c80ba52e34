//! What the processor must have: AES in hardware.

use core::arch::x86_64::__cpuid;

/// Leaf 1, ECX: PCLMULQDQ, SSE4.1, AES-NI.
const NEEDED: u32 = 1 << 1 | 1 << 19 | 1 << 25;

/// Whether the ciphers run in hardware. In software they are 20 times slower, and not in constant
/// time on every cache: the guest refuses to run then.
pub fn has_hardware_aes() -> bool {
    __cpuid(1).ecx & NEEDED == NEEDED
}
