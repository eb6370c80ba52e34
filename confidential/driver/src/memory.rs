//! The room `memory`: a piece of memory that the guest shares with the host and its devices.
//!
//! Whatever is in it may change at any moment. So there is no slice of it to be had: bytes are
//! copied out or in, once, and only the copy is looked at.

use alloc::sync::Arc;

/// Contiguous memory shared with devices, page-aligned.
///
/// The driver keeps to the length; an implementation that is asked for more must do nothing to
/// other memory.
pub trait SharedMemory {
    /// Guest-physical address as a device sees it, without the C-bit; a multiple of 4096.
    fn address(&self) -> u64;
    /// Bytes.
    fn length(&self) -> usize;
    /// Copies out, reading each byte once.
    fn read(&self, offset: usize, buffer: &mut [u8]);
    /// Copies in, writing each byte once.
    fn write(&self, offset: usize, bytes: &[u8]);
    /// Loads the little-endian word at `offset`, a multiple of 8. What follows stays behind it.
    fn load_acquire(&self, offset: usize) -> u64;
    /// Stores a little-endian word at `offset`, a multiple of 8. What precedes stays before it.
    fn store_release(&self, offset: usize, value: u64);
}

/// The same memory, held by several.
impl<T: SharedMemory + ?Sized> SharedMemory for Arc<T> {
    fn address(&self) -> u64 {
        (**self).address()
    }

    fn length(&self) -> usize {
        (**self).length()
    }

    fn read(&self, offset: usize, buffer: &mut [u8]) {
        (**self).read(offset, buffer);
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        (**self).write(offset, bytes);
    }

    fn load_acquire(&self, offset: usize) -> u64 {
        (**self).load_acquire(offset)
    }

    fn store_release(&self, offset: usize, value: u64) {
        (**self).store_release(offset, value);
    }
}
