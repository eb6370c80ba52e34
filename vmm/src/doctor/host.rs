//! The machine that is examined: a few questions with short answers, so that a test can be any machine.

use crate::platform::snp::firmware::{self, PlatformStatus};
use kvm_ioctls::Kvm;
use std::arch::x86_64::__cpuid;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// A machine.
pub trait Host {
    /// The release of its kernel, as `uname -r` says it.
    fn kernel_release(&self) -> String;
    /// A text file; `None` where it is not there or cannot be read.
    fn read(&self, path: &str) -> Option<String>;
    /// Names in a directory; none where it is not there.
    fn list(&self, path: &str) -> Vec<String>;
    /// Whether a device can be opened for reading and writing.
    ///
    /// # Errors
    /// Why not.
    fn open(&self, path: &str) -> io::Result<()>;
    /// EAX of a CPUID leaf, as the processor says it; 0 where there is none.
    fn cpuid(&self, leaf: u32) -> u32;
    /// What `KVM_CHECK_EXTENSION` says of a capability.
    ///
    /// # Errors
    /// `/dev/kvm` cannot be opened.
    fn kvm_capability(&self, number: u32) -> io::Result<i32>;
    /// How the AMD-SP does.
    ///
    /// # Errors
    /// It cannot be asked.
    fn secure_processor(&self) -> io::Result<PlatformStatus>;
}

/// The machine that this runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThisHost;

impl Host for ThisHost {
    fn kernel_release(&self) -> String {
        rustix::system::uname().release().to_string_lossy().into_owned()
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(path).ok()
    }

    fn list(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    fn open(&self, path: &str) -> io::Result<()> {
        File::options().read(true).write(true).open(Path::new(path)).map(drop)
    }

    fn cpuid(&self, leaf: u32) -> u32 {
        match __cpuid(leaf & 0x8000_0000).eax {
            highest if highest >= leaf => __cpuid(leaf).eax,
            _ => 0,
        }
    }

    fn kvm_capability(&self, number: u32) -> io::Result<i32> {
        let kvm = Kvm::new().map_err(|error| io::Error::from_raw_os_error(error.errno()))?;
        Ok(kvm.check_extension_raw(number.into()))
    }

    fn secure_processor(&self) -> io::Result<PlatformStatus> {
        firmware::platform_status(&firmware::open()?)
    }
}
