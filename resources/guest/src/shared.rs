//! Memory that the guest shares with the host: one arena, cut into pieces.
//!
//! There is no reference to its bytes to be had, only copies: it may change at any moment.

// Raw memory that the compiler must not reason about.
#![allow(unsafe_code)]

use crate::call::{self, LARGE_PAGE};
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use ravelin_driver::memory::SharedMemory;

const PAGE: usize = 4096;

/// Shared memory that nothing has been cut from yet.
#[derive(Debug)]
pub struct Arena {
    next: u64,
    end: u64,
}

impl Arena {
    /// Shares `length` bytes at `address` with the host.
    ///
    /// # Safety
    /// Nothing else uses the range, now or ever.
    ///
    /// # Errors
    /// The supervisor or the host refused.
    pub unsafe fn share(address: u64, length: u64) -> Result<Self, call::Error> {
        let length = length.next_multiple_of(LARGE_PAGE);
        call::convert(address, length, true)?;
        Ok(Self { next: address, end: address + length })
    }

    /// Bytes that are left.
    pub fn left(&self) -> usize {
        (self.end - self.next) as usize
    }

    /// Cuts a piece of at least `length` bytes, page-aligned, for good. `None` when too little is
    /// left.
    pub fn take(&mut self, length: usize) -> Option<Piece> {
        let length = length.checked_next_multiple_of(PAGE)?;
        let end = self.next.checked_add(length as u64).filter(|end| *end <= self.end)?;
        let address = core::mem::replace(&mut self.next, end);
        Some(Piece { address, length })
    }
}

/// A piece of shared memory.
#[derive(Debug)]
pub struct Piece {
    address: u64,
    length: usize,
}

impl Piece {
    /// A piece that is *not* shared, page-aligned within `memory`: for giving a device an address
    /// that it must not reach. `None` where less than a page is left.
    pub fn unshared(memory: &'static mut [u8]) -> Option<Piece> {
        let (start, length) = (memory.as_mut_ptr() as u64, memory.len());
        let address = start.next_multiple_of(PAGE as u64);
        let length = length.checked_sub((address - start) as usize)? / PAGE * PAGE;
        (length > 0).then_some(Piece { address, length })
    }

    /// The piece's place of this offset, if so many bytes from there on are the piece's.
    fn at(&self, offset: usize, length: usize) -> Option<u64> {
        let end = offset.checked_add(length)?;
        (end <= self.length).then(|| self.address + offset as u64)
    }
}

impl SharedMemory for Piece {
    fn address(&self) -> u64 {
        self.address
    }

    fn length(&self) -> usize {
        self.length
    }

    fn read(&self, offset: usize, buffer: &mut [u8]) {
        if let Some(source) = self.at(offset, buffer.len()) {
            // SAFETY: the piece's own bytes are copied into a buffer of that length. The compiler
            // sees no value, so it can neither read again nor assume that nothing changes.
            unsafe { copy(buffer.as_mut_ptr() as u64, source, buffer.len()) };
        }
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        if let Some(destination) = self.at(offset, bytes.len()) {
            // SAFETY: bytes of that length are copied into the piece's own memory, to which there
            // are no references.
            unsafe { copy(destination, bytes.as_ptr() as u64, bytes.len()) };
        }
    }

    fn load_acquire(&self, offset: usize) -> u64 {
        let Some(word) = self.word(offset) else { return 0 };
        // SAFETY: aligned, the piece's own, and only ever accessed by atomics and string copies.
        unsafe { AtomicU64::from_ptr(word) }.load(Ordering::Acquire)
    }

    fn store_release(&self, offset: usize, value: u64) {
        if let Some(word) = self.word(offset) {
            // SAFETY: as for `load_acquire`.
            unsafe { AtomicU64::from_ptr(word) }.store(value, Ordering::Release);
        }
    }
}

impl Piece {
    fn word(&self, offset: usize) -> Option<*mut u64> {
        let address = self.at(offset, 8)?;
        address.is_multiple_of(8).then_some(address as *mut u64)
    }
}

/// Copies memory, each byte once.
///
/// # Safety
/// As for `copy_nonoverlapping`, but either side may change meanwhile.
unsafe fn copy(destination: u64, source: u64, length: usize) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "rep movsb",
            inout("rdi") destination => _,
            inout("rsi") source => _,
            inout("rcx") length => _,
            options(nostack, preserves_flags),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn copies_stay_within_the_piece() {
        let mut backing = vec![0u64; 4];
        let piece = Piece { address: backing.as_mut_ptr() as u64, length: 16 };
        piece.write(8, &[1; 8]);
        piece.write(9, &[2; 8]);
        piece.write(usize::MAX, &[3; 2]);
        piece.store_release(16, 7);
        piece.store_release(4, 7);
        let mut bytes = [9; 24];
        piece.read(0, &mut bytes);
        assert_eq!(bytes, [9; 24], "longer than the piece");
        piece.read(8, &mut bytes[..8]);
        assert_eq!(bytes[..8], [1; 8]);
        assert_eq!((piece.load_acquire(8), piece.load_acquire(16)), (0x0101_0101_0101_0101, 0));
        assert_eq!(backing[2..], [0, 0]);
    }

    #[test]
    fn pieces_of_an_arena_do_not_overlap() {
        let mut arena = Arena { next: 0x20_0000, end: 0x20_3000 };
        assert_eq!(arena.left(), 0x3000);
        let pieces = [arena.take(1).unwrap(), arena.take(4097).unwrap()];
        assert_eq!(
            pieces.map(|piece| (piece.address, piece.length)),
            [(0x20_0000, 0x1000), (0x20_1000, 0x2000)]
        );
        assert_eq!(arena.left(), 0);
        assert!(arena.take(1).is_none() && arena.take(usize::MAX).is_none());
    }
}
