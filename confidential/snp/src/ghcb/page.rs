//! The GHCB page (GHCB standard, 2.6): where its fields stand.
//!
//! A [`Ghcb`] is a *copy* of the page in private memory: the guest builds one and copies it out,
//! the VMM copies the page in, once, before it looks at anything. A field counts only when its bit
//! in the valid bitmap is set.

use super::page_state::{ENTRY_SIZE, Entry, HEADER_SIZE, Header, MAX_ENTRIES};
use super::{PAGE_SIZE, VERSION};

/// First byte of the shared buffer in the page.
pub const SHARED_BUFFER: usize = 0x800;
/// Bytes of the shared buffer.
pub const SHARED_BUFFER_SIZE: usize = 2032;

pub(super) const VALID_BITMAP: usize = 0x3f0;
pub(super) const PROTOCOL_VERSION: usize = 0xffa;
const USAGE: usize = 0xffc;

/// A field of 8 bytes that has a bit in the valid bitmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Field {
    /// RAX.
    Rax = 0x1f8,
    /// RCX.
    Rcx = 0x308,
    /// RDX.
    Rdx = 0x310,
    /// RBX.
    Rbx = 0x318,
    /// SW_EXITCODE: what the guest asks for.
    ExitCode = 0x390,
    /// SW_EXITINFO1: first parameter; back, whether the request as such was sound.
    ExitInfo1 = 0x398,
    /// SW_EXITINFO2: second parameter; back, the result.
    ExitInfo2 = 0x3a0,
    /// SW_SCRATCH: guest-physical address of further parameters.
    Scratch = 0x3a8,
    /// XCR0.
    Xcr0 = 0x3e8,
}

/// Values of SW_EXITCODE (GHCB standard, table 7).
pub mod exit_code {
    /// MMIO Read: SW_EXITINFO1 is the address, SW_EXITINFO2 the number of bytes, SW_SCRATCH names the
    /// buffer.
    pub const MMIO_READ: u64 = 0x8000_0001;
    /// MMIO Write: the same.
    pub const MMIO_WRITE: u64 = 0x8000_0002;
    /// Page State Change: SW_SCRATCH names the structure.
    pub const PAGE_STATE_CHANGE: u64 = 0x8000_0010;
    /// SNP Guest Request: SW_EXITINFO1 and SW_EXITINFO2 name the pages.
    pub const GUEST_REQUEST: u64 = 0x8000_0011;
    /// SNP Extended Guest Request: RAX and RBX name the pages for certificates, too.
    pub const EXTENDED_GUEST_REQUEST: u64 = 0x8000_0012;
}

/// What is wrong with a request as such (GHCB standard, 4.1.2): SW_EXITINFO1 is 2 and
/// SW_EXITINFO2 holds this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Malformed {
    /// The GHCB's address was not registered.
    NotRegistered = 1,
    /// GHCB usage is not 0.
    Usage = 2,
    /// SW_SCRATCH does not lie in the shared buffer.
    Scratch = 3,
    /// A field that the request needs is not valid.
    MissingInput = 4,
    /// A field has a value that the request does not allow.
    InvalidInput = 5,
    /// SW_EXITCODE is none.
    UnknownEvent = 6,
}

/// SW_EXITINFO1 of IN and OUT (GHCB standard, 4.1.5), which is that of the intercept (APM volume 2,
/// 15.10.2).
pub mod ioio {
    /// The port's number is in bits 31:16.
    pub const PORT: u32 = 16;
    /// Addresses have 64 bits.
    pub const ADDRESS_64: u64 = 1 << 9;
    /// One bit for each size: 1, 2 or 4 bytes, the number itself.
    pub const SIZE: u32 = 4;
    /// SW_EXITINFO2 times.
    pub const REPEATED: u64 = 1 << 3;
    /// From or into the buffer that SW_SCRATCH names.
    pub const STRING: u64 = 1 << 2;
    /// From the port.
    pub const IN: u64 = 1 << 0;
}

/// A copy of a GHCB page.
#[derive(Clone)]
pub struct Ghcb([u8; PAGE_SIZE]);

impl Ghcb {
    /// An empty page of this protocol's version, usage 0.
    pub fn new() -> Ghcb {
        let mut ghcb = Ghcb([0; PAGE_SIZE]);
        ghcb.0[PROTOCOL_VERSION..][..2].copy_from_slice(&VERSION.to_le_bytes());
        ghcb
    }

    /// The page in these bytes.
    pub fn from_bytes(bytes: [u8; PAGE_SIZE]) -> Ghcb {
        Ghcb(bytes)
    }

    /// The page's bytes.
    pub fn as_bytes(&self) -> &[u8; PAGE_SIZE] {
        &self.0
    }

    /// Version of the protocol.
    pub fn version(&self) -> u16 {
        u16::from_le_bytes([self.0[PROTOCOL_VERSION], self.0[PROTOCOL_VERSION + 1]])
    }

    /// GHCB usage: 0 for the layout that this module knows.
    pub fn usage(&self) -> u32 {
        u32::from_le_bytes(core::array::from_fn(|index| self.0[USAGE + index]))
    }

    /// The field's value, if its bit says that it is valid.
    pub fn get(&self, field: Field) -> Option<u64> {
        let (byte, mask) = valid_bit(field);
        (self.0[byte] & mask != 0).then(|| self.u64_at(field as usize))
    }

    /// Sets the field and marks it valid.
    pub fn set(&mut self, field: Field, value: u64) {
        let (byte, mask) = valid_bit(field);
        self.0[byte] |= mask;
        self.0[field as usize..][..8].copy_from_slice(&value.to_le_bytes());
    }

    /// Marks every field as not valid.
    pub fn clear_valid(&mut self) {
        self.0[VALID_BITMAP..][..16].fill(0);
    }

    /// The header of a Page State Change structure at the start of the shared buffer.
    pub fn page_state_header(&self) -> Option<Header> {
        Header::decode(core::array::from_fn::<_, HEADER_SIZE, _>(|at| self.0[SHARED_BUFFER + at]))
    }

    /// Sets that header.
    pub fn set_page_state_header(&mut self, header: Header) {
        self.0[SHARED_BUFFER..][..HEADER_SIZE].copy_from_slice(&header.encode());
    }

    /// An entry of that structure. `None` where it makes no sense or lies behind the last place.
    pub fn page_state_entry(&self, index: u16) -> Option<Entry> {
        Entry::decode(self.u64_at(entry_offset(index)?))
    }

    /// Sets an entry; nothing happens behind the last place.
    pub fn set_page_state_entry(&mut self, index: u16, entry: Entry) {
        if let Some(at) = entry_offset(index) {
            self.0[at..][..ENTRY_SIZE].copy_from_slice(&entry.encode().to_le_bytes());
        }
    }

    fn u64_at(&self, at: usize) -> u64 {
        u64::from_le_bytes(core::array::from_fn(|index| self.0[at + index]))
    }
}

impl Default for Ghcb {
    fn default() -> Self {
        Self::new()
    }
}

fn valid_bit(field: Field) -> (usize, u8) {
    let bit = field as usize / 8;
    (VALID_BITMAP + bit / 8, 1 << (bit % 8))
}

fn entry_offset(index: u16) -> Option<usize> {
    let index = usize::from(index);
    (index < MAX_ENTRIES).then(|| SHARED_BUFFER + HEADER_SIZE + ENTRY_SIZE * index)
}

#[cfg(test)]
mod tests {
    use super::super::page_state::{Operation, PageSize};
    use super::*;

    /// Offsets from the table of the GHCB standard, 2.6.
    #[test]
    fn fields_stand_where_the_standard_puts_them() {
        let mut ghcb = Ghcb::new();
        ghcb.set(Field::ExitCode, exit_code::PAGE_STATE_CHANGE);
        ghcb.set(Field::Scratch, 0x1122_3344_5566_7788);
        let bytes = ghcb.as_bytes();
        assert_eq!(bytes[0x390..0x398], [0x10, 0, 0, 0x80, 0, 0, 0, 0]);
        assert_eq!(bytes[0x3a8..0x3b0], [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]);
        // Bits 114 (0x390 / 8) and 117 (0x3a8 / 8) of the bitmap at 0x3f0.
        assert_eq!(bytes[0x3f0..0x400], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x24, 0]);
        assert_eq!(bytes[0xffa..], [2, 0, 0, 0, 0, 0]);
        assert_eq!(ghcb.get(Field::ExitCode), Some(0x8000_0010));
        assert_eq!(ghcb.get(Field::ExitInfo1), None, "never marked valid");
        ghcb.clear_valid();
        assert_eq!(ghcb.get(Field::ExitCode), None);
    }

    #[test]
    fn a_page_state_change_fills_the_shared_buffer_exactly() {
        let mut ghcb = Ghcb::new();
        let entry = Entry {
            current_page: 0,
            gfn: 0x200,
            operation: Operation::Shared,
            size: PageSize::Large,
        };
        let last = (MAX_ENTRIES - 1) as u16;
        ghcb.set_page_state_header(Header { current: 0, end: last });
        ghcb.set_page_state_entry(last, entry);
        ghcb.set_page_state_entry(last + 1, entry);
        assert_eq!(ghcb.page_state_entry(last), Some(entry));
        assert_eq!(ghcb.page_state_entry(last + 1), None);
        assert_eq!(SHARED_BUFFER_SIZE, HEADER_SIZE + ENTRY_SIZE * MAX_ENTRIES);
        assert!(ghcb.as_bytes()[SHARED_BUFFER + SHARED_BUFFER_SIZE..0xffa].iter().all(|b| *b == 0));
    }
}
