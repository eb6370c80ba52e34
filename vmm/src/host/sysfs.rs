//! Reading what the kernel shows as files: a line of text, a number, the name behind a link.
//!
//! What is not there, or not readable, is none: each kernel shows other files, and a device may go
//! between two reads.

use std::fs;
use std::path::Path;

/// The first line of a file.
pub(super) fn line(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.lines().next()?.trim().to_owned()).filter(|line| !line.is_empty())
}

/// A number in hexadecimal digits, with or without 0x.
pub(super) fn hexadecimal(path: &Path) -> Option<u32> {
    let line = line(path)?;
    u32::from_str_radix(line.strip_prefix("0x").unwrap_or(&line), 16).ok()
}

/// The last part of what a link leads to.
pub(super) fn link_name(path: &Path) -> Option<String> {
    Some(fs::read_link(path).ok()?.file_name()?.to_str()?.to_owned())
}

/// Names in a directory, in order; none where there is no such directory.
pub(super) fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<_> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}
