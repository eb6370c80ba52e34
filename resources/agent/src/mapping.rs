//! A part of a file, mapped: registers, or memory that others change meanwhile.
//!
//! There is no reference to its bytes to be had. Each access is one volatile load or store of the
//! width that the caller names, at an offset that is checked; what lies outside reads all ones and
//! takes no writes, as on a bus. Which file it is and what is in it is for [`sysfs`](crate::sysfs).

// Mapped memory is raw memory.
#![allow(unsafe_code)]

use std::arch::x86_64::{_mm_lfence, _mm_sfence};
use std::fs::File;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{Ordering, fence};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A mapping, page-aligned.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the memory belongs to nobody's thread, and every access is a volatile one of its own.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps `length` bytes of a file from `offset` on, a multiple of the page size.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new(file: &File, offset: u64, length: usize) -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the place, where nothing of ours is.
        let start = unsafe {
            mmap(std::ptr::null_mut(), length, protection, MapFlags::SHARED, file, offset)
        }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, length })
    }

    /// Bytes.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Loads 32 bits at a multiple of 4.
    pub fn load32(&self, offset: u64) -> u32 {
        // SAFETY: `at` has checked place and alignment.
        self.at(offset).map_or(u32::MAX, |place| unsafe { place.read_volatile() })
    }

    /// Stores 32 bits at a multiple of 4.
    pub fn store32(&self, offset: u64, value: u32) {
        if let Some(place) = self.at(offset) {
            // SAFETY: as for `load32`.
            unsafe { place.write_volatile(value) };
        }
    }

    /// Loads 64 bits at a multiple of 8.
    pub fn load64(&self, offset: u64) -> u64 {
        // SAFETY: as for `load32`.
        self.at(offset).map_or(u64::MAX, |place| unsafe { place.read_volatile() })
    }

    /// Stores 64 bits at a multiple of 8.
    pub fn store64(&self, offset: u64, value: u64) {
        if let Some(place) = self.at(offset) {
            // SAFETY: as for `load32`.
            unsafe { place.write_volatile(value) };
        }
    }

    /// Copies out, each byte once. Where not all of it lies within, nothing is copied.
    pub fn read(&self, offset: usize, buffer: &mut [u8]) {
        if !self.holds(offset, buffer.len()) {
            return;
        }
        let mut at = offset;
        let (before, words, after) = split_mut(offset, buffer);
        at = self.read_bytes(at, before);
        for word in words {
            *word = self.load64(at as u64).to_le_bytes();
            at += 8;
        }
        self.read_bytes(at, after);
    }

    /// Copies in, each byte once. Where not all of it lies within, nothing is copied.
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        if !self.holds(offset, bytes.len()) {
            return;
        }
        let mut at = offset;
        let (before, rest) = bytes.split_at(unaligned(offset).min(bytes.len()));
        let (words, after) = rest.as_chunks();
        at = self.write_bytes(at, before);
        for word in words {
            self.store64(at as u64, u64::from_le_bytes(*word));
            at += 8;
        }
        self.write_bytes(at, after);
    }

    /// Keeps what follows behind the loads so far. The mapping may be write-combining, where loads
    /// are not kept in order by themselves.
    pub fn load_fence(&self) {
        // SAFETY: every x86-64 processor has the instruction.
        unsafe { _mm_lfence() };
        fence(Ordering::Acquire);
    }

    /// Keeps what follows behind the stores so far, and sends those on their way.
    pub fn store_fence(&self) {
        fence(Ordering::Release);
        // SAFETY: every x86-64 processor has the instruction.
        unsafe { _mm_sfence() };
    }

    fn read_bytes(&self, at: usize, bytes: &mut [u8]) -> usize {
        for (offset, byte) in (at..).zip(bytes.iter_mut()) {
            if let Some(place) = self.at::<u8>(offset as u64) {
                // SAFETY: as for `load32`.
                *byte = unsafe { place.read_volatile() };
            }
        }
        at + bytes.len()
    }

    fn write_bytes(&self, at: usize, bytes: &[u8]) -> usize {
        for (offset, byte) in (at..).zip(bytes) {
            if let Some(place) = self.at::<u8>(offset as u64) {
                // SAFETY: as for `load32`.
                unsafe { place.write_volatile(*byte) };
            }
        }
        at + bytes.len()
    }

    fn holds(&self, offset: usize, length: usize) -> bool {
        offset.checked_add(length).is_some_and(|end| end <= self.length)
    }

    /// The place of a value that lies within, at an offset that is a multiple of its size.
    fn at<T>(&self, offset: u64) -> Option<NonNull<T>> {
        let offset = usize::try_from(offset).ok()?;
        if !offset.is_multiple_of(size_of::<T>()) || !self.holds(offset, size_of::<T>()) {
            return None;
        }
        // SAFETY: within the mapping, as has just been seen.
        Some(unsafe { self.start.add(offset) }.cast())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, whole, and nothing refers to it any more. A failure would
        // leave it mapped, which harms nobody.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// Bytes from an offset to the next multiple of 8.
fn unaligned(offset: usize) -> usize {
    offset.next_multiple_of(8) - offset
}

/// A buffer for what stands at `offset`: bytes, whole aligned words, bytes.
fn split_mut(offset: usize, buffer: &mut [u8]) -> (&mut [u8], &mut [[u8; 8]], &mut [u8]) {
    let before = unaligned(offset).min(buffer.len());
    let (before, rest) = buffer.split_at_mut(before);
    let (words, after) = rest.as_chunks_mut();
    (before, words, after)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::FileExt;

    use super::*;

    const LENGTH: usize = 4096;

    /// The second page of a file of three.
    fn mapping() -> (File, Mapping) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[0x11; 3 * LENGTH]).unwrap();
        let mapping = Mapping::new(&file, LENGTH as u64, LENGTH).unwrap();
        (file, mapping)
    }

    #[test]
    fn every_offset_and_length_is_copied_to_its_place_and_nothing_else() {
        let (_, mapping) = mapping();
        for offset in 0..17 {
            for length in 0..33 {
                let bytes: Vec<u8> = (0..length).map(|at| (at + offset) as u8 | 0x80).collect();
                mapping.write(0, &[0; 64]);
                mapping.write(offset, &bytes);
                let mut all = [0; 64];
                mapping.read(0, &mut all);
                assert_eq!(all[offset..offset + length], bytes);
                assert!(all[..offset].iter().chain(&all[offset + length..]).all(|byte| *byte == 0));
                let mut back = vec![0; length];
                mapping.read(offset, &mut back);
                assert_eq!(back, bytes);
            }
        }
    }

    #[test]
    fn what_lies_outside_or_askew_reads_all_ones_and_takes_no_writes() {
        let (file, mapping) = mapping();
        for offset in [LENGTH as u64 - 2, LENGTH as u64, 2, 6, u64::MAX, u64::MAX - 3] {
            mapping.store32(offset, 0);
            mapping.store64(offset, 0);
            assert_eq!((mapping.load32(offset), mapping.load64(offset)), (u32::MAX, u64::MAX));
        }
        mapping.write(LENGTH - 1, &[0; 2]);
        mapping.write(usize::MAX, &[0; 2]);
        let mut buffer = [0x55; 2];
        mapping.read(LENGTH - 1, &mut buffer);
        assert_eq!(buffer, [0x55; 2]);
        drop(mapping);
        let mut all = [0; 3 * LENGTH];
        file.read_exact_at(&mut all, 0).unwrap();
        assert!(all.iter().all(|byte| *byte == 0x11));
    }

    #[test]
    fn words_are_little_endian_and_reach_the_file() {
        let (file, mapping) = mapping();
        mapping.store64(8, 0x0807_0605_0403_0201);
        mapping.store32(4092, 0x0d0c_0b0a);
        assert_eq!(mapping.load32(12), 0x0807_0605);
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, LENGTH as u64 + 8).unwrap();
        assert_eq!(bytes, [1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
