//! What user mode may ask for. Numbers and results are in [`ravelin_guest::call`].

use super::{apic, ghcb, processor, tables};
use ravelin_guest::call::{ANSWERED, DONE, NOT_ALLOWED, PRIVATE, REFUSED, SHARED, number};
use ravelin_snp::ghcb::guest::MESSAGE_PAGES;
use ravelin_snp::ghcb::page_state::Operation;
use ravelin_snp::pvalidate;

/// From `entry.s`, for each call.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".supervisor.text.call")]
extern "C" fn supervisor_call(number: u32, a: u64, b: u64, c: u64) -> u64 {
    if number == number::CONVERT {
        convert(a, b, c)
    } else if number == number::MAP_DEVICE {
        let result = tables::map_device(a, b);
        // What is mapped is often touched next, and that has to reach the VMM. KVM from 6.14 on takes an
        // access that it emulates for one in the midst of this call's exception if there was no exit
        // between the two and the processor is QEMU's: that leaves the exception's type in
        // EXITINTINFO, and KVM does not look at the bit that says it is of the past. This is an exit.
        processor::cpuid(0);
        result
    } else if number == number::WAIT {
        apic::wait(a);
        DONE
    } else if number == number::GUEST_REQUEST {
        guest_request(a, b)
    } else {
        NOT_ALLOWED
    }
}

/// The host writes to shared pages only, so that it does not matter here whether these are.
#[inline(always)]
fn guest_request(address: u64, certificates: u64) -> u64 {
    let pages = certificates.saturating_add(MESSAGE_PAGES);
    if !tables::is_user_pages(address, pages) || tables::c_mask() == 0 {
        return NOT_ALLOWED;
    }
    match ghcb::guest().guest_request(address, certificates) {
        Some(status) => ANSWERED | status,
        None => REFUSED,
    }
}

#[inline(always)]
fn convert(address: u64, length: u64, to: u64) -> u64 {
    if !tables::is_user_memory(address, length) || (to != PRIVATE && to != SHARED) {
        return NOT_ALLOWED;
    }
    if tables::c_mask() == 0 {
        // One memory: the pages are as shared as they are private.
        return DONE;
    }
    let shared = to == SHARED;
    let operation = if shared { Operation::Shared } else { Operation::Private };
    // A page is the guest's until it gives it up, and not before it has taken it.
    if shared {
        validate(address, length, false);
    }
    if !ghcb::guest().convert(address, length, operation) {
        return REFUSED;
    }
    // SAFETY: checked above, and the caller gives up what stood there.
    unsafe { tables::remap(address, length, shared) };
    if !shared {
        validate(address, length, true);
    }
    DONE
}

/// The pages are mapped private.
#[inline(always)]
fn validate(address: u64, length: u64, validated: bool) {
    if let Err(cause) = pvalidate::range(&mut ghcb::Hardware, address, length, validated) {
        ghcb::give_up(cause);
    }
}
