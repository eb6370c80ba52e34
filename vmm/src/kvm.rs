//! Opening `/dev/kvm`, and saying by name what it lacks.
//!
//! Everything that a VM will need is checked here, before anything is made, so that a user learns
//! in one line what to do and nothing has to be undone.

use crate::doctor::{self, Subject, ThisHost, Unable};
use crate::platform::Platform;
use kvm_ioctls::{Cap, Kvm};
use std::io;

/// What every VM needs, with the name that KVM's documentation uses.
pub(crate) const NEEDED: [(Cap, &str); 6] = [
    (Cap::UserMemory, "KVM_CAP_USER_MEMORY"),
    (Cap::Irqchip, "KVM_CAP_IRQCHIP"),
    (Cap::SignalMsi, "KVM_CAP_SIGNAL_MSI"),
    (Cap::ExtCpuid, "KVM_CAP_EXT_CPUID"),
    (Cap::ImmediateExit, "KVM_CAP_IMMEDIATE_EXIT"),
    (Cap::GetTscKhz, "KVM_CAP_GET_TSC_KHZ"),
];

/// What the emulated platform needs besides, to see the guest's GHCB requests.
pub(crate) const NEEDED_BY_EMULATED: [(Cap, &str); 2] = [
    (Cap::X86UserSpaceMsr, "KVM_CAP_X86_USER_SPACE_MSR"),
    (Cap::X86MsrFilter, "KVM_CAP_X86_MSR_FILTER"),
];

/// What Linux needs on it besides, to tell of conversions.
pub(crate) const NEEDED_BY_EMULATED_LINUX: [(Cap, &str); 1] =
    [(Cap::ExitHypercall, "KVM_CAP_EXIT_HYPERCALL")];

/// The version of the KVM interface, for ever.
const API_VERSION: i32 = 12;

/// Why KVM cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no `/dev/kvm`.
    #[error(
        "/dev/kvm does not exist: load the kvm module, or turn on virtualization in the firmware"
    )]
    Absent,
    /// `/dev/kvm` may not be opened by this user.
    #[error("no permission on /dev/kvm: join the group that owns it (often `kvm`)")]
    Permission,
    /// `/dev/kvm` cannot be opened for another reason.
    #[error("cannot open /dev/kvm")]
    Open(#[source] io::Error),
    /// The kernel's KVM speaks another version.
    #[error("KVM speaks API version {0}, not {API_VERSION}: use a kernel newer than 2.6.22")]
    ApiVersion(i32),
    /// The kernel's KVM lacks a capability.
    #[error("KVM has no {0}: use a newer kernel")]
    MissingCapability(&'static str),
    /// The host lacks something that the platform needs.
    #[error(transparent)]
    Unable(#[from] Unable),
}

/// Opens `/dev/kvm` and checks that it can carry a VM of this platform, with Linux or not.
///
/// # Errors
/// It cannot; the error names what is missing.
pub fn open(platform: Platform, linux: bool) -> Result<Kvm, Error> {
    if platform == Platform::Snp {
        doctor::require(&ThisHost, Subject::Snp)?;
    }
    let emulated = platform == Platform::Emulated;
    let kvm = Kvm::new().map_err(|error| match error.errno() {
        libc::ENOENT | libc::ENXIO | libc::ENODEV => Error::Absent,
        libc::EACCES | libc::EPERM => Error::Permission,
        other => Error::Open(io::Error::from_raw_os_error(other)),
    })?;
    match kvm.get_api_version() {
        API_VERSION => {}
        other => return Err(Error::ApiVersion(other)),
    }
    let more: &[_] = if emulated { &NEEDED_BY_EMULATED } else { &[] };
    let linux: &[_] = if emulated && linux { &NEEDED_BY_EMULATED_LINUX } else { &[] };
    for (capability, name) in NEEDED.iter().chain(more).chain(linux) {
        // Not every capability exists as such on a system descriptor of old kernels, but these do.
        if !kvm.check_extension(*capability) {
            return Err(Error::MissingCapability(name));
        }
    }
    Ok(kvm)
}
