//! The compute engine's private memory for tiles, kept between commands and wiped after each.

use zeroize::Zeroize;

/// The workbench. It grows to what the largest kernel needs, which is bounded by its tile sizes.
#[derive(Default)]
pub(crate) struct Workbench {
    words: Vec<u32>,
    used: usize,
}

impl Workbench {
    /// Room for `count` elements; what they hold is not defined.
    pub(super) fn words(&mut self, count: usize) -> &mut [u32] {
        if self.words.len() < count {
            self.words.resize(count, 0);
        }
        self.used = self.used.max(count);
        &mut self.words[..count]
    }

    /// The same as floating-point numbers.
    pub(super) fn floats(&mut self, count: usize) -> &mut [f32] {
        bytemuck::cast_slice_mut(self.words(count))
    }

    /// Zeroizes what was used.
    pub(super) fn wipe(&mut self) {
        self.words[..self.used].zeroize();
        self.used = 0;
    }
}

impl Drop for Workbench {
    fn drop(&mut self) {
        self.words.zeroize();
    }
}
