//! The way to the hypervisor: what differs between the platforms, and nothing else.
//!
//! | | `emulated` | `snp` |
//! | --- | --- | --- |
//! | a request | `wrmsr` to the GHCB MSR, which itself reaches the VMM | and VMGEXIT behind it |
//! | a page changes hands | nothing | PVALIDATE |
//!
//! SEV_STATUS says which it is: no hypervisor can intercept that register on SNP. What is asked, and which
//! answers are taken, is [`guest`](ravelin_snp::ghcb::guest)'s on both.

use super::processor::{rdmsr, wrmsr};
use super::tables::{GHCB_ADDRESS, GHCB_WINDOW};
use core::arch::asm;
use core::sync::atomic::{AtomicBool, Ordering};
use ravelin_snp::ghcb::guest::{Guest, Hypervisor};
use ravelin_snp::ghcb::page_state::PageSize;
use ravelin_snp::ghcb::termination::Cause;
use ravelin_snp::msr;
use ravelin_snp::pvalidate::{self, Outcome, Processor};

/// Whether the two instructions exist and are needed.
#[unsafe(link_section = ".bss.supervisor.ghcb")]
static SNP: AtomicBool = AtomicBool::new(false);
#[unsafe(link_section = ".bss.supervisor.ghcb")]
static OPEN: AtomicBool = AtomicBool::new(false);

/// The GHCB MSR and page, and the processor's account of pages.
pub(super) struct Hardware;

/// The conversation with the hypervisor.
#[inline(always)]
pub(super) fn guest() -> Guest<Hardware> {
    Guest::new(Hardware, GHCB_ADDRESS)
}

/// Finds out the platform, agrees with the hypervisor, and opens the GHCB. Where memory is encrypted, once,
/// when the tables that show the GHCB are in use.
#[inline(always)]
pub(super) fn start() -> Result<(), Cause> {
    // SAFETY: the MSR is there wherever a C-bit is, and reading it changes nothing.
    let status = unsafe { rdmsr(msr::SEV_STATUS) };
    SNP.store(status & msr::SEV_STATUS_SEV_SNP != 0, Ordering::Relaxed);
    let mut guest = guest();
    guest.agree()?;
    pvalidate::small(&mut Hardware, GHCB_ADDRESS, false)?;
    guest.open()?;
    OPEN.store(true, Ordering::Relaxed);
    Ok(())
}

/// Whether requests in the page can be made.
#[inline(always)]
pub(super) fn is_open() -> bool {
    OPEN.load(Ordering::Relaxed)
}

/// Ends the guest by the GHCB protocol.
#[inline(always)]
pub(super) fn give_up(cause: Cause) -> ! {
    guest().terminate(cause);
    loop {
        // SAFETY: whoever lets the guest go on all the same gets nothing out of it.
        unsafe { asm!("cli", "hlt", options(nostack, nomem)) };
    }
}

impl Hypervisor for Hardware {
    #[inline(always)]
    fn exchange(&mut self, request: u64) -> u64 {
        // SAFETY: the MSR is there wherever a C-bit is, and the hypervisor writes to shared pages only.
        // `rep vmmcall` is VMGEXIT under SEV-ES, which SEV-SNP includes.
        unsafe {
            wrmsr(msr::GHCB, request);
            if SNP.load(Ordering::Relaxed) {
                asm!(".byte 0xf3, 0x0f, 0x01, 0xd9", options(nostack));
            }
            // A request in the page is answered there.
            if request & 0xfff == 0 { request } else { rdmsr(msr::GHCB) }
        }
    }

    #[inline(always)]
    fn read(&mut self, offset: usize) -> u64 {
        // SAFETY: the window maps the page, aligned, and nothing else refers to it.
        unsafe { ((GHCB_WINDOW + offset as u64) as *const u64).read_volatile() }
    }

    #[inline(always)]
    fn write(&mut self, offset: usize, value: u64) {
        // SAFETY: as for `read`.
        unsafe { ((GHCB_WINDOW + offset as u64) as *mut u64).write_volatile(value) };
    }
}

impl Processor for Hardware {
    #[inline(always)]
    fn pvalidate(&mut self, address: u64, size: PageSize, validated: bool) -> Outcome {
        if !SNP.load(Ordering::Relaxed) {
            return Outcome { status: 0, unchanged: false };
        }
        let (status, unchanged): (u64, u8);
        // SAFETY: PVALIDATE, which SEV-SNP has. It changes no memory, only who may use it: the caller's
        // pages, to which nothing refers.
        unsafe {
            asm!(
                ".byte 0xf2, 0x0f, 0x01, 0xff",
                "setc {unchanged}",
                inlateout("rax") address => status,
                in("ecx") u32::from(matches!(size, PageSize::Large)),
                in("edx") u32::from(validated),
                unchanged = out(reg_byte) unchanged,
                options(nostack),
            );
        }
        Outcome { status: status as u32, unchanged: unchanged != 0 }
    }
}
