//! What protects this guest, as far as its processor says.
//!
//! The processor of a guest is the host's to describe: this is a hint for people. Proof is an
//! attestation report of the guest's own.

use std::arch::x86_64::__cpuid;

use serde::Serialize;

/// Highest extended leaf (AMD64 Architecture Programmer's Manual 3, E.4.1).
const HIGHEST_EXTENDED: u32 = 0x8000_0000;
/// Encrypted memory capabilities (the same, E.4.17).
const ENCRYPTED_MEMORY: u32 = 0x8000_001f;

/// Memory encryption, as CPUID tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Platform {
    /// "none", "sev", "sev-es" or "sev-snp".
    pub encryption: &'static str,
    /// Number of the page-table bit that marks a private page.
    pub c_bit: Option<u8>,
}

impl Platform {
    /// Of this processor.
    pub fn here() -> Self {
        if __cpuid(HIGHEST_EXTENDED).eax < ENCRYPTED_MEMORY {
            return Self { encryption: "none", c_bit: None };
        }
        let leaf = __cpuid(ENCRYPTED_MEMORY);
        Self::from_leaf(leaf.eax, leaf.ebx)
    }

    fn from_leaf(eax: u32, ebx: u32) -> Self {
        let encryption = match eax {
            eax if eax & 1 << 4 != 0 => "sev-snp",
            eax if eax & 1 << 3 != 0 => "sev-es",
            eax if eax & 1 << 1 != 0 => "sev",
            _ => "none",
        };
        // Bits 5:0.
        let c_bit = (encryption != "none").then_some((ebx & 0x3f) as u8);
        Self { encryption, c_bit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_kind_counts() {
        let kind = |eax| Platform::from_leaf(eax, 1 << 6 | 51);
        let protected = |encryption| Platform { encryption, c_bit: Some(51) };
        assert_eq!(kind(0b1_1010), protected("sev-snp"));
        assert_eq!(kind(0b1010), protected("sev-es"));
        assert_eq!(kind(0b10), protected("sev"));
        // The host's own encryption (SME) is none of the guest's.
        assert_eq!(kind(0b1), Platform { encryption: "none", c_bit: None });
    }
}
