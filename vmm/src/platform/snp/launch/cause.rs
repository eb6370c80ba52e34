//! Why a step of the launch was refused, read off the kernel's error number and the AMD-SP's status,
//! and what to do about it.

use super::Step;
use crate::platform::snp::kernel::Refusal;

/// Why a step was refused, as far as the answer tells. Each says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// Every ASID for SNP guests is taken.
    #[error(
        "no ASID is free: end another guest, or raise the host firmware's limit of SEV-ES ASIDs"
    )]
    Asids,
    /// The kernel's SNP support is older than what it was asked for.
    #[error("this kernel's KVM does not know what it was asked for: use Linux 6.11 or newer")]
    Kernel,
    /// The VM is not of type SNP, or `kvm_amd` came up without SNP.
    #[error("SNP is off in kvm_amd: see `ravelin doctor snp`")]
    Off,
    /// The device was not the AMD-SP's.
    #[error(
        "/dev/sev is not the AMD-SP's device: load the ccp module and see `ravelin doctor snp`"
    )]
    Device,
    /// This user may not.
    #[error("no permission: let this user read and write /dev/sev (its group, or a udev rule)")]
    Permission,
    /// The AMD-SP does not run, or not for SNP.
    #[error("the AMD-SP is not initialized for SNP: see `ravelin doctor snp`")]
    Platform,
    /// The AMD-SP's firmware is too old.
    #[error("the AMD-SP's firmware is too old: update the host's firmware")]
    Firmware,
    /// The guest policy cannot be met.
    #[error(
        "this host does not meet the guest's policy: ask for an older ABI, or allow what it has on"
    )]
    Policy,
    /// The kernel, or the AMD-SP, has no memory for it.
    #[error("there is no memory for it: give the host more, or end another guest")]
    Memory,
    /// The AMD-SP has no context for the guest, and the kernel says no more.
    #[error("the AMD-SP made no context for the guest: see the kernel's log (dmesg | grep -i sev)")]
    Context,
    /// The page is not private memory of the guest's, or the launch is over.
    #[error("it is no private memory of the guest's: a bug in ravelin, please report it")]
    NotPrivate,
    /// The page is in the launch already.
    #[error("it is in the launch already: a bug in ravelin, please report it")]
    Twice,
    /// Any of the last two, or that its bytes cannot be read: the kernel says the same to all of them.
    #[error(
        "it is no private memory of the guest's, or in the launch already: see the kernel's log and report \
         it, as this is a bug in ravelin"
    )]
    Page,
    /// The page's owner or state is not what the AMD-SP wants.
    #[error(
        "the host's reverse map has it in another state: see the kernel's log (dmesg | grep -i rmp)"
    )]
    ReverseMap,
    /// The bytes to be put in cannot be read.
    #[error("the bytes to be put in cannot be read: a bug in ravelin, please report it")]
    Source,
    /// The host's memory is broken there.
    #[error("the host's memory is broken there: see its log (dmesg | grep -i mce) and replace it")]
    Poison,
    /// The launch digest is not that of the id block.
    #[error(
        "the launch digest is not the one in the id block: sign this image's (`ravelin image sign`)"
    )]
    IdDigest,
    /// The id block's signature is wrong.
    #[error(
        "the signature of the id block or of its key does not hold: sign it again (`ravelin image sign`)"
    )]
    IdSignature,
    /// The id block's policy is not that of the guest.
    #[error(
        "the id block is for another guest policy: sign it for this one (`ravelin image sign`)"
    )]
    IdPolicy,
    /// The kernel refuses the arguments.
    #[error(
        "it refuses its arguments: use Linux 6.11 or newer, and on one report this bug in ravelin"
    )]
    Arguments,
    /// Nothing that has a name here.
    #[error(
        "for a reason that has no name here: see the kernel's log (dmesg | grep -i -e sev -e ccp)"
    )]
    Other,
}

/// Status codes (ABI, "Status Codes").
mod status {
    pub(super) const INVALID_PLATFORM_STATE: u32 = 0x01;
    pub(super) const INVALID_CONFIG: u32 = 0x03;
    pub(super) const POLICY_FAILURE: u32 = 0x07;
    pub(super) const INVALID_ADDRESS: u32 = 0x09;
    pub(super) const BAD_SIGNATURE: u32 = 0x0a;
    pub(super) const BAD_MEASUREMENT: u32 = 0x0b;
    pub(super) const UNSUPPORTED: u32 = 0x15;
    pub(super) const RESOURCE_LIMIT: u32 = 0x17;
    pub(super) const INVALID_PAGE_SIZE: u32 = 0x19;
    pub(super) const INVALID_PAGE_STATE: u32 = 0x1a;
    pub(super) const INVALID_PAGE_OWNER: u32 = 0x1c;
    pub(super) const RMP_INIT_REQUIRED: u32 = 0x20;
    pub(super) const BAD_SVN: u32 = 0x21;
    pub(super) const BAD_VERSION: u32 = 0x22;
    pub(super) const INVALID_KEY: u32 = 0x27;
}

impl Cause {
    /// What this answer to this step means.
    pub fn of(step: Step, refusal: Refusal) -> Cause {
        match refusal.firmware {
            Some(status) => Cause::of_status(step, status),
            None => Cause::of_errno(step, refusal.errno),
        }
    }

    fn of_status(step: Step, status: u32) -> Cause {
        match (step, status) {
            (Step::Finish, status::BAD_MEASUREMENT) => Cause::IdDigest,
            (Step::Finish, status::BAD_SIGNATURE | status::INVALID_KEY) => Cause::IdSignature,
            (Step::Finish, status::POLICY_FAILURE) => Cause::IdPolicy,
            (_, status::POLICY_FAILURE) => Cause::Policy,
            (
                _,
                status::INVALID_PLATFORM_STATE | status::INVALID_CONFIG | status::RMP_INIT_REQUIRED,
            ) => Cause::Platform,
            (_, status::UNSUPPORTED | status::BAD_SVN | status::BAD_VERSION) => Cause::Firmware,
            (_, status::RESOURCE_LIMIT) => Cause::Memory,
            (
                _,
                status::INVALID_ADDRESS
                | status::INVALID_PAGE_SIZE
                | status::INVALID_PAGE_STATE
                | status::INVALID_PAGE_OWNER,
            ) => Cause::ReverseMap,
            _ => Cause::Other,
        }
    }

    fn of_errno(step: Step, errno: i32) -> Cause {
        match (step, errno) {
            (Step::Initialize, libc::EBUSY | libc::ENOSPC) => Cause::Asids,
            (Step::Initialize, libc::EINVAL) => Cause::Kernel,
            (Step::Initialize, libc::EIO) => Cause::Platform,
            // The VM is of type SNP by now. What has failed may be memory, the device or the AMD-SP.
            (Step::Start, libc::ENOTTY) => Cause::Context,
            (_, libc::ENOTTY) => Cause::Off,
            (_, libc::EBADF) => Cause::Device,
            (_, libc::EPERM | libc::EACCES) => Cause::Permission,
            (_, libc::ENODEV | libc::ENXIO) => Cause::Platform,
            (_, libc::ENOMEM) => Cause::Memory,
            (Step::Start, libc::EINVAL) => Cause::Policy,
            (Step::Update(_), libc::EINVAL | libc::ENOENT) => Cause::NotPrivate,
            (Step::Update(_), libc::EEXIST) => Cause::Twice,
            (Step::Update(_), libc::EFAULT) => Cause::Source,
            (Step::Update(_), libc::EHWPOISON) => Cause::Poison,
            // Kernels of today say this to whatever goes wrong with a page.
            (Step::Update(_), libc::EIO) => Cause::Page,
            // A vCPU's page: its address is the kernel's own.
            (Step::Finish, libc::EFAULT) => Cause::ReverseMap,
            (_, libc::EINVAL | libc::EFAULT) => Cause::Arguments,
            _ => Cause::Other,
        }
    }
}
