//! A process's resident memory without its guest's, from `/proc/PID/smaps`.

use std::fs;
use std::io;

/// Names of mappings that are Ravelin's guest memory.
const GUEST_FILES: &str = "/memfd:ravelin-";

/// KiB that the process has in memory beyond a guest's memory of so many KiB: `Rss` of every mapping
/// that is not guest memory. That is a memfd of Ravelin's, or an anonymous mapping of just the guest's
/// size.
pub(crate) fn beyond_guest_memory(process: u32, guest_kib: u64) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/smaps"))?;
    Ok(mappings(&text).filter(|mapping| !mapping.is_guest_memory(guest_kib)).map(|m| m.rss).sum())
}

struct Mapping<'a> {
    name: &'a str,
    size: u64,
    rss: u64,
}

impl Mapping<'_> {
    fn is_guest_memory(&self, guest_kib: u64) -> bool {
        self.name.starts_with(GUEST_FILES) || self.name.is_empty() && self.size == guest_kib
    }
}

/// A mapping is a line of addresses, then lines of `Word: number kB`.
fn mappings(text: &str) -> impl Iterator<Item = Mapping<'_>> {
    let mut lines = text.lines().peekable();
    std::iter::from_fn(move || {
        let head = lines.next()?;
        let mut mapping = Mapping { name: name(head), size: 0, rss: 0 };
        while let Some((word, value)) = lines.peek().and_then(|line| field(line)) {
            match word {
                "Size" => mapping.size = value,
                "Rss" => mapping.rss = value,
                _ => {}
            }
            lines.next();
        }
        Some(mapping)
    })
}

/// What follows address, permissions, offset, device and inode.
fn name(head: &str) -> &str {
    head.split_ascii_whitespace().nth(5).unwrap_or_default()
}

/// A line of the second kind. `VmFlags` and `THPeligible` are of it, and count nothing.
fn field(line: &str) -> Option<(&str, u64)> {
    let (word, value) = line.split_once(':')?;
    let plain = word.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'_');
    let number = value.trim().trim_end_matches(" kB").parse().unwrap_or(0);
    // Addresses and devices have colons too, but not behind a first word.
    (plain && value.starts_with(' ')).then_some((word, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
7f0000000000-7f0010000000 rw-s 00000000 00:01 1052                       /memfd:ravelin-memory (deleted)
Size:             262144 kB
Rss:               60000 kB
VmFlags: rd wr sh mr mw me ms sd
7f1000000000-7f1010000000 rw-p 00000000 00:00 0
Size:             262144 kB
Rss:               50000 kB
THPeligible:           1
7f2000000000-7f2000021000 rw-p 00000000 00:00 0                          [heap]
Size:                132 kB
Rss:                 100 kB
55e0c0000000-55e0c0400000 r-xp 00001000 00:1f 77                         /bin/ravelin
Size:               4096 kB
Rss:                2000 kB
";

    #[test]
    fn everything_counts_but_guest_memory_by_name_or_size() {
        let sum = |guest| -> u64 {
            let others = mappings(SMAPS).filter(|mapping| !mapping.is_guest_memory(guest));
            others.map(|mapping| mapping.rss).sum()
        };
        assert_eq!(sum(262_144), 2100);
        assert_eq!(sum(131_072), 52_100, "an anonymous mapping of another size is the VMM's");
    }
}
