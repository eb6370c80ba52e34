//! The room `memory`: a piece of memory that the guest shares with the host and its devices.
//!
//! Whatever is in it may change at any moment. So there is no slice of it to be had: bytes are
//! copied out or in, once, and only the copy is looked at.

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
