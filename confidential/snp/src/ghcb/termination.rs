//! Why a guest gives up: the reason codes of a termination request (GHCB standard, 2.3.1), as words.
//!
//! Set 0 is the standard's own. Set 1 is Linux's (`arch/x86/include/asm/sev-common.h`), which every
//! Linux guest uses, its decompressor included.

/// The standard's set.
pub const STANDARD: u8 = 0;
/// Linux's set.
pub const LINUX: u8 = 1;

/// A reason, with a stable name and what it says to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Set of reason codes.
    pub set: u8,
    /// The code in its set.
    pub code: u8,
    /// A stable word.
    pub name: &'static str,
    /// What it says.
    pub meaning: &'static str,
}

const fn reason(set: u8, code: u8, name: &'static str, meaning: &'static str) -> Reason {
    Reason { set, code, name, meaning }
}

/// Every reason that has a name.
pub const REASONS: &[Reason] = &[
    reason(STANDARD, 0, "general", "the guest gave up without a reason"),
    reason(
        STANDARD,
        1,
        "protocol-version",
        "the guest speaks no version of the protocol that the hypervisor offers",
    ),
    reason(STANDARD, 2, "snp-features", "the hypervisor lacks an SNP feature that the guest needs"),
    reason(LINUX, 0, "register-ghcb", "the hypervisor did not register the guest's GHCB"),
    reason(LINUX, 1, "page-state-change", "the hypervisor did not change a page's state"),
    reason(
        LINUX,
        2,
        "pvalidate",
        "a page could not be validated: the hypervisor has changed its mapping",
    ),
    reason(LINUX, 3, "not-vmpl0", "the guest does not run at VMPL 0"),
    reason(LINUX, 4, "cpuid", "the CPUID page is missing or cannot be used"),
    reason(LINUX, 5, "cpuid-hypervisor", "the hypervisor's CPUID values cannot be used"),
    reason(LINUX, 6, "secrets-page", "the secrets page is missing or cannot be used"),
    reason(LINUX, 7, "no-svsm", "there is no SVSM, and the guest does not run at VMPL 0"),
    reason(LINUX, 8, "svsm-vmpl0", "an SVSM is there, and the guest runs at VMPL 0"),
    reason(LINUX, 9, "svsm-caa", "the SVSM's calling area cannot be used"),
];

/// The reason of this code, where it has a name.
pub fn find(set: u8, code: u8) -> Option<&'static Reason> {
    REASONS.iter().find(|reason| (reason.set, reason.code) == (set, code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_told_apart_by_code_and_by_name() {
        for (index, reason) in REASONS.iter().enumerate() {
            let before = &REASONS[..index];
            assert!(before.iter().all(|other| other.name != reason.name), "{}", reason.name);
            assert_eq!(find(reason.set, reason.code), Some(reason));
        }
        assert_eq!(find(STANDARD, 3), None);
        assert_eq!(find(15, 0), None);
    }
}
