//! The GPUs that Linux has found, in `/sys/bus/pci/devices`.
//!
//! Everything that stands there has come from the host and is a hint; proof is the driver's business.
//! The files: `vendor` and `device`, `resource` (a line a BAR: first address, last address, flags),
//! `config`, `enable`, `resource0` and `resource4_wc` (Documentation/PCI/sysfs-pci.rst). Writing to
//! them and mapping them takes root, and a kernel that is not locked down.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ravelin_gpu_abi as abi;

use crate::function::Function;
use crate::mapping::Mapping;
use crate::window::Window;

/// Where the functions are, from the root of sysfs.
const DEVICES: &str = "bus/pci/devices";
/// Flag of a memory resource that is prefetchable (include/linux/ioport.h, `IORESOURCE_PREFETCH`).
const PREFETCHABLE: u64 = 0x2000;

/// Why a GPU cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no list of functions.
    #[error("cannot read {0}: is sysfs mounted, and does the kernel know PCI?")]
    NoBus(PathBuf, #[source] io::Error),
    /// There is no GPU in it.
    #[error("no APM GPU (PCI {vendor:04x}:{device:04x}) in {0}", vendor = abi::PCI_VENDOR_ID, device = abi::PCI_DEVICE_ID)]
    NoGpu(PathBuf),
    /// A file of a function cannot be read or written.
    #[error("cannot use {0}: run the agent as root, on a kernel that is not locked down")]
    File(PathBuf, #[source] io::Error),
    /// A file says nothing that makes sense.
    #[error("{0} makes no sense")]
    Senseless(PathBuf),
    /// A BAR has another size than the GPU's programming interface gives it.
    #[error(
        "BAR{bar} of {address} has {found} bytes instead of {expected}; update agent or launcher"
    )]
    Bar {
        /// Whose.
        address: String,
        /// Which.
        bar: u8,
        /// Bytes there are.
        found: u64,
        /// Bytes there should be.
        expected: u64,
    },
    /// The GPU brings no memory to share.
    #[error(
        "{0} has no shared window, and without one a Linux program has no memory to share with it; \
         start the guest with `ravelin run --kernel`"
    )]
    NoWindow(String),
}

/// A GPU in sysfs, not opened yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    directory: PathBuf,
    /// Its PCI address, such as 0000:00:01.0.
    pub address: String,
}

/// The APM GPUs below a root, `/sys` as a rule, in the order of their addresses.
///
/// # Errors
/// There is no PCI bus, or no GPU.
pub fn gpus(root: &Path) -> Result<Vec<Place>, Error> {
    let devices = root.join(DEVICES);
    let no_bus = |error| Error::NoBus(devices.clone(), error);
    let mut places = Vec::new();
    for entry in fs::read_dir(&devices).map_err(no_bus)? {
        let directory = entry.map_err(no_bus)?.path();
        let id = |name| number(fs::read_to_string(directory.join(name)).ok()?.trim());
        let id = (id("vendor"), id("device"));
        if id == (Some(abi::PCI_VENDOR_ID.into()), Some(abi::PCI_DEVICE_ID.into())) {
            let address = directory.file_name().unwrap_or_default().to_string_lossy().into();
            places.push(Place { directory, address });
        }
    }
    if places.is_empty() {
        return Err(Error::NoGpu(devices));
    }
    places.sort_by(|a, b| a.address.cmp(&b.address));
    Ok(places)
}

impl Place {
    /// Enables the function and opens it with its shared window.
    ///
    /// # Errors
    /// The kernel does not let us, or the GPU is none that the agent can use.
    pub fn open(&self) -> Result<(Function, Window), Error> {
        let bars = self.bars()?;
        self.expect(&bars, abi::REGISTERS_BAR, abi::REGISTERS_BAR_SIZE)?;
        let window = self.window(&bars)?;
        // Before that the kernel leaves accesses to the BARs to emulation.
        let enable = self.directory.join("enable");
        fs::write(&enable, "1").map_err(|error| Error::File(enable, error))?;
        let (_, config) = self.file("config")?;
        let registers = self.map("resource0", 0, abi::REGISTERS_BAR_SIZE)?;
        let memory =
            self.map("resource4_wc", abi::SHARED_WINDOW_OFFSET, abi::SHARED_WINDOW_SIZE)?;
        Ok((Function::new(config, registers), Window::new(window.start, memory)))
    }

    /// The addresses of the shared window, if the GPU has one.
    ///
    /// # Errors
    /// There is none, or sysfs makes no sense.
    pub fn window_addresses(&self) -> Result<Range<u64>, Error> {
        self.window(&self.bars()?)
    }

    fn window(&self, bars: &[Bar]) -> Result<Range<u64>, Error> {
        let bar = bars
            .get(usize::from(abi::MSIX_BAR))
            .filter(|bar| bar.prefetchable && bar.size() == abi::SHARED_BAR_SIZE);
        let bar = bar.ok_or_else(|| Error::NoWindow(self.address.clone()))?;
        let start = bar.addresses.start + abi::SHARED_WINDOW_OFFSET;
        Ok(start..start + abi::SHARED_WINDOW_SIZE)
    }

    fn expect(&self, bars: &[Bar], bar: u8, expected: u64) -> Result<(), Error> {
        let found = bars.get(usize::from(bar)).map_or(0, Bar::size);
        if found == expected {
            return Ok(());
        }
        Err(Error::Bar { address: self.address.clone(), bar, found, expected })
    }

    /// Every resource of the function; those that are not there have no size.
    fn bars(&self) -> Result<Vec<Bar>, Error> {
        let path = self.directory.join("resource");
        let text = fs::read_to_string(&path).map_err(|error| Error::File(path.clone(), error))?;
        text.lines()
            .map(|line| Bar::parse(line).ok_or_else(|| Error::Senseless(path.clone())))
            .collect()
    }

    fn map(&self, name: &str, offset: u64, length: u64) -> Result<Mapping, Error> {
        let (path, file) = self.file(name)?;
        let length = usize::try_from(length).map_err(|_| Error::Senseless(path.clone()))?;
        Mapping::new(&file, offset, length).map_err(|error| Error::File(path, error))
    }

    fn file(&self, name: &str) -> Result<(PathBuf, File), Error> {
        let path = self.directory.join(name);
        match File::options().read(true).write(true).open(&path) {
            Ok(file) => Ok((path, file)),
            Err(error) => Err(Error::File(path, error)),
        }
    }
}

/// A line of `resource`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bar {
    addresses: Range<u64>,
    prefetchable: bool,
}

impl Bar {
    fn parse(line: &str) -> Option<Bar> {
        let mut words = line.split_ascii_whitespace().map(number);
        let (start, last, flags) = (words.next()??, words.next()??, words.next()??);
        if (start, last, flags) == (0, 0, 0) {
            return Some(Bar { addresses: 0..0, prefetchable: false });
        }
        let end = last.checked_add(1).filter(|end| *end > start)?;
        Some(Bar { addresses: start..end, prefetchable: flags & PREFETCHABLE != 0 })
    }

    fn size(&self) -> u64 {
        self.addresses.end - self.addresses.start
    }
}

/// A hexadecimal number with 0x.
fn number(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests;
