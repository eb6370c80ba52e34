//! How a guest is put into memory and onto its first instruction.
//!
//! The built-in guest: [`image`] is the guest itself, an ELF file that the build embeds;
//! [`start_info`] is what it is told, in PVH's structures. Linux: [`linux`] loads a kernel and an
//! initrd and says where everything is, [`acpi`] describes the machine, [`reset_vector`] is what it
//! has of firmware. For both, [`long_mode`] is an entry in 64-bit mode, which an SEV guest needs; a
//! Linux image that has PVH's entry may begin in [`protected_mode`] where nothing is encrypted.
//!
//! For a launch that measures, [`state`] is a vCPU's state and [`pages`] memory as it is put in;
//! [`direct`] makes images of both kinds of guest without starting one, [`igvm`] loads an image that
//! somebody has made.
//!
//! All of it goes to private memory, the VMM's own part below [`image::BASE`].

pub mod acpi;
pub mod builtin;
pub mod confidential;
pub mod direct;
pub mod igvm;
pub mod image;
pub mod linux;
pub mod long_mode;
pub mod pages;
pub mod protected_mode;
pub mod reset_vector;
pub mod start_info;
pub mod state;

use vm_memory::GuestMemoryError;

/// Where and how the first vCPU begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// In 64-bit mode on [`long_mode`]'s page tables.
    LongMode {
        /// The first instruction.
        instruction: u64,
        /// RSI: the address of what the guest is told.
        argument: u64,
    },
    /// In 32-bit mode without paging, as PVH has it.
    ProtectedMode {
        /// The first instruction.
        instruction: u64,
        /// EBX: the address of `hvm_start_info`.
        start_info: u64,
    },
}

/// Why the guest could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image is not what linux-loader takes.
    #[error("the guest image cannot be loaded")]
    Image(#[from] linux_loader::loader::Error),
    /// The image, the payload or the boot structures do not fit guest memory.
    #[error("guest memory has no room for the guest and its payload of {0} bytes: give it more")]
    NoRoom(u64),
    /// The command line is too long or has a NUL.
    #[error("a command line of {0} bytes: at most {max}, without NUL", max = start_info::MAX_COMMAND_LINE)]
    CommandLine(usize),
    /// Guest memory is not where the layout says.
    #[error("guest memory cannot be written")]
    Memory(#[from] GuestMemoryError),
    /// An image cannot be loaded.
    #[error(transparent)]
    Igvm(#[from] igvm::Error),
    /// Linux cannot be loaded.
    #[error(transparent)]
    Linux(#[from] linux::Error),
}
