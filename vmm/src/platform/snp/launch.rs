//! The launch of an SNP guest as a type-state: steps out of order do not compile.
//!
//! [`New`] is a VM that KVM has made confidential; its memory, vCPUs and registers come now.
//! [`Started`] has a context in the AMD-SP, and takes pages. [`Finished`] has the state of the vCPUs
//! as KVM measured it, and runs. Which pages go in, and in which order, is the caller's; so is that
//! what is at the addresses given here stays there.
//!
//! Whatever the kernel answers becomes a [`Error`] that says which step it was and what to do; why is
//! [`cause`]'s business.

mod cause;

pub use cause::Cause;

use super::cpuid::{self, Difference};
use super::kernel::{Command, Kernel, Refusal};
use kvm_bindings::{
    kvm_sev_init, kvm_sev_snp_launch_finish, kvm_sev_snp_launch_start, kvm_sev_snp_launch_update,
};
use ravelin_snp::cpuid::page::CpuidPage;
use ravelin_snp::ghcb::PAGE_SIZE;
use std::fmt;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::thread;

/// The version of the GHCB protocol that KVM shall speak to the guest: the first with SNP.
const GHCB_VERSION: u16 = ravelin_snp::ghcb::VERSION;
/// How often the kernel may ask to be asked again without having taken a page.
const PATIENCE: u32 = 1000;

/// A kind of page that a launch takes (ABI, "PAGE_TYPE"). VMSAs are KVM's to put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum PageKind {
    /// Measured.
    Normal = 1,
    /// Zeros, measured as such.
    Zero = 3,
    /// Put in and not measured.
    Unmeasured = 4,
    /// The AMD-SP writes the guest's secrets there.
    Secrets = 5,
    /// The CPUID page, which the AMD-SP checks.
    Cpuid = 6,
}

/// A step of the launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `KVM_SEV_INIT2`.
    Initialize,
    /// `KVM_SEV_SNP_ENABLE_REQ_CERTS`.
    EnableCertificates,
    /// `KVM_SEV_SNP_LAUNCH_START`.
    Start,
    /// `KVM_SEV_SNP_LAUNCH_UPDATE`, at this guest-physical address.
    Update(u64),
    /// `KVM_SEV_SNP_LAUNCH_FINISH`.
    Finish,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Initialize => f.write_str("make the VM an SNP guest"),
            Step::EnableCertificates => f.write_str("let the guest ask for certificates"),
            Step::Start => f.write_str("start the launch"),
            Step::Update(address) => write!(f, "take the page at {address:#x} into the launch"),
            Step::Finish => f.write_str("finish the launch"),
        }
    }
}

/// Why a launch failed. The VM is of no use afterwards.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The kernel, or the AMD-SP, refused a step.
    #[error("KVM did not {step}: {cause}")]
    Refused {
        /// Which.
        step: Step,
        /// Why, as far as the answer tells.
        cause: Cause,
        /// The answer.
        #[source]
        refusal: Refusal,
    },
    /// The AMD-SP will not let the guest believe this of its processor.
    #[error("the AMD-SP refused the guest's CPUID page: {}", cpuid::in_words(.0))]
    Cpuid(Vec<Difference>),
    /// A range that is not whole pages, or is empty.
    #[error("{0:#x?} is no range of whole pages")]
    Range(Range<u64>),
    /// The kernel asks to be asked again for ever.
    #[error("the kernel takes no more of the launch at {0:#x} and gives no reason: check its log")]
    Stuck(u64),
    /// The kernel says that it has taken what it was not given.
    #[error("the kernel's account of the launch makes no sense at {0:#x}: check its log")]
    Account(u64),
}

/// A VM that KVM has made confidential.
#[derive(Debug)]
pub(crate) struct New {
    certificates: bool,
}

/// The AMD-SP has a context for the guest.
#[derive(Debug)]
pub(crate) struct Started {
    certificates: bool,
}

/// The guest may run.
#[derive(Debug)]
pub(crate) struct Finished {
    certificates: bool,
}

/// A launch in one of its states.
#[derive(Debug)]
pub(crate) struct Launch<'a, K, State> {
    kernel: &'a K,
    sev: BorrowedFd<'a>,
    state: State,
}

/// What binds a launch to its owner: an id block with its signature, and the host's own data.
#[derive(Clone, Default)]
pub(crate) struct Binding {
    /// The id block and its authentication.
    pub(crate) identity: Option<Box<Identity>>,
    /// HOST_DATA of the guest's reports.
    pub(crate) host_data: [u8; 32],
}

/// An id block (ABI, "ID Block") and what authenticates it, as `ravelin image sign` makes them.
#[derive(Clone)]
pub(crate) struct Identity {
    /// The id block.
    pub(crate) block: [u8; 96],
    /// The authentication information.
    pub(crate) authentication: [u8; 4096],
    /// Whether an author's key is in it.
    pub(crate) author: bool,
}

impl<'a, K: Kernel> Launch<'a, K, New> {
    /// Makes a VM of type SNP confidential. It must have no vCPU yet.
    ///
    /// Where the kernel can ask this process for certificates it is told to; where it cannot (before
    /// Linux 7.0) guests get reports without them.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn new(kernel: &'a K, sev: BorrowedFd<'a>) -> Result<Self, Error> {
        // SNP itself is not among the VMSA features: the VM's type says it.
        let mut init = kvm_sev_init { ghcb_version: GHCB_VERSION, ..Default::default() };
        kernel
            .sev(Command::Init2(&mut init), sev)
            .map_err(|refusal| Error::refused(Step::Initialize, refusal))?;
        let certificates = match kernel.sev(Command::EnableRequestCertificates, sev) {
            Ok(()) => true,
            // What a kernel says to a command that it does not know.
            Err(Refusal { errno: libc::EINVAL | libc::ENOTTY, .. }) => false,
            Err(refusal) => return Err(Error::refused(Step::EnableCertificates, refusal)),
        };
        Ok(Launch { kernel, sev, state: New { certificates } })
    }

    /// Makes a context with this guest policy (ABI, "Guest Policy").
    ///
    /// # Errors
    /// The kernel, or the AMD-SP, refuses.
    pub(crate) fn start(self, policy: u64) -> Result<Launch<'a, K, Started>, Error> {
        let mut start = kvm_sev_snp_launch_start { policy, ..Default::default() };
        self.kernel
            .sev(Command::LaunchStart(&mut start), self.sev)
            .map_err(|refusal| Error::refused(Step::Start, refusal))?;
        let state = Started { certificates: self.state.certificates };
        Ok(Launch { kernel: self.kernel, sev: self.sev, state })
    }
}

impl<'a, K: Kernel> Launch<'a, K, Started> {
    /// Puts the pages at `source`, an address in this process, in at these guest-physical addresses,
    /// which must be private memory. All of them are in when this returns.
    ///
    /// # Errors
    /// The kernel, or the AMD-SP, refuses.
    pub(crate) fn update(
        &mut self,
        kind: PageKind,
        range: Range<u64>,
        source: *const u8,
    ) -> Result<(), Error> {
        let whole = |address: u64| address.is_multiple_of(PAGE_SIZE as u64);
        if range.is_empty() || !whole(range.start) || !whole(range.end) {
            return Err(Error::Range(range));
        }
        let mut update = kvm_sev_snp_launch_update {
            gfn_start: range.start / PAGE_SIZE as u64,
            uaddr: if kind == PageKind::Zero { 0 } else { source.expose_provenance() as u64 },
            len: range.end - range.start,
            type_: kind as u8,
            ..Default::default()
        };
        let mut patience = PATIENCE;
        while update.len > 0 {
            let before = update.len;
            let address = range.end - before;
            match self.kernel.sev(Command::LaunchUpdate(&mut update), self.sev) {
                Ok(()) => {}
                // A signal came, or somebody else has a lock.
                Err(Refusal { errno: libc::EAGAIN | libc::EINTR, .. }) => thread::yield_now(),
                Err(refusal) => return Err(Error::refused(Step::Update(address), refusal)),
            }
            if update.len > before
                || !whole(update.len)
                || update.gfn_start.checked_mul(PAGE_SIZE as u64) != Some(range.end - update.len)
            {
                return Err(Error::Account(address));
            }
            patience = if update.len < before { PATIENCE } else { patience - 1 };
            if patience == 0 {
                return Err(Error::Stuck(address));
            }
        }
        Ok(())
    }

    /// Puts the CPUID page in. Where the AMD-SP refuses it, the error says which registers it wants
    /// to be otherwise.
    ///
    /// # Errors
    /// The kernel, or the AMD-SP, refuses.
    pub(crate) fn cpuid(&mut self, address: u64, page: &CpuidPage) -> Result<(), Error> {
        let mut source = PageBuffer(*page.as_bytes());
        let range = address..address.saturating_add(PAGE_SIZE as u64);
        // The kernel writes a refused page's correction back to where it took the page from.
        let place = std::ptr::from_mut(&mut source.0).cast::<u8>();
        self.update(PageKind::Cpuid, range, place).map_err(|error| {
            let wanted = CpuidPage::from_bytes(source.0);
            match &error {
                Error::Refused { refusal: Refusal { firmware: Some(_), .. }, .. }
                    if &wanted != page =>
                {
                    Error::Cpuid(cpuid::differences(page, &wanted))
                }
                _ => error,
            }
        })
    }

    /// Has KVM measure the vCPUs as they stand, and ends the launch.
    ///
    /// # Errors
    /// The kernel, or the AMD-SP, refuses.
    pub(crate) fn finish(self, binding: &Binding) -> Result<Launch<'a, K, Finished>, Error> {
        let mut finish =
            kvm_sev_snp_launch_finish { host_data: binding.host_data, ..Default::default() };
        if let Some(identity) = &binding.identity {
            finish.id_block_uaddr = identity.block.as_ptr().expose_provenance() as u64;
            finish.id_auth_uaddr = identity.authentication.as_ptr().expose_provenance() as u64;
            finish.id_block_en = 1;
            finish.auth_key_en = identity.author.into();
        }
        self.kernel
            .sev(Command::LaunchFinish(&mut finish), self.sev)
            .map_err(|refusal| Error::refused(Step::Finish, refusal))?;
        let state = Finished { certificates: self.state.certificates };
        Ok(Launch { kernel: self.kernel, sev: self.sev, state })
    }
}

impl<K> Launch<'_, K, Finished> {
    /// Whether the kernel comes to this process for certificates.
    pub(crate) fn asks_for_certificates(&self) -> bool {
        self.state.certificates
    }
}

impl Error {
    fn refused(step: Step, refusal: Refusal) -> Error {
        Error::Refused { step, cause: Cause::of(step, refusal), refusal }
    }
}

/// A page that the kernel may read and write: it must not cross a page's end.
#[repr(C, align(4096))]
struct PageBuffer([u8; PAGE_SIZE]);

#[cfg(test)]
mod tests;
