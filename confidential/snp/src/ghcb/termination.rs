//! Why a guest gives up: the reason codes of a termination request (GHCB standard, 2.3.1), as words.
//!
//! Set 0 is the standard's own. Set 1 is Linux's (`arch/x86/include/asm/sev-common.h`), which every
//! Linux guest uses, its decompressor included. Set 8 has what only the built-in guest says; the rest of
//! its [`Cause`]s are others' words.

/// The standard's set.
pub const STANDARD: u8 = 0;
/// Linux's set.
pub const LINUX: u8 = 1;
/// The built-in guest's set.
pub const BUILTIN: u8 = 8;

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
    reason(
        BUILTIN,
        0,
        "vc-exit-code",
        "a #VC exception with an exit code that the guest does not cause, a page that is not valid among them",
    ),
    reason(
        BUILTIN,
        1,
        "vc-instruction",
        "a #VC exception at an instruction that does not cause it: the hypervisor has made it up",
    ),
    reason(
        BUILTIN,
        2,
        "vc-address",
        "a #VC exception for an access to memory that is the guest's and no device's",
    ),
    reason(BUILTIN, 3, "vc-msr", "a #VC exception for a register that is not the hypervisor's"),
    reason(BUILTIN, 4, "vc-nested", "a #VC exception while one was being handled"),
    reason(
        BUILTIN,
        5,
        "hypervisor-answer",
        "the hypervisor did not do what the guest asked for, or asked for an exception instead",
    ),
    reason(
        BUILTIN,
        6,
        "c-bit",
        "the page tables that the guest was launched with have no one C-bit",
    ),
];

/// Why the built-in guest gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No common version of the protocol.
    ProtocolVersion,
    /// A feature is missing.
    Features,
    /// The GHCB was not registered.
    RegisterGhcb,
    /// The GHCB page did not become shared.
    PageStateChange,
    /// A page could not be validated, or was already.
    Pvalidate,
    /// The CPUID page cannot be used.
    Cpuid,
    /// An exit that the guest does not cause.
    ExitCode,
    /// An instruction that is not the exit's.
    Instruction,
    /// Memory that is no device's.
    Address,
    /// A register that is not the hypervisor's.
    Msr,
    /// #VC within #VC.
    Nested,
    /// The hypervisor's answer is none.
    Answer,
    /// No C-bit, or more than one.
    CBit,
}

impl Cause {
    /// Set and code.
    #[inline(always)]
    pub const fn code(self) -> (u8, u8) {
        match self {
            Cause::ProtocolVersion => (STANDARD, 1),
            Cause::Features => (STANDARD, 2),
            Cause::RegisterGhcb => (LINUX, 0),
            Cause::PageStateChange => (LINUX, 1),
            Cause::Pvalidate => (LINUX, 2),
            Cause::Cpuid => (LINUX, 4),
            Cause::ExitCode => (BUILTIN, 0),
            Cause::Instruction => (BUILTIN, 1),
            Cause::Address => (BUILTIN, 2),
            Cause::Msr => (BUILTIN, 3),
            Cause::Nested => (BUILTIN, 4),
            Cause::Answer => (BUILTIN, 5),
            Cause::CBit => (BUILTIN, 6),
        }
    }
}

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
        assert_eq!(find(BUILTIN, Cause::CBit.code().1 + 1), None);
        assert_eq!(find(15, 0), None);
    }

    #[test]
    fn the_built_in_guests_causes_have_the_names_that_they_should() {
        for (cause, name) in [
            (Cause::ProtocolVersion, "protocol-version"),
            (Cause::Features, "snp-features"),
            (Cause::RegisterGhcb, "register-ghcb"),
            (Cause::PageStateChange, "page-state-change"),
            (Cause::Pvalidate, "pvalidate"),
            (Cause::Cpuid, "cpuid"),
            (Cause::ExitCode, "vc-exit-code"),
            (Cause::Instruction, "vc-instruction"),
            (Cause::Address, "vc-address"),
            (Cause::Msr, "vc-msr"),
            (Cause::Nested, "vc-nested"),
            (Cause::Answer, "hypervisor-answer"),
            (Cause::CBit, "c-bit"),
        ] {
            let (set, code) = cause.code();
            assert_eq!(find(set, code).map(|reason| reason.name), Some(name));
        }
    }
}
