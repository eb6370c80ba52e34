//! The memory that guest and GPU share, and the attacker who owns it.
//!
//! Bytes live in atomic words, so that guest, GPU and a mutator may touch them at the same time. A
//! *tap* stands between the GPU and the memory: it sees each access and may change the bytes, which
//! is what a host does that rewrites memory at exactly the right moment.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ravelin_driver::SharedMemory;
use ravelin_gpu_model::{DmaFault, HostMemory};

/// Guest-physical address of the first byte.
pub const BASE: u64 = 0x1_0000_0000;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The GPU reads them.
    ToGpu,
    /// The GPU writes them.
    FromGpu,
}

/// What a tap sees.
pub struct Access<'a> {
    /// Which way.
    pub way: Way,
    /// Offset of the first byte.
    pub offset: usize,
    /// The bytes: as read, or as they are about to be written.
    pub bytes: &'a mut [u8],
    /// Set to swallow a write.
    pub swallow: bool,
}

/// An attacker's hand on the memory.
pub type Tap = Box<dyn FnMut(&mut Access<'_>) + Send>;

/// Shared memory.
pub struct Pages {
    base: u64,
    words: Vec<AtomicU64>,
    tap: Mutex<Option<Tap>>,
    private: AtomicBool,
}

impl Pages {
    /// `length` bytes of zeros, rounded up to words.
    pub fn new(length: usize) -> Pages {
        Pages::at(BASE, length)
    }

    /// Memory at an address that no GPU of a [`Stage`](super::Stage) finds shared memory at.
    pub fn elsewhere(length: usize) -> Pages {
        Pages::at(2 * BASE, length)
    }

    fn at(base: u64, length: usize) -> Pages {
        Pages {
            base,
            words: (0..length.div_ceil(8)).map(|_| AtomicU64::new(0)).collect(),
            tap: Mutex::new(None),
            private: AtomicBool::new(false),
        }
    }

    /// Puts a tap between the GPU and the memory, or takes it away.
    pub fn set_tap(&self, tap: Option<Tap>) {
        *self.tap.lock().unwrap() = tap;
    }

    /// Makes the memory private, or shared again, as the DMA gate sees it.
    pub fn set_private(&self, private: bool) {
        self.private.store(private, Ordering::SeqCst);
    }

    /// All bytes as they are now.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.length()];
        SharedMemory::read(self, 0, &mut bytes);
        bytes
    }

    /// Whether these bytes stand anywhere.
    pub fn contains(&self, needle: &[u8]) -> bool {
        self.snapshot().windows(needle.len()).any(|window| window == needle)
    }

    /// Flips bits of the byte at `offset`.
    pub fn flip(&self, offset: usize, bits: u8) {
        let mask = u64::from(bits) << (8 * (offset % 8));
        self.words[offset / 8].fetch_xor(mask, Ordering::SeqCst);
    }

    fn place(&self, address: u64, length: usize) -> Result<usize, DmaFault> {
        let offset = address.checked_sub(self.base).ok_or(DmaFault::OutOfRange)? as usize;
        let end = offset.checked_add(length).ok_or(DmaFault::OutOfRange)?;
        if end > self.length() {
            return Err(DmaFault::OutOfRange);
        }
        if self.private.load(Ordering::SeqCst) {
            return Err(DmaFault::NotShared);
        }
        Ok(offset)
    }

    /// Shows an access to the tap; returns whether it takes place.
    fn tapped(&self, way: Way, offset: usize, bytes: &mut [u8]) -> bool {
        let mut access = Access { way, offset, bytes, swallow: false };
        if let Some(tap) = &mut *self.tap.lock().unwrap() {
            tap(&mut access);
        }
        !access.swallow
    }
}

impl SharedMemory for Pages {
    fn address(&self) -> u64 {
        self.base
    }

    fn length(&self) -> usize {
        self.words.len() * 8
    }

    fn read(&self, offset: usize, buffer: &mut [u8]) {
        let mut at = offset;
        let mut rest = buffer;
        while !rest.is_empty() {
            let skip = at % 8;
            let count = (8 - skip).min(rest.len());
            let word = self.words[at / 8].load(Ordering::Relaxed).to_le_bytes();
            let (now, later) = rest.split_at_mut(count);
            now.copy_from_slice(&word[skip..skip + count]);
            rest = later;
            at += count;
        }
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let skip = at % 8;
            let count = (8 - skip).min(rest.len());
            let (now, later) = rest.split_at(count);
            let word = &self.words[at / 8];
            if count == 8 {
                let bytes = now.try_into().unwrap();
                word.store(u64::from_le_bytes(bytes), Ordering::Relaxed);
            } else {
                // Part of a word: the rest of it may be changing under someone else's hands.
                let _ = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
                    let mut bytes = word.to_le_bytes();
                    bytes[skip..skip + count].copy_from_slice(now);
                    Some(u64::from_le_bytes(bytes))
                });
            }
            rest = later;
            at += count;
        }
    }

    fn load_acquire(&self, offset: usize) -> u64 {
        self.words[offset / 8].load(Ordering::Acquire)
    }

    fn store_release(&self, offset: usize, value: u64) {
        self.words[offset / 8].store(value, Ordering::Release);
    }
}

impl HostMemory for Pages {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), DmaFault> {
        let offset = self.place(address, buffer.len())?;
        if buffer.len() == 8 && offset.is_multiple_of(8) {
            buffer.copy_from_slice(&self.load_acquire(offset).to_le_bytes());
        } else {
            SharedMemory::read(self, offset, buffer);
        }
        self.tapped(Way::ToGpu, offset, buffer);
        Ok(())
    }

    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), DmaFault> {
        let offset = self.place(address, bytes.len())?;
        let mut bytes = bytes.to_vec();
        if self.tapped(Way::FromGpu, offset, &mut bytes) {
            match <[u8; 8]>::try_from(&bytes[..]) {
                Ok(word) if offset.is_multiple_of(8) => {
                    self.store_release(offset, u64::from_le_bytes(word));
                }
                _ => SharedMemory::write(self, offset, &bytes),
            }
        }
        Ok(())
    }
}
