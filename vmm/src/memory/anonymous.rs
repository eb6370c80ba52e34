//! Memory that lies in no file, at addresses that a huge page may have.
//!
//! KVM maps guest memory in pages of 2 MiB where the host's memory is such a page and both addresses
//! are aligned alike. Whether the kernel has such pages is its business; without them memory is the
//! same in small ones.

use vm_memory::MmapRegion;
use vm_memory::mmap::MmapRegionError;

/// Bytes of a huge page, and of a small one.
const HUGE: usize = 2 << 20;
const PAGE: usize = 4096;
/// Other threads map memory meanwhile, and may take the place that was meant.
const TRIES: usize = 16;

/// Maps so many bytes, zeroed and without reserve.
///
/// # Errors
/// The kernel has no room.
pub(super) fn map(length: usize) -> Result<MmapRegion, MmapRegionError> {
    let mut region = MmapRegion::new(length)?;
    let mut guards = Vec::new();
    for _ in 0..TRIES {
        let askew = region.as_ptr().addr() % HUGE;
        if askew == 0 {
            break;
        }
        // The kernel puts a mapping right below the last one: the guard takes this one's place, and
        // what is askew of it. A hole elsewhere may have taken it, but only once.
        drop(region);
        guards.push(guard(askew.next_multiple_of(PAGE))?);
        region = MmapRegion::new(length)?;
    }
    Ok(region)
}

/// So many addresses that nobody may touch.
fn guard(length: usize) -> Result<MmapRegion, MmapRegionError> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    MmapRegion::build(None, length, libc::PROT_NONE, flags)
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
