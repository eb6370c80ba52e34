//! The AMD-SP behind `/dev/sev` (include/uapi/linux/psp-sev.h): opening it, asking how it does, and
//! what its status codes are called.
//!
//! The launch itself goes through KVM, which needs the open device as a proof that this user may.

// The kernel's structures are packed, and handed over by address.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::ptr;
use vmm_sys_util::ioctl::ioctl_with_mut_ref;

/// The device's path.
pub const DEVICE: &str = "/dev/sev";
/// `SNP_PLATFORM_STATUS`.
pub(super) const SNP_PLATFORM_STATUS: u32 = 9;
/// The oldest ABI of the AMD-SP that the launch has been written for: the first that KVM takes.
pub const LEAST_ABI: (u8, u8) = (1, 51);

/// `struct sev_issue_cmd`.
#[repr(C, packed)]
pub(super) struct IssueCommand {
    pub(super) cmd: u32,
    pub(super) data: u64,
    pub(super) error: u32,
}

/// `struct sev_user_data_snp_status`; bit fields are in the integers that hold them.
#[repr(C, packed)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SnpStatus {
    pub(super) api_major: u8,
    pub(super) api_minor: u8,
    pub(super) state: u8,
    pub(super) rmp_initialized: u8,
    pub(super) build_id: u32,
    pub(super) flags: u32,
    pub(super) guest_count: u32,
    pub(super) current_tcb_version: u64,
    pub(super) reported_tcb_version: u64,
}

/// Numbers of ioctls: the macro makes public functions without documentation.
mod number {
    #![allow(missing_docs, unreachable_pub)]
    use super::IssueCommand;
    vmm_sys_util::ioctl_iowr_nr!(SEV_ISSUE_CMD, b'S' as u32, 0x0, IssueCommand);
}
pub(super) use number::SEV_ISSUE_CMD;

/// How the AMD-SP does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlatformStatus {
    /// Version of its ABI, major and minor.
    pub abi: (u8, u8),
    /// Build of its firmware.
    pub build: u32,
    /// Whether it has been initialized for SNP.
    pub initialized: bool,
    /// Guests that it has now.
    pub guests: u32,
}

/// Opens the device.
///
/// # Errors
/// It is not there, or this user may not.
pub fn open() -> io::Result<File> {
    File::options().read(true).write(true).open(DEVICE)
}

/// Asks how the AMD-SP does.
///
/// # Errors
/// The kernel, or the AMD-SP, refuses.
pub fn platform_status(device: &File) -> io::Result<PlatformStatus> {
    let mut status = SnpStatus::default();
    let data = ptr::from_mut(&mut status).expose_provenance() as u64;
    let mut command = IssueCommand { cmd: SNP_PLATFORM_STATUS, data, error: 0 };
    // SAFETY: the request's number says the size of `command`, and the kernel writes a status of the
    // size that the command has, which `headers` compares with the kernel's.
    match unsafe { ioctl_with_mut_ref(device, SEV_ISSUE_CMD(), &mut command) } {
        0 => Ok(status.into()),
        _ => Err(io::Error::last_os_error()),
    }
}

impl From<SnpStatus> for PlatformStatus {
    fn from(status: SnpStatus) -> Self {
        const { assert!(size_of::<SnpStatus>() == 32 && offset_of!(SnpStatus, guest_count) == 12) };
        PlatformStatus {
            abi: (status.api_major, status.api_minor),
            build: status.build_id,
            initialized: status.state == 1 && status.rmp_initialized & 1 == 1,
            guests: status.guest_count,
        }
    }
}

/// `SEV_RET_NO_FW_CALL`: the kernel's own, where it has failed before it asked the AMD-SP.
pub(super) const NO_FIRMWARE_CALL: u32 = u32::MAX;

/// Status codes of the AMD-SP (ABI, "Status Codes"), by the names of psp-sev.h.
pub(super) const STATUS_NAMES: &[(u32, &str)] = &[
    (0x01, "INVALID_PLATFORM_STATE"),
    (0x02, "INVALID_GUEST_STATE"),
    (0x03, "INVALID_CONFIG"),
    (0x04, "INVALID_LEN"),
    (0x05, "ALREADY_OWNED"),
    (0x06, "INVALID_CERTIFICATE"),
    (0x07, "POLICY_FAILURE"),
    (0x08, "INACTIVE"),
    (0x09, "INVALID_ADDRESS"),
    (0x0a, "BAD_SIGNATURE"),
    (0x0b, "BAD_MEASUREMENT"),
    (0x0c, "ASID_OWNED"),
    (0x0d, "INVALID_ASID"),
    (0x0e, "WBINVD_REQUIRED"),
    (0x0f, "DFFLUSH_REQUIRED"),
    (0x10, "INVALID_GUEST"),
    (0x11, "INVALID_COMMAND"),
    (0x12, "ACTIVE"),
    (0x13, "HWSEV_RET_PLATFORM"),
    (0x14, "HWSEV_RET_UNSAFE"),
    (0x15, "UNSUPPORTED"),
    (0x16, "INVALID_PARAM"),
    (0x17, "RESOURCE_LIMIT"),
    (0x18, "SECURE_DATA_INVALID"),
    (0x19, "INVALID_PAGE_SIZE"),
    (0x1a, "INVALID_PAGE_STATE"),
    (0x1b, "INVALID_MDATA_ENTRY"),
    (0x1c, "INVALID_PAGE_OWNER"),
    (0x1d, "AEAD_OFLOW"),
    (0x1f, "EXIT_RING_BUFFER"),
    (0x20, "RMP_INIT_REQUIRED"),
    (0x21, "BAD_SVN"),
    (0x22, "BAD_VERSION"),
    (0x23, "SHUTDOWN_REQUIRED"),
    (0x24, "UPDATE_FAILED"),
    (0x25, "RESTORE_REQUIRED"),
    (0x26, "RMP_INITIALIZATION_FAILED"),
    (0x27, "INVALID_KEY"),
];

/// The name of a status.
pub fn status_name(status: u32) -> Option<&'static str> {
    STATUS_NAMES.iter().find(|(code, _)| *code == status).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ioctl_has_the_number_that_the_kernel_gives_it() {
        // _IOWR('S', 0x0, struct sev_issue_cmd): 16 bytes, both ways.
        assert_eq!(SEV_ISSUE_CMD(), 0xc010_5300);
    }

    #[test]
    fn a_device_that_is_not_the_amd_sps_is_an_error() {
        let other = File::options().read(true).write(true).open("/dev/null").unwrap();
        assert!(platform_status(&other).is_err());
    }

    #[test]
    fn the_firmware_is_ready_only_with_its_rmp() {
        let status = SnpStatus { api_major: 1, api_minor: 55, state: 1, ..SnpStatus::default() };
        let without = PlatformStatus::from(status);
        assert_eq!((without.abi, without.initialized), ((1, 55), false));
        assert!(PlatformStatus::from(SnpStatus { rmp_initialized: 1, ..status }).initialized);
        assert!(
            !PlatformStatus::from(SnpStatus { rmp_initialized: 1, state: 0, ..status }).initialized
        );
    }
}
