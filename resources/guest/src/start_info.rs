//! What the VMM told the guest: PVH's `hvm_start_info`.
//!
//! The host wrote it, so it is read with checks; but a host that lies here gets a guest that does
//! not start, and nothing else.

use core::ops::Range;

/// The page at address 0 is left alone.
pub const FIRST: u64 = 4096;
/// What the VMM tells ends here. The secrets page is next, where there is an AMD-SP to fill it.
pub const SECRETS: u64 = 0xb000;
/// The CPUID page, on SNP.
pub const CPUID: u64 = 0xc000;
/// What becomes the GHCB page: beyond everything that the VMM tells.
pub const GHCB: u64 = 1 << 20;

/// "xEn3" (Xen public headers, `XEN_HVM_START_MAGIC_VALUE`).
const MAGIC: u32 = 0x336e_c578;
/// Bytes of the structure.
const SIZE: u64 = 56;
/// More ranges or bytes than these are not looked at.
const MOST_RANGES: u32 = 64;
const LONGEST_TEXT: u64 = 4096;
/// Bytes of an entry in the list of modules.
const MODULE_SIZE: u64 = 32;

/// Why the guest knows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A structure is not in memory.
    #[error("start_info points to {0:#x}, which is no memory")]
    Outside(u64),
    /// It is another structure.
    #[error("start_info has magic {0:#x}")]
    Magic(u32),
    /// The command line, or the hints, are no text or do not end.
    #[error("the command line is no text")]
    CommandLine,
}

/// What start_info says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartInfo<'a> {
    /// Space-separated `key=value`; measured, where anything is.
    pub command_line: &'a str,
    /// The same, from the second module; never measured. Empty where there is none.
    pub hints: &'a str,
    /// Where the first module is, unchecked; empty where there is none.
    pub payload: Range<u64>,
    /// Address behind the first range of memory, the one that begins at 0.
    pub memory_end: u64,
}

impl<'a> StartInfo<'a> {
    /// Reads the structure at `address`. It and what it points to, but the payload, must be in
    /// `memory`, which begins at [`FIRST`].
    ///
    /// # Errors
    /// It makes no sense.
    pub fn read(memory: &'a [u8], address: u64) -> Result<Self, Error> {
        let header = slice(memory, address, SIZE)?;
        let magic = u32_at(header, 0);
        if magic != MAGIC {
            return Err(Error::Magic(magic));
        }
        let command_line = text(memory, u64_at(header, 24))?;
        let module = |index: u32| {
            if index >= u32_at(header, 12) {
                return Ok(0..0);
            }
            let list = u64_at(header, 16);
            let entry = list.checked_add(MODULE_SIZE * u64::from(index));
            let entry = slice(memory, entry.ok_or(Error::Outside(list))?, MODULE_SIZE)?;
            let (start, length) = (u64_at(entry, 0), u64_at(entry, 8));
            Ok(start..start.checked_add(length).ok_or(Error::Outside(start))?)
        };
        let (payload, hints) = (module(0)?, module(1)?);
        let hints = if hints.is_empty() { "" } else { text(memory, hints.start)? };
        let ranges = u64::from(u32_at(header, 48).min(MOST_RANGES));
        let map = slice(memory, u64_at(header, 40), 24 * ranges)?;
        let low = map.chunks_exact(24).find(|entry| u64_at(entry, 0) == 0);
        let memory_end = low.map_or(0, |entry| u64_at(entry, 8));
        Ok(Self { command_line, hints, payload, memory_end })
    }
}

/// The text at this address, up to its NUL.
fn text(memory: &[u8], address: u64) -> Result<&str, Error> {
    let left = (FIRST + memory.len() as u64).saturating_sub(address);
    let text = slice(memory, address, left.min(LONGEST_TEXT))?;
    let end = text.iter().position(|byte| *byte == 0).ok_or(Error::CommandLine)?;
    core::str::from_utf8(&text[..end]).map_err(|_| Error::CommandLine)
}

fn slice(memory: &[u8], address: u64, length: u64) -> Result<&[u8], Error> {
    let range = address.checked_sub(FIRST).and_then(|start| {
        let end = start.checked_add(length)?;
        Some(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
    });
    range.and_then(|range| memory.get(range)).ok_or(Error::Outside(address))
}

/// The word at an offset that is known to be inside.
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(core::array::from_fn(|index| bytes[at + index]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(core::array::from_fn(|index| bytes[at + index]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn memory(command_line: &[u8], map: u64) -> Vec<u8> {
        let mut bytes = alloc::vec![0; 0x3000];
        let mut word = |address: usize, value: u64| {
            bytes[address - 0x1000..][..8].copy_from_slice(&value.to_le_bytes());
        };
        word(0x1100, u64::from(MAGIC) | 1 << 32);
        word(0x1108, 1 << 32); // flags, modules
        word(0x1110, 0x1200);
        word(0x1118, 0x2000);
        word(0x1128, map);
        word(0x1130, 1);
        word(0x1200, 0x5000);
        word(0x1208, 3);
        word(0x1308, 64 << 20);
        bytes[0x1000..][..command_line.len()].copy_from_slice(command_line);
        bytes
    }

    #[test]
    fn command_line_payload_and_memory_are_found() {
        let memory = memory(b"a=1 b=2\0", 0x1300);
        let info = StartInfo::read(&memory, 0x1100).unwrap();
        let mut expected = StartInfo {
            command_line: "a=1 b=2",
            hints: "",
            payload: 0x5000..0x5003,
            memory_end: 64 << 20,
        };
        assert_eq!(info, expected);

        let mut memory = memory.clone();
        memory[0x10c] = 2;
        memory[0x220..0x228].copy_from_slice(&0x3000_u64.to_le_bytes());
        memory[0x228] = 1;
        memory[0x2000..0x2004].copy_from_slice(b"c=3\0");
        expected.hints = "c=3";
        assert_eq!(StartInfo::read(&memory, 0x1100), Ok(expected));
    }

    #[test]
    fn pointers_out_of_memory_are_refused() {
        for address in [0, 0x3ff0, u64::MAX - 1, 1 << 40] {
            let memory = memory(b"\0", address);
            assert_eq!(StartInfo::read(&memory, 0x1100), Err(Error::Outside(address)));
            assert_eq!(StartInfo::read(&memory, address), Err(Error::Outside(address)));
        }
    }

    #[test]
    fn a_command_line_without_end_or_text_is_refused() {
        for text in [&[b'a'; 0x2000][..], &[0xff, 0]] {
            let memory = memory(text, 0x1300);
            assert_eq!(StartInfo::read(&memory, 0x1100), Err(Error::CommandLine));
        }
        assert_eq!(StartInfo::read(&[0; 64], FIRST), Err(Error::Magic(0)));
    }
}
