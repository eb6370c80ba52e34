//! KVM's ioctls for confidential guests, as a trait of a few methods: one that hands them to the
//! kernel, and for tests one that records them.
//!
//! No decision is made here. A [`Command`] cannot name a structure that is not its own.

// The kernel gets the address of a structure, and gives file descriptors as numbers.
#![allow(unsafe_code)]

use super::firmware;
use kvm_bindings::{
    kvm_create_guest_memfd, kvm_memory_attributes, kvm_sev_cmd, kvm_sev_init,
    kvm_sev_snp_launch_finish, kvm_sev_snp_launch_start, kvm_sev_snp_launch_update,
    kvm_userspace_memory_region2, sev_cmd_id_KVM_SEV_INIT2, sev_cmd_id_KVM_SEV_SNP_LAUNCH_FINISH,
    sev_cmd_id_KVM_SEV_SNP_LAUNCH_START, sev_cmd_id_KVM_SEV_SNP_LAUNCH_UPDATE,
};
use kvm_ioctls::VmFd;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// `KVM_SEV_SNP_ENABLE_REQ_CERTS` (Linux 7.0), which kvm-bindings does not have.
pub(crate) const ENABLE_REQ_CERTS: u32 = 103;

/// Why the kernel, or the AMD-SP behind it, refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kernel's error number.
    pub errno: i32,
    /// The AMD-SP's status, where it was asked and did not say success.
    pub firmware: Option<u32>,
}

impl Refusal {
    /// What a command has answered, with what it has left of the AMD-SP's status.
    fn of_command(errno: i32, status: u32) -> Refusal {
        let asked = !matches!(status, 0 | firmware::NO_FIRMWARE_CALL);
        Refusal { errno, firmware: asked.then_some(status) }
    }
}

impl std::error::Error for Refusal {}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.firmware {
            Some(status) => write!(
                f,
                "the AMD-SP says {} ({status:#x})",
                firmware::status_name(status).unwrap_or("an unknown status")
            ),
            None => io::Error::from_raw_os_error(self.errno).fmt(f),
        }
    }
}

/// A command of `KVM_MEMORY_ENCRYPT_OP`
/// (Documentation/virt/kvm/x86/amd-memory-encryption.rst).
#[derive(Debug)]
pub(crate) enum Command<'a> {
    /// `KVM_SEV_INIT2`.
    Init2(&'a mut kvm_sev_init),
    /// `KVM_SEV_SNP_ENABLE_REQ_CERTS`.
    EnableRequestCertificates,
    /// `KVM_SEV_SNP_LAUNCH_START`.
    LaunchStart(&'a mut kvm_sev_snp_launch_start),
    /// `KVM_SEV_SNP_LAUNCH_UPDATE`. The kernel moves the structure past what it has taken.
    LaunchUpdate(&'a mut kvm_sev_snp_launch_update),
    /// `KVM_SEV_SNP_LAUNCH_FINISH`.
    LaunchFinish(&'a mut kvm_sev_snp_launch_finish),
}

impl Command<'_> {
    /// The command as the kernel takes it. The structure stays borrowed by `self`.
    fn frame(&mut self, sev: BorrowedFd<'_>) -> kvm_sev_cmd {
        let (id, data) = match self {
            Command::Init2(data) => {
                (sev_cmd_id_KVM_SEV_INIT2, ptr::from_mut(*data).expose_provenance())
            }
            Command::EnableRequestCertificates => (ENABLE_REQ_CERTS, 0),
            Command::LaunchStart(data) => {
                (sev_cmd_id_KVM_SEV_SNP_LAUNCH_START, ptr::from_mut(*data).expose_provenance())
            }
            Command::LaunchUpdate(data) => {
                (sev_cmd_id_KVM_SEV_SNP_LAUNCH_UPDATE, ptr::from_mut(*data).expose_provenance())
            }
            Command::LaunchFinish(data) => {
                (sev_cmd_id_KVM_SEV_SNP_LAUNCH_FINISH, ptr::from_mut(*data).expose_provenance())
            }
        };
        // A descriptor in use is not negative.
        let sev_fd = sev.as_raw_fd() as u32;
        kvm_sev_cmd { id, data: data as u64, sev_fd, ..Default::default() }
    }
}

/// What a confidential VM asks of the kernel.
pub(crate) trait Kernel {
    /// `KVM_CREATE_GUEST_MEMFD`: so many bytes that only the guest reaches.
    fn create_guest_memfd(&self, bytes: u64) -> Result<OwnedFd, Refusal>;

    /// `KVM_SET_USER_MEMORY_REGION2`.
    ///
    /// # Safety
    /// The mapping that the region names stays as long as the VM runs, and this process touches it
    /// through volatile accesses alone.
    unsafe fn set_region(&self, region: &kvm_userspace_memory_region2) -> Result<(), Refusal>;

    /// `KVM_SET_MEMORY_ATTRIBUTES`.
    fn set_attributes(&self, attributes: &kvm_memory_attributes) -> Result<(), Refusal>;

    /// `KVM_MEMORY_ENCRYPT_OP`, with the open `/dev/sev`.
    fn sev(&self, command: Command<'_>, sev: BorrowedFd<'_>) -> Result<(), Refusal>;
}

impl Kernel for VmFd {
    fn create_guest_memfd(&self, bytes: u64) -> Result<OwnedFd, Refusal> {
        let request = kvm_create_guest_memfd { size: bytes, ..Default::default() };
        let descriptor = VmFd::create_guest_memfd(self, request).map_err(refusal)?;
        // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
        Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
    }

    unsafe fn set_region(&self, region: &kvm_userspace_memory_region2) -> Result<(), Refusal> {
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { self.set_user_memory_region2(*region) }.map_err(refusal)
    }

    fn set_attributes(&self, attributes: &kvm_memory_attributes) -> Result<(), Refusal> {
        self.set_memory_attributes(*attributes).map_err(refusal)
    }

    fn sev(&self, mut command: Command<'_>, sev: BorrowedFd<'_>) -> Result<(), Refusal> {
        let mut frame = command.frame(sev);
        self.encrypt_op_sev(&mut frame)
            .map_err(|error| Refusal::of_command(error.errno(), frame.error))
    }
}

fn refusal(error: kvm_ioctls::Error) -> Refusal {
    Refusal { errno: error.errno(), firmware: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn each_command_has_its_number_its_structure_and_the_sev_device() {
        let device = File::open("/dev/null").unwrap();
        let mut init = kvm_sev_init::default();
        let mut start = kvm_sev_snp_launch_start::default();
        let mut update = kvm_sev_snp_launch_update::default();
        let mut finish = kvm_sev_snp_launch_finish::default();
        let addresses = [
            ptr::from_ref(&init).addr(),
            0,
            ptr::from_ref(&start).addr(),
            ptr::from_ref(&update).addr(),
            ptr::from_ref(&finish).addr(),
        ];
        let commands = [
            Command::Init2(&mut init),
            Command::EnableRequestCertificates,
            Command::LaunchStart(&mut start),
            Command::LaunchUpdate(&mut update),
            Command::LaunchFinish(&mut finish),
        ];
        for ((mut command, address), id) in
            commands.into_iter().zip(addresses).zip([22, 103, 100, 101, 102])
        {
            let frame = command.frame(device.as_fd());
            assert_eq!((frame.id, frame.data), (id, address as u64));
            assert_eq!(frame.sev_fd, device.as_raw_fd() as u32);
            assert_eq!((frame.error, frame.pad0), (0, 0));
        }
    }

    #[test]
    fn a_status_is_the_amd_sps_only_where_it_was_asked() {
        let of = |status| Refusal::of_command(libc::EBUSY, status).firmware;
        assert_eq!([of(0), of(u32::MAX), of(7)], [None, None, Some(7)]);
    }

    #[test]
    fn a_refusal_says_whose_it_is() {
        let firmware = Refusal { errno: libc::EIO, firmware: Some(7) };
        assert_eq!(firmware.to_string(), "the AMD-SP says POLICY_FAILURE (0x7)");
        let unknown = Refusal { errno: libc::EIO, firmware: Some(0x777) };
        assert_eq!(unknown.to_string(), "the AMD-SP says an unknown status (0x777)");
        let kernel = Refusal { errno: libc::EINVAL, firmware: None };
        assert!(kernel.to_string().starts_with("Invalid argument"));
    }
}
