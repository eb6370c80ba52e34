//! Where kernel and initrd go: the kernel where it was linked, the initrd as high as it may.
//!
//! High, since a compressed kernel unpacks itself into what is above it and moves where it likes.

use super::Error;
use std::ops::Range;

const PAGE_SIZE: u64 = 4096;

/// Places in guest memory, without overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The kernel, from its first byte to the last that it needs before it looks at its memory map.
    pub kernel: Range<u64>,
    /// The initrd; empty where there is none.
    pub initrd: Range<u64>,
}

impl Placement {
    /// Places an initrd of so many bytes beside a kernel, below `limit` and below `low`, the end of
    /// memory.
    ///
    /// # Errors
    /// Kernel or initrd do not fit.
    pub fn new(kernel: Range<u64>, limit: u64, initrd: u64, low: u64) -> Result<Self, Error> {
        if kernel.end > low {
            return Err(Error::KernelTooLarge { end: kernel.end, low });
        }
        if initrd == 0 {
            return Ok(Self { kernel, initrd: 0..0 });
        }
        let top = low.min(limit);
        let room = top.saturating_sub(kernel.end);
        let start = top
            .checked_sub(initrd)
            .map(|start| start & !(PAGE_SIZE - 1))
            .filter(|start| *start >= kernel.end)
            .ok_or(Error::InitrdTooLarge { initrd, room })?;
        Ok(Self { kernel, initrd: start..start + initrd })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_placed_is_in_memory_aligned_and_apart(
            start in 0u64..1 << 33, size in 1u64..1 << 33, limit in 0u64..1 << 34,
            initrd in 0u64..1 << 33, low in 0u64..3 << 30,
        ) {
            let kernel = start..start + size;
            match Placement::new(kernel.clone(), limit, initrd, low) {
                Ok(placed) => {
                    prop_assert!(placed.kernel == kernel && kernel.end <= low);
                    prop_assert_eq!(placed.initrd.end - placed.initrd.start, initrd);
                    prop_assert_eq!(placed.initrd.start % PAGE_SIZE, 0);
                    prop_assert!(initrd == 0 || placed.initrd.start >= kernel.end);
                    prop_assert!(placed.initrd.end <= low.min(limit) || initrd == 0);
                }
                Err(Error::KernelTooLarge { .. }) => prop_assert!(kernel.end > low),
                Err(Error::InitrdTooLarge { room, .. }) => {
                    // At most a page is lost to alignment.
                    prop_assert!(initrd + PAGE_SIZE > room);
                }
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }

    #[test]
    fn an_initrd_goes_to_the_end_of_memory_and_below_its_limit() {
        let kernel = 16 << 20..80 << 20;
        let placed = Placement::new(kernel.clone(), u32::MAX.into(), 5000, 256 << 20).unwrap();
        assert_eq!(placed.initrd, (256 << 20) - 8192..(256 << 20) - 8192 + 5000);
        let placed = Placement::new(kernel, 128 << 20, 4096, 256 << 20).unwrap();
        assert_eq!(placed.initrd.end, 128 << 20);
    }
}
