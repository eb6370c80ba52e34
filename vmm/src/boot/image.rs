//! The guest's image: an ELF file, loaded where it was linked.

use super::Error;
use linux_loader::loader::{Elf, KernelLoader};
use std::io::Cursor;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// The built-in guest, made by this crate's build script from `resources/guest`.
pub static BUILTIN: &[u8] = include_bytes!(env!("RAVELIN_GUEST_IMAGE"));

/// The guest is linked at this address; below it is the VMM's.
pub const BASE: u64 = 2 << 20;
/// Images and payloads stay below: the boot page tables map no more.
pub const END: u64 = 1 << 30;
/// The payload begins at a multiple of this.
const PAYLOAD_ALIGNMENT: u64 = 2 << 20;

/// Where things were put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The first instruction.
    pub entry: u64,
    /// The payload's first byte.
    pub payload: u64,
}

/// Loads image and payload.
///
/// # Errors
/// The image is none, or they do not fit.
pub fn load(memory: &GuestMemoryMmap, image: &[u8], payload: &[u8]) -> Result<Loaded, Error> {
    let loaded = Elf::load(memory, None, &mut Cursor::new(image), Some(GuestAddress(BASE)))?;
    let length = payload.len() as u64;
    let address = loaded
        .kernel_end
        .checked_next_multiple_of(PAYLOAD_ALIGNMENT)
        .filter(|address| address.checked_add(length).is_some_and(|end| end <= END))
        .ok_or(Error::NoRoom(length))?;
    memory.write_slice(payload, GuestAddress(address)).map_err(|_| Error::NoRoom(length))?;
    Ok(Loaded { entry: loaded.kernel_load.0, payload: address })
}
