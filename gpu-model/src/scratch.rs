//! Private memory that an engine opens and seals records in: page-aligned, allocated once, wiped.

use zeroize::Zeroize;

const PAGE: usize = 4096;
const WORD: usize = size_of::<u64>();

/// A buffer that only its engine sees. The first bytes handed out are marked as used until
/// [`Scratch::wipe`].
pub(crate) struct Scratch {
    /// Words, so that wiping goes eight bytes at a time.
    words: Vec<u64>,
    /// Index of the first word on a page boundary.
    start: usize,
    /// Bytes that may hold something.
    used: usize,
}

impl Scratch {
    /// Room for `capacity` bytes.
    pub(crate) fn new(capacity: usize) -> Scratch {
        let words = vec![0u64; (capacity + PAGE).div_ceil(WORD)];
        // Falls back to an unaligned buffer where no aligned word is found: slower, no less safe.
        let start = words.as_ptr().align_offset(PAGE).min(PAGE / WORD);
        Scratch { words, start, used: 0 }
    }

    /// The first `length` bytes, fewer if there is no room.
    pub(crate) fn bytes(&mut self, length: usize) -> &mut [u8] {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.words[self.start..]);
        let length = length.min(bytes.len());
        self.used = self.used.max(length);
        &mut bytes[..length]
    }

    /// Zeroizes what was used.
    pub(crate) fn wipe(&mut self) {
        let end = self.start + self.used.div_ceil(WORD);
        self.words[self.start..end].zeroize();
        self.used = 0;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.words.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scratch_begins_on_a_page() {
        assert_eq!(Scratch::new(100).bytes(100).as_ptr() as usize % PAGE, 0);
    }

    #[test]
    fn a_wiped_scratch_holds_nothing() {
        let mut scratch = Scratch::new(PAGE);
        scratch.bytes(PAGE).fill(0xaa);
        scratch.bytes(1)[0] = 0xbb;
        scratch.wipe();
        assert!(scratch.words.iter().all(|word| *word == 0));
    }
}
