//! Linux: a kernel, an initrd and a command line, put where the x86 boot protocol wants them
//! (Documentation/arch/x86/boot.rst).
//!
//! [`kernel`] knows what a kernel file is, [`placement`] where things go, [`zero_page`] how the
//! kernel is told. A kernel begins at its 64-bit entry, in private memory; an ELF image with PVH's
//! note begins there where memory is not encrypted. ACPI tables are [`acpi`](super::acpi)'s.
//!
//! Files are the user's and checked before anything is loaded: [`Linux::open`] what can be said
//! without a machine, [`Linux::place`] what depends on the size of memory.

pub mod kernel;
pub mod memory_map;
pub mod placement;
pub mod zero_page;

use super::{Entry, acpi, reset_vector, start_info};
use kernel::{Kernel, Loaded};
use memory_map::MemoryMap;
use placement::Placement;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use vm_memory::{Bytes, GuestAddress, GuestMemoryError, GuestMemoryMmap};

/// What `--cmdline` is where nothing is said: the console, and a reset instead of a standstill
/// after a panic.
pub const DEFAULT_COMMAND_LINE: &str = "console=ttyS0 panic=-1";

/// What protects a guest's memory, as far as its kernel must be told or begun otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Nothing.
    None,
    /// Encryption: it must begin in 64-bit mode.
    Sev,
    /// Encryption and integrity: it must find its secrets and its CPUID besides.
    Snp,
}

/// Why Linux cannot be booted. Each says what to give instead.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is no kernel.
    #[error(
        "the kernel is neither a bzImage nor a 64-bit ELF vmlinux for x86-64: give the \
         distribution's /boot/vmlinuz-..."
    )]
    NotAKernel,
    /// The kernel is too old or a 32-bit one.
    #[error(
        "the bzImage (boot protocol {0:#x}) has no 64-bit entry: give an x86-64 kernel of 3.8 or newer"
    )]
    NoEntry(u16),
    /// The kernel cannot be read.
    #[error("cannot read the kernel {}: check the path and its permissions", .0.display())]
    ReadKernel(PathBuf, #[source] io::Error),
    /// The initrd cannot be read.
    #[error("cannot read the initrd {}: check the path and its permissions", .0.display())]
    ReadInitrd(PathBuf, #[source] io::Error),
    /// The initrd is an empty file.
    #[error("the initrd is empty: give a cpio archive, or none")]
    EmptyInitrd,
    /// The command line does not fit the kernel's buffer.
    #[error("a command line of {length} bytes: this kernel takes at most {most}")]
    CommandLineTooLong {
        /// Bytes without the NUL.
        length: usize,
        /// Most that fit.
        most: usize,
    },
    /// The command line has a NUL.
    #[error("the command line has a NUL in it: remove it")]
    CommandLineNul,
    /// The kernel does not fit memory.
    #[error(
        "the kernel needs memory up to {end:#x}, and the guest has {low:#x} bytes there: give it more --memory"
    )]
    KernelTooLarge {
        /// Where it ends.
        end: u64,
        /// End of guest memory below the hole.
        low: u64,
    },
    /// The initrd does not fit memory beside the kernel.
    #[error(
        "an initrd of {initrd} bytes does not fit the {room} bytes beside the kernel: give it more --memory or a smaller --initrd"
    )]
    InitrdTooLarge {
        /// Its bytes.
        initrd: u64,
        /// What is left.
        room: u64,
    },
    /// linux-loader refuses the file.
    #[error("the kernel cannot be loaded: is the file whole?")]
    Load(#[source] linux_loader::loader::Error),
    /// Guest memory is not where the layout says.
    #[error("guest memory cannot be written")]
    Memory(#[from] GuestMemoryError),
}

/// A Linux guest, its files open.
#[derive(Debug)]
pub struct Linux {
    kernel: Kernel,
    initrd: Option<Initrd>,
    command_line: String,
}

#[derive(Debug)]
struct Initrd {
    file: File,
    length: u64,
}

impl Linux {
    /// Looks at what the user gave.
    ///
    /// # Errors
    /// A file cannot be read or is none, or the command line is not one for this kernel.
    pub fn open(kernel: &Path, initrd: Option<&Path>, command_line: &str) -> Result<Self, Error> {
        let kernel = Kernel::open(kernel)?;
        let initrd = initrd.map(Initrd::open).transpose()?;
        let (length, most) = (command_line.len(), kernel.longest_command_line());
        if length > most {
            return Err(Error::CommandLineTooLong { length, most });
        }
        if command_line.contains('\0') {
            return Err(Error::CommandLineNul);
        }
        Ok(Self { kernel, initrd, command_line: command_line.into() })
    }

    /// Where everything goes in a guest with `low` bytes of memory below the hole.
    ///
    /// # Errors
    /// It does not fit.
    pub fn place(&self, low: u64) -> Result<Placement, Error> {
        let initrd = self.initrd.as_ref().map_or(0, |initrd| initrd.length);
        Placement::new(self.kernel.range(), self.kernel.initrd_limit(), initrd, low)
    }

    /// Loads everything and returns where the first vCPU begins.
    ///
    /// # Errors
    /// It does not fit, or a file is not what it seemed.
    pub fn load(
        mut self,
        memory: &GuestMemoryMmap,
        map: &MemoryMap,
        tables: &acpi::Tables,
        protection: Protection,
    ) -> Result<Entry, Error> {
        let placement = self.place(map.low())?;
        let loaded = self.kernel.load(memory)?;
        if let Some(initrd) = &mut self.initrd {
            initrd.load(memory, placement.initrd.start)?;
        }
        tables.write(memory)?;
        reset_vector::write(memory)?;
        match loaded {
            Loaded { pvh: Some(instruction), .. } if protection == Protection::None => {
                let info = start_info::StartInfo {
                    ranges: map.entries(),
                    command_line: &self.command_line,
                    hints: None,
                    module: placement.initrd,
                    rsdp: acpi::ADDRESS,
                };
                info.write(memory).map_err(|error| match error {
                    super::Error::Memory(error) => Error::Memory(error),
                    _ => Error::CommandLineTooLong {
                        length: self.command_line.len(),
                        most: start_info::MAX_COMMAND_LINE,
                    },
                })?;
                Ok(Entry::ProtectedMode { instruction, start_info: start_info::ADDRESS })
            }
            Loaded { entry, header, .. } => {
                let told = zero_page::Told {
                    map,
                    command_line: &self.command_line,
                    initrd: &placement.initrd,
                };
                told.write(memory, header, protection)?;
                Ok(Entry::LongMode { instruction: entry, argument: zero_page::ADDRESS })
            }
        }
    }
}

/// Opens a file for reading; a pipe, which is none, is not waited for.
fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)
}

impl Initrd {
    fn open(path: &Path) -> Result<Self, Error> {
        let unreadable = |error| Error::ReadInitrd(path.into(), error);
        let file = open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(unreadable(io::Error::other("it is no file")));
        }
        match metadata.len() {
            0 => Err(Error::EmptyInitrd),
            length => Ok(Self { file, length }),
        }
    }

    /// Reads the file straight into guest memory.
    fn load(&mut self, memory: &GuestMemoryMmap, address: u64) -> Result<(), Error> {
        // Placed below 4 GiB, so that a usize holds it. A file that has shrunk since is an error.
        let length = self.length as usize;
        Ok(memory.read_exact_volatile_from(GuestAddress(address), &mut self.file, length)?)
    }
}

#[cfg(test)]
pub(crate) mod tests;
