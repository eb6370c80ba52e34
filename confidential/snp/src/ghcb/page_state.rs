//! The Page State Change structure (GHCB standard, 4.1.6): ranges of pages to be made private or
//! shared, in the GHCB's shared buffer.
//!
//! A header (current entry, last entry) and up to [`MAX_ENTRIES`] entries of 8 bytes. The
//! hypervisor works from the current entry to the last one and moves `current` forward, so that a
//! guest can see how far it came.

use super::PAGE_SIZE;

/// Bytes of the header.
pub const HEADER_SIZE: usize = 8;
/// Bytes of an entry.
pub const ENTRY_SIZE: usize = 8;
/// Entries that fit the GHCB's shared buffer.
pub const MAX_ENTRIES: usize = 253;
/// Small pages in a large one.
pub const PAGES_PER_LARGE: u64 = 512;

/// What a page shall become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// Assigned to the guest: nobody else reads it.
    Private = 1,
    /// Readable and writable by the hypervisor and, through it, by devices.
    Shared = 2,
}

impl Operation {
    /// The operation of this value. PSMASH (3) and UNSMASH (4) are hints about large pages that
    /// have no meaning without an RMP.
    pub fn from_value(value: u8) -> Option<Operation> {
        match value {
            1 => Some(Operation::Private),
            2 => Some(Operation::Shared),
            _ => None,
        }
    }
}

/// Size of the page that an entry names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageSize {
    /// 4 KiB.
    Small,
    /// 2 MiB; the frame number is a multiple of [`PAGES_PER_LARGE`].
    Large,
}

impl PageSize {
    /// Size in bytes.
    #[inline(always)]
    pub fn bytes(self) -> u64 {
        self.pages() * PAGE_SIZE as u64
    }

    /// Size in small pages.
    #[inline(always)]
    pub fn pages(self) -> u64 {
        match self {
            PageSize::Small => 1,
            PageSize::Large => PAGES_PER_LARGE,
        }
    }
}

/// First and last entry still to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Index of the entry that is next.
    pub current: u16,
    /// Index of the last entry, inclusive.
    pub end: u16,
}

impl Header {
    /// The header as it stands in the buffer.
    pub fn encode(self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        bytes[0..2].copy_from_slice(&self.current.to_le_bytes());
        bytes[2..4].copy_from_slice(&self.end.to_le_bytes());
        bytes
    }

    /// The header in these bytes. `None` with reserved bits set, or an end that no buffer holds.
    pub fn decode(bytes: [u8; HEADER_SIZE]) -> Option<Header> {
        let [c0, c1, e0, e1, 0, 0, 0, 0] = bytes else { return None };
        let header =
            Header { current: u16::from_le_bytes([c0, c1]), end: u16::from_le_bytes([e0, e1]) };
        (usize::from(header.end) < MAX_ENTRIES).then_some(header)
    }
}

/// One page to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Small pages of it already done, up to [`PageSize::pages`].
    pub current_page: u16,
    /// Guest frame number, 40 bits.
    pub gfn: u64,
    /// To what.
    pub operation: Operation,
    /// How large the page is.
    pub size: PageSize,
}

impl Entry {
    /// The entry as it stands in the buffer. A frame number wider than 40 bits is cut.
    #[inline(always)]
    pub fn encode(self) -> u64 {
        u64::from(self.current_page & 0xfff)
            | (self.gfn & super::protocol::MAX_GFN) << 12
            | (self.operation as u64) << 52
            | u64::from(matches!(self.size, PageSize::Large)) << 56
    }

    /// The entry of this value. `None` for an operation that is none, reserved bits, a large page
    /// that is not aligned, or progress past the page's end.
    pub fn decode(value: u64) -> Option<Entry> {
        let entry = Entry {
            current_page: (value & 0xfff) as u16,
            gfn: value >> 12 & super::protocol::MAX_GFN,
            operation: Operation::from_value((value >> 52 & 0xf) as u8)?,
            size: if value >> 56 & 1 == 1 { PageSize::Large } else { PageSize::Small },
        };
        let sound = entry.encode() == value
            && entry.gfn.is_multiple_of(entry.size.pages())
            && u64::from(entry.current_page) <= entry.size.pages();
        sound.then_some(entry)
    }
}

/// What the hypervisor leaves in SW_EXITINFO2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It tried; `current` past `end` in the header says that it did everything.
    Complete,
    /// The header makes no sense.
    InvalidHeader,
    /// The entry at `current` makes no sense, or names memory that is not the guest's.
    InvalidEntry,
    /// Anything else.
    Failed,
}

impl Status {
    /// The value for SW_EXITINFO2.
    pub const fn encode(self) -> u64 {
        match self {
            Status::Complete => 0,
            Status::InvalidHeader => 1 << 32 | 1,
            Status::InvalidEntry => 1 << 32 | 2,
            Status::Failed => 0x100 << 32,
        }
    }

    /// The status of this value; what is unknown is a failure.
    pub fn decode(value: u64) -> Status {
        [Status::Complete, Status::InvalidHeader, Status::InvalidEntry]
            .into_iter()
            .find(|status| status.encode() == value)
            .unwrap_or(Status::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn entries_are_laid_out_as_in_the_standard() {
        let large = Entry {
            current_page: 0x1ff,
            gfn: 0xff_ffff_fe00,
            operation: Operation::Shared,
            size: PageSize::Large,
        };
        assert_eq!(large.encode(), 0x012f_ffff_ffe0_01ff);
        let small = Entry {
            current_page: 0,
            gfn: 0x12345,
            operation: Operation::Private,
            size: PageSize::Small,
        };
        assert_eq!(small.encode(), 0x0010_0000_1234_5000);
        assert_eq!(Entry::decode(small.encode()), Some(small));
        assert_eq!(Header { current: 1, end: 0xfc }.encode(), [1, 0, 0xfc, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn senseless_entries_and_headers_are_refused() {
        for value in [
            0x0110_0000_0000_1000, // large, not aligned
            0x0010_0000_0000_1002, // small, progress past its end
            0x0110_0000_0020_0201, // large, progress past its end
            0x0030_0000_0000_1000, // an operation without meaning here
            0x0000_0000_0000_1000,
            0x8010_0000_0000_1000, // reserved
        ] {
            assert_eq!(Entry::decode(value), None, "{value:#x}");
        }
        assert_eq!(Header::decode([0, 0, 253, 0, 0, 0, 0, 0]), None);
        assert_eq!(Header::decode([0, 0, 1, 0, 0, 0, 1, 0]), None);
    }

    proptest! {
        #[test]
        fn an_entry_has_one_encoding(value: u64) {
            if let Some(entry) = Entry::decode(value) {
                prop_assert_eq!(entry.encode(), value);
            }
        }
    }
}
