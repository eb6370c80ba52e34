//! The first steps at CPL 3: memory is divided, the heap begins, the workload runs.
//!
//! Memory from the image on: payload, heap, and at its end the arena that is shared with the host.

// Entry by the supervisor, raw memory for heap and arena.
#![allow(unsafe_code)]

use alloc::string::String;
use core::arch::asm;
use core::fmt::Write;
use core::ops::Range;
use core::panic::PanicInfo;
use core::slice;
use ravelin_guest::call::LARGE_PAGE;
use ravelin_guest::clock::TscClock;
use ravelin_guest::machine::Machine;
use ravelin_guest::ports::{Serial, power_off};
use ravelin_guest::rng::HardwareRng;
use ravelin_guest::secure_processor::SecureProcessor;
use ravelin_guest::shared::Arena;
use ravelin_guest::start_info::{self, StartInfo};
use ravelin_guest::workload::{self, Failure};
use ravelin_guest::{processor, report};
use ravelin_report::Event;
use ravelin_workload::parameters::Parameters;
use talc::TalcLock;
use talc::source::Manual;

#[global_allocator]
static HEAP: TalcLock<spinning_top::RawSpinlock, Manual> = TalcLock::new(Manual);

/// A little heap before memory is divided: for saying why it cannot be.
const FIRST_HEAP_SIZE: usize = 64 << 10;
static mut FIRST_HEAP: [u8; FIRST_HEAP_SIZE] = [0; FIRST_HEAP_SIZE];

/// Memory that the supervisor maps for user mode ends here at the latest.
const MOST_MEMORY: u64 = 3 << 30;
/// Shared with the host: rings and slots of all GPUs.
const ARENA_SIZE: u64 = 16 << 20;

unsafe extern "C" {
    static __image_end: u8;
}

/// From the supervisor: `start_info` is the address that the VMM gave.
#[unsafe(no_mangle)]
extern "C" fn user_start(start_info: u64) -> ! {
    // SAFETY: the first heap is nobody else's.
    unsafe { HEAP.lock().claim((&raw mut FIRST_HEAP).cast(), FIRST_HEAP_SIZE) };
    let (result, message) = match run(start_info) {
        Ok(()) => ("ok", String::new()),
        Err(failure) => (failure.code, failure.message),
    };
    if result != "ok" {
        // The console takes everything.
        let _ = writeln!({ Serial::CONSOLE }, "guest: {result}: {message}");
    }
    report::finished(result, message);
    power_off()
}

fn run(start_info: u64) -> Result<(), Failure> {
    if !processor::has_hardware_aes() {
        return Err(Failure {
            code: "no-hardware-aes",
            message: "the processor shows no AES-NI and PCLMULQDQ".into(),
        });
    }
    // SAFETY: what the VMM left, up to the secrets page, never written to.
    let low = unsafe {
        slice::from_raw_parts(
            start_info::FIRST as *const u8,
            (start_info::SECRETS - start_info::FIRST) as usize,
        )
    };
    let info =
        StartInfo::read(low, start_info).map_err(|error| Failure::new("bad-start-info", &error))?;
    let memory = Division::new(&info).ok_or_else(|| Failure {
        code: "bad-start-info",
        message: "payload, heap and shared memory do not fit guest memory".into(),
    })?;
    // SAFETY: three ranges of memory behind the image that do not overlap and that nothing else
    // uses. The payload is only read from here on; the heap is the allocator's.
    let (payload, arena) = unsafe {
        let heap = &memory.heap;
        HEAP.lock().claim(heap.start as *mut u8, (heap.end - heap.start) as usize);
        let length = (memory.payload.end - memory.payload.start) as usize;
        let payload = slice::from_raw_parts(memory.payload.start as *const u8, length);
        (payload, Arena::share(memory.arena, ARENA_SIZE))
    };
    let mut arena = arena.map_err(|error| Failure::new("no-shared-memory", &error))?;
    let parameters = Parameters::new(info.command_line);
    let hints = Parameters::new(info.hints);
    let clock = TscClock::new(hints.required("tsc_khz")?);
    // SAFETY: memory that the VMM left, private, to which nothing else refers.
    let secrets = unsafe { take_page(start_info::SECRETS) };
    let secure_processor = SecureProcessor::new(secrets, &mut arena);
    let rng = HardwareRng::new().ok_or_else(|| Failure {
        code: "no-hardware-randomness",
        message: "the processor has no working RDRAND".into(),
    })?;
    report::send(&Event::Ready { guest: "builtin".into() });
    let machine = Machine { parameters, hints, payload, clock, rng, secure_processor, arena };
    workload::run(&mut { machine })
}

/// Takes a page out of memory: it is zeros afterwards.
///
/// # Safety
/// The page is mapped, and nothing refers to it.
unsafe fn take_page(address: u64) -> [u8; 4096] {
    let page = address as *mut [u8; 4096];
    // SAFETY: the caller's.
    unsafe {
        let bytes = page.read_volatile();
        page.write_volatile([0; 4096]);
        bytes
    }
}

/// Who gets which memory behind the image.
struct Division {
    payload: Range<u64>,
    heap: Range<u64>,
    /// The arena's first byte; it ends where memory ends.
    arena: u64,
}

impl Division {
    /// `None` where it does not fit.
    fn new(info: &StartInfo<'_>) -> Option<Division> {
        let image_end = &raw const __image_end as u64;
        let end = info.memory_end.min(MOST_MEMORY) / LARGE_PAGE * LARGE_PAGE;
        let arena = end.checked_sub(ARENA_SIZE)?;
        let payload = match info.payload.is_empty() {
            true => image_end..image_end,
            false => info.payload.clone(),
        };
        let heap = payload.end.checked_next_multiple_of(LARGE_PAGE)?..arena;
        (payload.start >= image_end && !heap.is_empty()).then_some(Division {
            payload,
            heap,
            arena,
        })
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // No allocation: the allocator may be what panicked.
    let _ = writeln!({ Serial::CONSOLE }, "guest panic: {info}");
    Serial::REPORT.write_bytes(
        b"{\"event\":\"finished\",\"result\":\"guest-panic\",\"message\":\"see the guest's console\"}\n",
    );
    power_off()
}

/// The precompiled `alloc` refers to it in landing pads that nothing reaches: panics end the guest.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    // SAFETY: raises an exception, which the supervisor reports.
    unsafe { asm!("ud2", options(noreturn)) }
}
