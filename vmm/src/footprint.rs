//! How much of the program stays in memory: what starting took is let go of once the guest runs.
//!
//! Reading options, checking files and building a machine runs far more code than serving it. Its pages
//! are clean pages of files: they are unmapped, and those that are used again come back from the
//! page cache at the price of a minor fault each.

// `madvise` takes raw addresses.
#![allow(unsafe_code)]

use rustix::mm::{Advice, madvise};
use std::fs;
use std::ops::Range;

/// Unmaps the pages of every program file's code and constants, for good as far as they are not used
/// again.
pub(crate) fn let_go_of_start_up() {
    // Without /proc they stay, which harms nobody.
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for Range { start, end } in maps.lines().filter_map(unwritten) {
        let address = std::ptr::without_provenance_mut(start);
        // SAFETY: the mapping is private, of a file, and nobody may write to it, nor has the loader: its
        // pages are the file's, and whoever runs or reads them next finds them as they were.
        if let Err(error) = unsafe { madvise(address, end - start, Advice::LinuxDontNeed) } {
            tracing::debug!(%error, start, "start-up stays in memory");
        }
    }
}

/// The addresses in a line of `/proc/self/maps` (addresses, permissions, offset, device, inode, path)
/// of a part of a file that was never written: code, as there are no text relocations, or what the
/// file begins with. The loader has written to what it has made read-only since, further behind.
fn unwritten(line: &str) -> Option<Range<usize>> {
    let mut words = line.split_ascii_whitespace();
    let (addresses, permissions, offset) = (words.next()?, words.next()?, words.next()?);
    let path = words.nth(2)?;
    let (start, end) = addresses.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    let range = number(start)?..number(end)?;
    let unwritten = permissions == "r-xp" || permissions == "r--p" && number(offset)? == 0;
    (unwritten && path.starts_with('/') && range.start < range.end).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parts_of_files_that_nobody_has_written_are_let_go_of() {
        let line = |permissions: &str, offset: &str, path: &str| {
            unwritten(&format!("5600-5800 {permissions} {offset} 00:1f 77    {path}"))
        };
        let (code, head) = ("r-xp", "r--p");
        assert_eq!(line(code, "00001000", "/usr/bin/ravelin"), Some(0x5600..0x5800));
        assert_eq!(line(head, "00000000", "/usr/bin/ravelin"), Some(0x5600..0x5800));
        assert_eq!(line(head, "00200000", "/usr/bin/ravelin"), None, "relocated");
        for permissions in ["rw-p", "rwxp", "r-xs", "r--s", "---p"] {
            assert_eq!(line(permissions, "00000000", "/usr/bin/ravelin"), None, "{permissions}");
        }
        for path in ["", "[vdso]", "[vsyscall]"] {
            assert_eq!(line(code, "00001000", path), None, "{path}");
        }
    }

    #[test]
    fn the_program_runs_on() {
        let_go_of_start_up();
        let sum: u64 = "1 2 3".split(' ').filter_map(|word| word.parse::<u64>().ok()).sum();
        assert_eq!(sum, 6);
    }
}
