//! Memory that lies in no file, at addresses that a huge page may have.
//!
//! KVM maps guest memory in pages of 2 MiB where the host's memory is such a page and both addresses
//! are aligned alike. Whether the kernel has such pages is its business; without them memory is the
//! same in small ones.

use vm_memory::MmapRegion;
use vm_memory::mmap::MmapRegionError;

/// Bytes of a huge page.
const HUGE: usize = 2 << 20;
/// Other threads map memory meanwhile, and may take the place that was meant.
const TRIES: usize = 16;

/// Maps so many bytes, zeroed and without reserve.
///
/// # Errors
/// The kernel has no room.
pub(super) fn map(length: usize) -> Result<MmapRegion, MmapRegionError> {
    let mut region = MmapRegion::new(length)?;
    for _ in 0..TRIES {
        let askew = region.as_ptr().addr() % HUGE;
        if askew == 0 {
            break;
        }
        // The kernel puts a mapping right below the last one: this one's place, and what is too much
        // of it, are taken in two.
        drop(region);
        let _rest = MmapRegion::<()>::new(askew)?;
        region = MmapRegion::new(length)?;
    }
    Ok(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_begins_where_a_huge_page_may() {
        for length in [HUGE, 64 << 20, 3 * HUGE] {
            let region = map(length).unwrap();
            assert_eq!(region.as_ptr().addr() % HUGE, 0);
            assert_eq!(region.size(), length);
        }
    }
}
