//! The machine's kernel log from some moment on: where the IOMMU says what it has refused.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::thread;
use std::time::Duration;

pub struct KernelLog(File);

/// The kernel logs three of the IOMMU's faults in a row, and no more until this time has passed since
/// (`DEFAULT_RATELIMIT_INTERVAL`, 5 s).
const RATE_LIMIT: Duration = Duration::from_secs(6);

impl KernelLog {
    /// What is logged from now on. Nothing that was stopped before makes the kernel keep silent; there
    /// must be no device at work.
    pub fn from_now() -> Self {
        thread::sleep(RATE_LIMIT);
        let options = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).clone();
        let mut file = options.open("/dev/kmsg").unwrap();
        file.seek(SeekFrom::End(0)).unwrap();
        Self(file)
    }

    /// Every line since.
    pub fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut record = [0; 8192];
        loop {
            match self.0.read(&mut record) {
                Ok(length) => {
                    lines.push(String::from_utf8_lossy(&record[..length]).trim_end().to_owned());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return lines,
                // Some were overwritten before they were read.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                Err(error) => panic!("/dev/kmsg: {error}"),
            }
        }
    }
}

/// Lines that say that the IOMMU has stopped this device's DMA: `"Read"` or `"Write"`.
pub fn faults<'a>(lines: &'a [String], address: &str, way: &str) -> Vec<&'a String> {
    // "DMAR: [DMA Write NO_PASID] Request device [00:02.0] fault addr 0x2800000 [...]", and with its
    // domain in newer kernels.
    let short = address.strip_prefix("0000:").unwrap_or(address);
    let device = [format!("[{short}]"), format!("[{address}]")];
    let what = format!("[DMA {way}");
    let names = |line: &str| device.iter().any(|device| line.contains(device));
    lines.iter().filter(|line| line.contains(&what) && names(line)).collect()
}
