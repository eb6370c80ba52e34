//! #VC: instructions that an SNP guest's processor leaves to the guest.
//!
//! What is done for which is [`handler`]'s; here is what it is done with: the frame that `entry.s` pushed,
//! the page tables, the CPUID page. Only SNP raises the exception. Where a hypervisor makes one up, the
//! guest ends, unless it is what SNP would have raised, and then nothing is lost.

use super::ghcb::{self, Hardware};
use super::{processor, tables};
use core::sync::atomic::{AtomicBool, Ordering};
use ravelin_guest::start_info;
use ravelin_snp::cpuid::page::{CpuidPage, Enabled};
use ravelin_snp::ghcb::guest::Guest;
use ravelin_snp::ghcb::termination::Cause;
use ravelin_snp::vc::handler::{self, Machine};

/// Words of the frame, behind the general registers: the vector, then what the processor pushes.
const CODE: usize = 17;
const RIP: usize = 18;
const CS: usize = 19;
const RFLAGS: usize = 20;
const WORDS: usize = 23;

/// The privilege level in CS.
const CPL: u64 = 0b11;

#[unsafe(link_section = ".bss.supervisor.vc")]
static BUSY: AtomicBool = AtomicBool::new(false);

/// From `entry.s`.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".supervisor.text.vc")]
extern "C" fn supervisor_vc(frame: *mut u64) {
    if BUSY.load(Ordering::Relaxed) {
        // The handler's own instructions raise none, and the frame of the one before is lost.
        ghcb::give_up(Cause::Nested);
    }
    BUSY.store(true, Ordering::Relaxed);
    if let Err(cause) = handler::handle(&mut Interrupted { frame, ghcb: ghcb::guest() }) {
        ghcb::give_up(cause);
    }
    BUSY.store(false, Ordering::Relaxed);
}

struct Interrupted {
    frame: *mut u64,
    ghcb: Guest<Hardware>,
}

impl Interrupted {
    #[inline(always)]
    fn word(&self, index: usize) -> u64 {
        if index >= WORDS {
            return 0;
        }
        // SAFETY: within the frame, which is on the exception's stack.
        unsafe { self.frame.add(index).read_volatile() }
    }

    /// Volatile: the compiler must make no SIMD of it.
    #[inline(always)]
    fn set_word(&mut self, index: usize, value: u64) {
        if index < WORDS {
            // SAFETY: as for `word`.
            unsafe { self.frame.add(index).write_volatile(value) };
        }
    }
}

impl Machine for Interrupted {
    type Hypervisor = Hardware;

    #[inline(always)]
    fn code(&self) -> u64 {
        self.word(CODE)
    }

    #[inline(always)]
    fn register(&self, number: u8) -> u64 {
        self.word((number & 0xf).into())
    }

    #[inline(always)]
    fn set_register(&mut self, number: u8, value: u64) {
        self.set_word((number & 0xf).into(), value);
    }

    #[inline(always)]
    fn instruction(&self) -> u64 {
        self.word(RIP)
    }

    #[inline(always)]
    fn set_instruction(&mut self, address: u64) {
        self.set_word(RIP, address);
    }

    #[inline(always)]
    fn flags(&self) -> u64 {
        self.word(RFLAGS)
    }

    #[inline(always)]
    fn is_supervisor(&self) -> bool {
        self.word(CS) & CPL == 0
    }

    #[inline(always)]
    fn byte(&self, address: u64) -> Option<u8> {
        if tables::is_readable(address, self.is_supervisor()) {
            // SAFETY: the page is mapped as memory, for whoever was interrupted.
            Some(unsafe { (address as *const u8).read_volatile() })
        } else {
            None
        }
    }

    #[inline(always)]
    fn is_device(&self, address: u64, length: u64) -> bool {
        tables::is_device(address, length)
    }

    #[inline(always)]
    fn cpuid(&self, leaf: u32, subleaf: u32) -> Option<[u32; 4]> {
        // SAFETY: private memory that the launch filled and nothing writes to.
        let page = unsafe { &*(start_info::CPUID as *const CpuidPage) };
        page.answer(
            leaf,
            subleaf,
            Enabled { osxsave: processor::has_os_xsave(), xcr0: processor::xcr0(), xss: 0 },
        )
    }

    #[inline(always)]
    fn ghcb(&mut self) -> Option<&mut Guest<Hardware>> {
        if ghcb::is_open() { Some(&mut self.ghcb) } else { None }
    }
}
