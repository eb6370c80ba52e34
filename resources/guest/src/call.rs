//! What user mode asks of the supervisor: the numbers, and the calls themselves.
//!
//! Four calls and no more. Console, report and power-off need none, since user mode does its own
//! port I/O.
//!
//! A call is the instruction `ud2` with [`MAGIC`] in RAX: an exception is the one way to CPL 0 that
//! every KVM has. On hosts without hardware virtualization `syscall` stays at CPL 3 and `int` faults.

// A call is an instruction.
#![allow(unsafe_code)]

use core::arch::asm;
use ravelin_snp::ghcb::guest_request::Status;

/// In the upper half of RAX: the `ud2` is a call. The number is in the lower half.
pub const MAGIC: u32 = 0x5261_766c;

/// Numbers of the calls.
pub mod number {
    /// Make whole large pages private or shared: address, length, [`SHARED`](super::SHARED) or
    /// [`PRIVATE`](super::PRIVATE).
    pub const CONVERT: u32 = 1;
    /// Map device memory: address, length.
    pub const MAP_DEVICE: u32 = 2;
    /// Halt until an interrupt: most nanoseconds.
    pub const WAIT: u32 = 3;
    /// Send a message to the AMD-SP: address of the shared pages, number of those behind the second.
    pub const GUEST_REQUEST: u32 = 4;
}

/// To [`number::CONVERT`]: the guest alone shall see the pages.
pub const PRIVATE: u64 = 1;
/// To [`number::CONVERT`]: the host and its devices shall see the pages too.
pub const SHARED: u64 = 2;

/// The supervisor did what it was asked.
pub const DONE: u64 = 0;
/// The supervisor was asked for something that it does not do: pages that are not user mode's.
pub const NOT_ALLOWED: u64 = 1;
/// The host refused.
pub const REFUSED: u64 = 2;
/// No room for page tables.
pub const NO_ROOM: u64 = 3;

/// Of [`number::GUEST_REQUEST`]: the host has made the request. The other bits are SW_EXITINFO2.
pub const ANSWERED: u64 = 1 << 63;

/// Bytes of the pages that the supervisor maps and converts.
pub const LARGE_PAGE: u64 = 2 << 20;

/// Data of an interrupt message that wakes [`wait`]: a vector whose handler does nothing else.
pub const WAKE_VECTOR: u32 = 32;
/// Address of that message: the local APIC of processor 0.
pub const WAKE_ADDRESS: u64 = 0xfee0_0000;

/// Why a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The pages are not user mode's to change or map.
    #[error("the supervisor does not do that to these pages")]
    NotAllowed,
    /// The host refused.
    #[error("the host refused the request")]
    Refused,
    /// Too much device memory.
    #[error("the supervisor has no page table left for device memory")]
    NoRoom,
}

/// Makes pages shared or private again. What stood in them is lost.
///
/// # Errors
/// The range is not whole large pages of user memory outside the image, or the host refused.
pub fn convert(address: u64, length: u64, shared: bool) -> Result<(), Error> {
    call(number::CONVERT, address, length, if shared { SHARED } else { PRIVATE })
}

/// Maps device memory at its own address, uncached, never executable.
///
/// # Errors
/// The range is guest memory or too large.
pub fn map_device(address: u64, length: u64) -> Result<(), Error> {
    call(number::MAP_DEVICE, address, length, 0)
}

/// Halts the processor until an interrupt comes, or for so many nanoseconds. May return early.
pub fn wait(nanoseconds: u32) {
    // It cannot fail.
    let _ = call(number::WAIT, nanoseconds.into(), 0, 0);
}

/// Sends the guest message in the first page at `address` to the AMD-SP. The answer is in the second;
/// `certificates` pages behind it take the host's certificates, if there are any. What the host says
/// became of it; the answer itself is another matter.
///
/// # Errors
/// The pages are not user memory, or the host does not know the request.
pub fn guest_request(address: u64, certificates: u64) -> Result<Status, Error> {
    match raw(number::GUEST_REQUEST, address, certificates, 0) {
        answered if answered & ANSWERED != 0 => Ok(Status::decode(answered & !ANSWERED)),
        REFUSED => Err(Error::Refused),
        _ => Err(Error::NotAllowed),
    }
}

fn call(number: u32, a: u64, b: u64, c: u64) -> Result<(), Error> {
    match raw(number, a, b, c) {
        DONE => Ok(()),
        REFUSED => Err(Error::Refused),
        NO_ROOM => Err(Error::NoRoom),
        _ => Err(Error::NotAllowed),
    }
}

fn raw(number: u32, a: u64, b: u64, c: u64) -> u64 {
    let result: u64;
    let number = u64::from(MAGIC) << 32 | u64::from(number);
    // SAFETY: the supervisor keeps what the C calling convention keeps, RSP included; it touches
    // user memory only by changing the state of pages that `convert`'s caller owns.
    unsafe {
        asm!(
            "ud2",
            inlateout("rax") number => result,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            clobber_abi("sysv64"),
        );
    }
    result
}
