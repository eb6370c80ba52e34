//! How the built-in guest is put into memory and onto its first instruction.
//!
//! [`image`]: the guest itself, an ELF file that the build embeds. [`start_info`]: what it is told,
//! in PVH's structures. [`long_mode`]: page tables, descriptors and registers for an entry in
//! 64-bit mode, which PVH does not have and an SEV guest needs.
//!
//! All of it goes to private memory, below [`image::BASE`].

pub mod image;
pub mod long_mode;
pub mod start_info;

use vm_memory::GuestMemoryError;

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
}
