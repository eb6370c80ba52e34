//! Page tables: identity, large pages, private unless said otherwise.
//!
//! | addresses | who | how |
//! | --- | --- | --- |
//! | 0 to 2 MiB | user, write | what the VMM left, secrets and CPUID pages included |
//! | 2 to 4 MiB | supervisor | itself |
//! | text, rodata, data of the image | user | execute / read / write, each alone |
//! | the rest of memory below 3 GiB | user, write | heap, payload, shared arena |
//! | device memory | user, write, uncached | on demand |
//! | [`GHCB_WINDOW`] | supervisor | the GHCB page, shared |

use core::arch::asm;
use core::cell::UnsafeCell;
use ravelin_guest::call::{DONE, LARGE_PAGE, NO_ROOM, NOT_ALLOWED};
use ravelin_guest::start_info;

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const UNCACHED: u64 = 1 << 3 | 1 << 4;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;

/// Guest memory is used up to here: one table of large pages for each GiB.
const MEMORY_TABLES: usize = 3;
/// Tables for device memory, a GiB each.
const DEVICE_TABLES: usize = 8;
/// The GiB that shows the GHCB page.
const GHCB_GIB: usize = 511;
/// Virtual address of the GHCB page.
pub(super) const GHCB_WINDOW: u64 = (GHCB_GIB as u64) << 30;
/// Guest-physical address of the GHCB page. Its private side is never touched.
pub(super) const GHCB_ADDRESS: u64 = start_info::GHCB;

#[repr(C, align(4096))]
struct Table<const N: usize>(UnsafeCell<[u64; N]>);

// SAFETY: one processor, and the supervisor is not re-entered: interrupts are off but in `wait`,
// whose handler touches no table.
unsafe impl<const N: usize> Sync for Table<N> {}

impl<const N: usize> Table<N> {
    const fn new() -> Self {
        Self(UnsafeCell::new([0; N]))
    }

    #[inline(always)]
    fn address(&self) -> u64 {
        self.0.get() as u64
    }

    /// Volatile: the processor reads it, and the compiler must make no SIMD loop of it.
    #[inline(always)]
    fn set(&self, index: usize, entry: u64) {
        if index < N {
            // SAFETY: within the table.
            unsafe { self.0.get().cast::<u64>().add(index).write_volatile(entry) };
        }
    }

    #[inline(always)]
    fn get(&self, index: usize) -> u64 {
        if index >= N {
            return 0;
        }
        // SAFETY: within the table.
        unsafe { self.0.get().cast::<u64>().add(index).read_volatile() }
    }
}

#[unsafe(link_section = ".bss.supervisor.tables")]
static PML4: Table<512> = Table::new();
#[unsafe(link_section = ".bss.supervisor.tables")]
static PDPT: Table<512> = Table::new();
#[unsafe(link_section = ".bss.supervisor.tables")]
static MEMORY: Table<{ 512 * MEMORY_TABLES }> = Table::new();
#[unsafe(link_section = ".bss.supervisor.tables")]
static DEVICES: Table<{ 512 * DEVICE_TABLES }> = Table::new();
#[unsafe(link_section = ".bss.supervisor.tables")]
static GHCB_PD: Table<512> = Table::new();
#[unsafe(link_section = ".bss.supervisor.tables")]
static GHCB_PT: Table<512> = Table::new();
/// C-bit, end of memory, number of device tables in use.
#[unsafe(link_section = ".bss.supervisor.tables")]
static STATE: Table<3> = Table::new();

const C_MASK: usize = 0;
const MEMORY_END: usize = 1;
const DEVICE_TABLES_USED: usize = 2;

unsafe extern "C" {
    static __text_start: u8;
    static __rodata_start: u8;
    static __data_start: u8;
    static __image_end: u8;
}

/// The C-bit as a mask; 0 where memory is not encrypted.
#[inline(always)]
pub(super) fn c_mask() -> u64 {
    STATE.get(C_MASK)
}

/// Builds the tables for memory up to `end` and takes them into use.
///
/// # Safety
/// Called once, with NX enabled; the caller runs in the supervisor's identity-mapped memory.
#[inline(always)]
pub(super) unsafe fn build(c_mask: u64, end: u64) {
    let end = end.min((MEMORY_TABLES as u64) << 30) & !(LARGE_PAGE - 1);
    STATE.set(C_MASK, c_mask);
    STATE.set(MEMORY_END, end);
    let directory = c_mask | PRESENT | WRITABLE | USER;
    PML4.set(0, PDPT.address() | directory);
    for table in 0..MEMORY_TABLES {
        PDPT.set(table, (MEMORY.address() + 4096 * table as u64) | directory);
    }
    PDPT.set(GHCB_GIB, GHCB_PD.address() | c_mask | PRESENT | WRITABLE);
    GHCB_PD.set(0, GHCB_PT.address() | c_mask | PRESENT | WRITABLE);
    GHCB_PT.set(0, GHCB_ADDRESS | PRESENT | WRITABLE | NO_EXECUTE);

    let base = c_mask | PRESENT | LARGE;
    let text = &raw const __text_start as u64;
    let rodata = &raw const __rodata_start as u64;
    let data = &raw const __data_start as u64;
    MEMORY.set(0, base | USER | NO_EXECUTE | WRITABLE);
    MEMORY.set(1, LARGE_PAGE | base | WRITABLE);
    let mut address = text;
    while address < end {
        let rights = if address < rodata {
            USER
        } else if address < data {
            USER | NO_EXECUTE
        } else {
            USER | NO_EXECUTE | WRITABLE
        };
        MEMORY.set((address / LARGE_PAGE) as usize, address | base | rights);
        address += LARGE_PAGE;
    }
    // SAFETY: the new tables map everything that is in use where it was.
    unsafe { load() };
}

/// Whether a range is whole large pages of user memory behind the image.
#[inline(always)]
pub(super) fn is_user_memory(address: u64, length: u64) -> bool {
    let first = &raw const __image_end as u64;
    let Some(end) = address.checked_add(length) else { return false };
    (address | length) & (LARGE_PAGE - 1) == 0
        && length != 0
        && address >= first
        && end <= STATE.get(MEMORY_END)
}

/// Whether these are whole pages of user memory behind the image.
#[inline(always)]
pub(super) fn is_user_pages(address: u64, pages: u64) -> bool {
    let first = &raw const __image_end as u64;
    let Some(length) = pages.checked_mul(4096) else { return false };
    let Some(end) = address.checked_add(length) else { return false };
    address & 4095 == 0 && address >= first && end <= STATE.get(MEMORY_END)
}

/// The entry that maps an address; 0 where none does, and for the GHCB.
#[inline(always)]
fn entry(address: u64) -> u64 {
    let gib = (address >> 30) as usize;
    let large_page = (address / LARGE_PAGE) as usize;
    if gib < MEMORY_TABLES {
        return MEMORY.get(large_page);
    }
    match find_device_table(gib) {
        Some(table) => DEVICES.get(table * 512 + large_page % 512),
        None => 0,
    }
}

/// Whether a byte is memory that the supervisor, or user mode, may read.
#[inline(always)]
pub(super) fn is_readable(address: u64, supervisor: bool) -> bool {
    let entry = entry(address);
    let rights = if supervisor { PRESENT } else { PRESENT | USER };
    entry & rights == rights && entry & UNCACHED == 0
}

/// Whether these bytes, fewer than a page, are mapped as a device's.
#[inline(always)]
pub(super) fn is_device(address: u64, length: u64) -> bool {
    let Some(last) = address.checked_add(length - 1) else { return false };
    let kind = PRESENT | UNCACHED;
    let mask = kind | STATE.get(C_MASK);
    entry(address) & mask == kind && entry(last) & mask == kind
}

/// Maps user memory with or without the C-bit.
///
/// # Safety
/// The range is [user memory](is_user_memory) that nothing refers to, in the state that is mapped.
#[inline(always)]
pub(super) unsafe fn remap(address: u64, length: u64, shared: bool) {
    let c_mask = if shared { 0 } else { STATE.get(C_MASK) };
    let flags = c_mask | PRESENT | LARGE | USER | NO_EXECUTE | WRITABLE;
    let mut page = address;
    while page < address + length {
        MEMORY.set((page / LARGE_PAGE) as usize, page | flags);
        page += LARGE_PAGE;
    }
    // SAFETY: only those pages have changed.
    unsafe { load() };
}

/// Maps device memory for user mode.
#[inline(always)]
pub(super) fn map_device(address: u64, length: u64) -> u64 {
    let Some(end) = address.checked_add(length) else { return NOT_ALLOWED };
    if length == 0 || address < STATE.get(MEMORY_END) || end > GHCB_WINDOW {
        return NOT_ALLOWED;
    }
    let mut page = address & !(LARGE_PAGE - 1);
    while page < end {
        let gib = (page >> 30) as usize;
        let Some(table) = device_table(gib) else { return NO_ROOM };
        let index = table * 512 + (page / LARGE_PAGE) as usize % 512;
        let entry = page | PRESENT | WRITABLE | USER | LARGE | UNCACHED | NO_EXECUTE;
        if gib < MEMORY_TABLES {
            MEMORY.set((page / LARGE_PAGE) as usize, entry);
        } else {
            DEVICES.set(index, entry);
        }
        page += LARGE_PAGE;
    }
    // SAFETY: nothing that was mapped has changed: device memory begins behind guest memory.
    unsafe { load() };
    DONE
}

/// Which device table maps this GiB; makes one if there is none.
#[inline(always)]
fn device_table(gib: usize) -> Option<usize> {
    if gib < MEMORY_TABLES {
        return Some(0);
    }
    if let Some(table) = find_device_table(gib) {
        return Some(table);
    }
    let table = STATE.get(DEVICE_TABLES_USED) as usize;
    if table >= DEVICE_TABLES {
        return None;
    }
    STATE.set(DEVICE_TABLES_USED, table as u64 + 1);
    let address = DEVICES.address() + 4096 * table as u64;
    PDPT.set(gib, address | STATE.get(C_MASK) | PRESENT | WRITABLE | USER);
    Some(table)
}

/// Which device table maps this GiB, behind those of memory.
#[inline(always)]
fn find_device_table(gib: usize) -> Option<usize> {
    let entry = PDPT.get(gib);
    if gib == GHCB_GIB || entry & PRESENT == 0 {
        return None;
    }
    let address = entry & !STATE.get(C_MASK) & !0xfff;
    Some((address - DEVICES.address()) as usize / 4096)
}

/// Loads CR3, which forgets every cached translation.
///
/// # Safety
/// The tables map what is in use.
#[inline(always)]
unsafe fn load() {
    let root = PML4.address() | STATE.get(C_MASK);
    // SAFETY: the caller's.
    unsafe { asm!("mov cr3, {}", in(reg) root, options(nostack)) };
}
