//! Conversions and guest messages by the GHCB protocol.
//!
//! Requests go out by `wrmsr` to the GHCB MSR. On the emulated platform that instruction itself
//! reaches the VMM; SEV-ES hardware wants a VMGEXIT behind it, and SEV-SNP a PVALIDATE for each page
//! that becomes private. Neither may be executed without them, and SEV_STATUS says that they are not
//! active here.

use super::processor::{rdmsr, wrmsr};
use super::tables::{GHCB_ADDRESS, GHCB_WINDOW};
use core::sync::atomic::{AtomicBool, Ordering};
use ravelin_guest::call::LARGE_PAGE;
use ravelin_snp::ghcb::page::{Field, SHARED_BUFFER, exit_code};
use ravelin_snp::ghcb::page_state::{
    ENTRY_SIZE, Entry, HEADER_SIZE, MAX_ENTRIES, Operation, PageSize, Status,
};
use ravelin_snp::ghcb::protocol::{Request, Response};
use ravelin_snp::{ghcb, msr};

const VALID_BITMAP: usize = 0x3f0;
const PROTOCOL_VERSION: usize = 0xffa;

const GHCB_GFN: u64 = GHCB_ADDRESS / ghcb::PAGE_SIZE as u64;
// What is asked and answered is always the same, so the codecs run when the image is built.
const SHARE: u64 =
    Request::PageStateChange { gfn: GHCB_GFN, operation: Operation::Shared }.encode();
const SHARED: u64 = Response::PageStateChange(0).encode();
const REGISTER: u64 = Request::RegisterGhcb(GHCB_GFN).encode();
const REGISTERED_THERE: u64 = Response::RegisteredGhcb(Some(GHCB_GFN)).encode();
const EXIT: u64 = Request::Ghcb(GHCB_ADDRESS).encode();
const COMPLETE: u64 = Status::Complete.encode();

/// A guest message travels in one page and its answer in the next.
pub(super) const MESSAGE_PAGES: u64 = 2;
const PAGE: u64 = ghcb::PAGE_SIZE as u64;

#[unsafe(link_section = ".bss.supervisor.ghcb")]
static REGISTERED: AtomicBool = AtomicBool::new(false);

/// Asks the hypervisor to change large pages. On failure some may have changed.
#[inline(always)]
pub(super) fn convert(address: u64, length: u64, operation: Operation) -> bool {
    if !REGISTERED.load(Ordering::Relaxed) && !register() {
        return false;
    }
    let mut page = address;
    let end = address + length;
    while page < end {
        let mut count = 0;
        while page < end && count < MAX_ENTRIES {
            let gfn = page / ghcb::PAGE_SIZE as u64;
            let entry = Entry { current_page: 0, gfn, operation, size: PageSize::Large };
            write(SHARED_BUFFER + HEADER_SIZE + ENTRY_SIZE * count, entry.encode());
            page += LARGE_PAGE;
            count += 1;
        }
        if !change(count as u64) {
            return false;
        }
    }
    true
}

/// Performs the first `count` entries of the structure in the GHCB.
#[inline(always)]
fn change(count: u64) -> bool {
    // The header: current entry 0, last entry.
    write(SHARED_BUFFER, (count - 1) << 16);
    clear_valid();
    set(Field::ExitCode, exit_code::PAGE_STATE_CHANGE);
    set(Field::ExitInfo1, 0);
    set(Field::ExitInfo2, 0);
    set(Field::Scratch, GHCB_ADDRESS + SHARED_BUFFER as u64);
    // SAFETY: the MSR is there wherever a C-bit is, and the host writes to the GHCB page only.
    unsafe { wrmsr(msr::GHCB, EXIT) };
    let refused = read(Field::ExitInfo1 as usize) as u32 != 0;
    let status = read(Field::ExitInfo2 as usize);
    let header = read(SHARED_BUFFER);
    let (current, last) = (header & 0xffff, header >> 16 & 0xffff);
    !refused && status == COMPLETE && current > last && last == count - 1
}

/// Sends the guest message in a page and has its answer in the next one, and the host's certificates in
/// so many behind it. SW_EXITINFO2; `None` where the host does not know the request.
#[inline(always)]
pub(super) fn guest_request(address: u64, certificates: u64) -> Option<u64> {
    if !REGISTERED.load(Ordering::Relaxed) && !register() {
        return None;
    }
    clear_valid();
    set(
        Field::ExitCode,
        if certificates == 0 {
            exit_code::GUEST_REQUEST
        } else {
            exit_code::EXTENDED_GUEST_REQUEST
        },
    );
    set(Field::ExitInfo1, address);
    set(Field::ExitInfo2, address + PAGE);
    set(Field::Rax, address + MESSAGE_PAGES * PAGE);
    set(Field::Rbx, certificates);
    // SAFETY: the MSR is there wherever a C-bit is, and the host writes to shared pages only.
    unsafe { wrmsr(msr::GHCB, EXIT) };
    let refused = read(Field::ExitInfo1 as usize) as u32 != 0;
    if refused { None } else { Some(read(Field::ExitInfo2 as usize)) }
}

/// Makes the GHCB page shared and tells the hypervisor where it is.
#[inline(always)]
fn register() -> bool {
    if ask(SHARE) != SHARED || ask(REGISTER) != REGISTERED_THERE {
        return false;
    }
    // Version and usage; the rest of the page is not looked at.
    write(PROTOCOL_VERSION & !7, u64::from(ghcb::VERSION) << (8 * (PROTOCOL_VERSION & 7)));
    REGISTERED.store(true, Ordering::Relaxed);
    true
}

/// One exchange of the MSR protocol.
#[inline(always)]
fn ask(request: u64) -> u64 {
    // SAFETY: the MSR is there wherever a C-bit is.
    unsafe {
        wrmsr(msr::GHCB, request);
        rdmsr(msr::GHCB)
    }
}

#[inline(always)]
fn clear_valid() {
    write(VALID_BITMAP, 0);
    write(VALID_BITMAP + 8, 0);
}

#[inline(always)]
fn set(field: Field, value: u64) {
    let bit = field as usize / 8;
    let word = VALID_BITMAP + bit / 64 * 8;
    write(word, read(word) | 1 << (bit % 64));
    write(field as usize, value);
}

/// Writes a word of the GHCB page; `offset` is a multiple of 8 below 4096.
#[inline(always)]
fn write(offset: usize, value: u64) {
    // SAFETY: the window maps the page, aligned, and nothing else refers to it.
    unsafe { ((GHCB_WINDOW + offset as u64) as *mut u64).write_volatile(value) };
}

/// Reads a word of the GHCB page.
#[inline(always)]
fn read(offset: usize) -> u64 {
    // SAFETY: as for `write`.
    unsafe { ((GHCB_WINDOW + offset as u64) as *const u64).read_volatile() }
}
