//! The tables in an OVMF file: GUIDs at the end, SEV metadata where one of them says.
//!
//! An entry of the GUID table is its data, its length (data, length and GUID) and its GUID, so that it
//! is read from the end on. The last entry is the table's own, 32 bytes before the file's end, and has
//! the length of all.

use super::{END, Error, PAGE};

/// Bytes behind the table.
const BEHIND: usize = 32;
/// Length and GUID of an entry.
const ENTRY: usize = 18;

/// 96b582de-1fb2-45f7-baea-a366c55a082d
const TABLE: [u8; 16] = guid(0x96b5_82de, 0x1fb2, 0x45f7, 0xbaea_a366_c55a_082d);
/// 7255371f-3a3b-4b04-927b-1da6efa8d454
const HASHES: [u8; 16] = guid(0x7255_371f, 0x3a3b, 0x4b04, 0x927b_1da6_efa8_d454);
/// 00f771de-1a7e-4fcb-890e-68c77e2fb44e
const RESET_BLOCK: [u8; 16] = guid(0x00f7_71de, 0x1a7e, 0x4fcb, 0x890e_68c7_7e2f_b44e);
/// dc886566-984a-4798-a75e-5585a7bf67cc
const METADATA: [u8; 16] = guid(0xdc88_6566, 0x984a, 0x4798, 0xa75e_5585_a7bf_67cc);

/// A GUID as it stands in memory: three little-endian numbers and eight bytes.
pub(super) const fn guid(a: u32, b: u16, c: u16, d: u64) -> [u8; 16] {
    let (a, b, c, d) = (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes(), d.to_be_bytes());
    [a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]]
}

/// What the tables say that matters to a launch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    /// Where vCPUs but the first begin.
    pub(super) reset_address: Option<u32>,
    /// Where the firmware looks for a kernel's hashes.
    pub(super) hashes_address: Option<u32>,
    /// What it wants to have in memory, in order.
    pub(super) sections: Vec<Section>,
}

/// Memory that the firmware wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) kind: SectionKind,
    pub(super) address: u64,
    pub(super) pages: u64,
}

/// What a section is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SectionKind {
    Memory,
    Secrets,
    Cpuid,
    /// For an SVSM's callers.
    CallingArea,
    KernelHashes,
}

impl Table {
    pub(super) fn parse(file: &[u8]) -> Result<Table, Error> {
        let body = file.len().checked_sub(BEHIND).and_then(|end| file.get(..end));
        let (length, name, before) = body.and_then(last_entry).ok_or(Error::NoTable)?;
        if name != TABLE {
            return Err(Error::NoTable);
        }
        let all = length.checked_sub(ENTRY).and_then(|length| before.len().checked_sub(length));
        let mut entries = all.map(|start| &before[start..]).ok_or(Error::Table("its length"))?;
        let mut table = Table::default();
        while entries.len() >= ENTRY {
            let (length, name, before) = last_entry(entries).ok_or(Error::Table("an entry"))?;
            let data =
                length.checked_sub(ENTRY).and_then(|length| before.len().checked_sub(length));
            let start = data.ok_or(Error::Table("an entry's length"))?;
            let (rest, data) = before.split_at(start);
            match name {
                RESET_BLOCK => table.reset_address = Some(number(data, 0)?),
                // 0: the firmware has no place for them.
                HASHES => table.hashes_address = Some(number(data, 0)?).filter(|at| *at != 0),
                METADATA => table.sections = sections(file, number(data, 0)?)?,
                _ => {}
            }
            entries = rest;
        }
        Ok(table)
    }
}

/// The entry that these bytes end with: its length and GUID, and what is before them.
fn last_entry(bytes: &[u8]) -> Option<(usize, [u8; 16], &[u8])> {
    let (rest, name) = bytes.split_last_chunk::<16>()?;
    let (rest, length) = rest.split_last_chunk::<2>()?;
    Some((usize::from(u16::from_le_bytes(*length)), *name, rest))
}

fn number(bytes: &[u8], at: usize) -> Result<u32, Error> {
    bytes
        .get(at..)
        .and_then(|bytes| bytes.first_chunk())
        .map(|bytes| u32::from_le_bytes(*bytes))
        .ok_or(Error::Table("an entry is too short"))
}

/// The SEV metadata, so many bytes before the file's end (OvmfSevMetadata.asm).
fn sections(file: &[u8], from_end: u32) -> Result<Vec<Section>, Error> {
    const HEADER: usize = 16;
    const DESCRIPTOR: usize = 12;
    let start = file.len().checked_sub(from_end as usize);
    let metadata =
        start.and_then(|start| file.get(start..)).ok_or(Error::Table("no metadata there"))?;
    if !metadata.starts_with(b"ASEV") || number(metadata, 8)? != 1 {
        return Err(Error::Table("the metadata is of another kind or version"));
    }
    let (length, count) = (number(metadata, 4)? as usize, number(metadata, 12)? as usize);
    let listed = metadata.get(HEADER..length).ok_or(Error::Table("the metadata's length"))?;
    let (descriptors, _) = listed.as_chunks::<DESCRIPTOR>();
    let descriptors = descriptors.get(..count).ok_or(Error::Table("the metadata's count"))?;
    descriptors.iter().map(|one| section(one)).collect()
}

fn section(descriptor: &[u8]) -> Result<Section, Error> {
    let (address, size) = (number(descriptor, 0)?.into(), number(descriptor, 4)?.into());
    let kind = match number(descriptor, 8)? {
        1 => SectionKind::Memory,
        2 => SectionKind::Secrets,
        3 => SectionKind::Cpuid,
        4 => SectionKind::CallingArea,
        0x10 => SectionKind::KernelHashes,
        other => return Err(Error::SectionType(other)),
    };
    let sound = |address: u64, size: u64| {
        address.is_multiple_of(PAGE) && size.is_multiple_of(PAGE) && address + size <= END
    };
    if !sound(address, size) {
        return Err(Error::Table("a section of the metadata is no whole pages"));
    }
    Ok(Section { kind, address, pages: size / PAGE })
}
