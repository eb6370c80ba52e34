//! HBM: the GPU's memory, present only where it was written.
//!
//! Chunks of 2 MiB appear at the first write; an absent chunk reads zero. Each chunk has a lock of
//! its own, so engines meet only where they touch the same 2 MiB; an access over several chunks is
//! not atomic as a whole, as on hardware. Who may touch what is the firewall's business: every
//! accessor takes its [`Admitted`] token.

use std::ops::Range;

use parking_lot::RwLock;
use thiserror::Error;
use zeroize::Zeroize;

use crate::firewall::Admitted;

/// Bytes of a chunk. HBM sizes are multiples of it.
pub(crate) const CHUNK: u64 = 2 << 20;
/// Least HBM: the unprotected quarter is then one chunk.
pub(crate) const SIZE_MIN: u64 = 4 * CHUNK;
/// Most HBM: 1 TiB, for the table of chunks takes memory even where no chunk does.
pub(crate) const SIZE_MAX: u64 = 1 << 40;

const WORDS: usize = CHUNK as usize / size_of::<u64>();

/// What HBM cannot do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// The size breaks a rule.
    #[error("HBM of {0} bytes: choose a multiple of 2 MiB from 8 MiB to 1 TiB")]
    Size(u64),
    /// The range is not all inside HBM.
    #[error("{length} bytes at {address:#x} reach past HBM")]
    Beyond {
        /// First byte.
        address: u64,
        /// Number of bytes.
        length: u64,
    },
    /// The buffer is not as long as what was admitted.
    #[error("a buffer of {buffer} bytes for {admitted} admitted ones")]
    Length {
        /// Bytes of the buffer.
        buffer: usize,
        /// Bytes admitted.
        admitted: u64,
    },
}

/// Words rather than bytes, so that zeroizing goes eight bytes at a time.
struct Chunk(Box<[u64]>);

impl Chunk {
    fn new() -> Chunk {
        Chunk(vec![0; WORDS].into_boxed_slice())
    }

    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The memory.
pub(crate) struct Hbm {
    size: u64,
    chunks: Box<[RwLock<Option<Chunk>>]>,
}

impl Hbm {
    /// `size` bytes, all zero.
    pub(crate) fn new(size: u64) -> Result<Hbm, Error> {
        if !(SIZE_MIN..=SIZE_MAX).contains(&size) || !size.is_multiple_of(CHUNK) {
            return Err(Error::Size(size));
        }
        let chunks = (0..size / CHUNK).map(|_| RwLock::new(None)).collect();
        Ok(Hbm { size, chunks })
    }

    /// Bytes of HBM.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that take memory now.
    pub(crate) fn resident(&self) -> u64 {
        self.chunks.iter().filter(|chunk| chunk.read().is_some()).count() as u64 * CHUNK
    }

    /// Copies the admitted range into `buffer`, which must be as long.
    pub(crate) fn read(&self, place: &Admitted<'_>, buffer: &mut [u8]) -> Result<(), Error> {
        self.check(place, buffer.len())?;
        for piece in pieces(place.address(), buffer.len()) {
            let target = &mut buffer[piece.buffer];
            match &*self.chunks[piece.chunk].read() {
                Some(chunk) => target.copy_from_slice(&chunk.bytes()[piece.inside]),
                None => target.fill(0),
            }
        }
        Ok(())
    }

    /// Copies `bytes`, which must be as long as the admitted range, into it.
    pub(crate) fn write(&self, place: &Admitted<'_>, bytes: &[u8]) -> Result<(), Error> {
        self.check(place, bytes.len())?;
        for piece in pieces(place.address(), bytes.len()) {
            self.chunks[piece.chunk].write().get_or_insert_with(Chunk::new).bytes_mut()
                [piece.inside]
                .copy_from_slice(&bytes[piece.buffer]);
        }
        Ok(())
    }

    /// Zeroizes every chunk that `range` touches and gives its memory back. It then reads zero.
    /// Needs no admission: nothing comes out of a scrub or goes in.
    pub(crate) fn scrub(&self, range: Range<u64>) {
        let end = range.end.min(self.size).div_ceil(CHUNK);
        for index in range.start / CHUNK..end {
            drop(self.chunks[index as usize].write().take());
        }
    }

    /// Whether `needle` stands in any one chunk.
    #[cfg(test)]
    pub(crate) fn holds(&self, needle: &[u8]) -> bool {
        self.chunks.iter().any(|chunk| {
            let chunk = chunk.read();
            let bytes = chunk.as_ref().map_or(&[][..], Chunk::bytes);
            // By the first byte, which is quick where most is zero.
            (0..bytes.len()).any(|at| bytes[at] == needle[0] && bytes[at..].starts_with(needle))
        })
    }

    /// Whether no byte is another than these.
    #[cfg(test)]
    pub(crate) fn holds_only(&self, these: &[u8]) -> bool {
        self.chunks.iter().all(|chunk| {
            chunk
                .read()
                .as_ref()
                .is_none_or(|chunk| chunk.bytes().iter().all(|byte| these.contains(byte)))
        })
    }

    fn check(&self, place: &Admitted<'_>, buffer: usize) -> Result<(), Error> {
        let (address, length) = (place.address(), place.length());
        if buffer as u64 != length {
            return Err(Error::Length { buffer, admitted: length });
        }
        match address.checked_add(length) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(Error::Beyond { address, length }),
        }
    }
}

/// The part of an access that falls into one chunk.
struct Piece {
    chunk: usize,
    inside: Range<usize>,
    buffer: Range<usize>,
}

/// An access of `length` bytes from `address`, chunk by chunk.
fn pieces(address: u64, length: usize) -> impl Iterator<Item = Piece> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == length {
            return None;
        }
        let at = address + done as u64;
        let start = (at % CHUNK) as usize;
        let count = (CHUNK as usize - start).min(length - done);
        let piece = Piece {
            chunk: (at / CHUNK) as usize,
            inside: start..start + count,
            buffer: done..done + count,
        };
        done += count;
        Some(piece)
    })
}

#[cfg(test)]
mod tests;
