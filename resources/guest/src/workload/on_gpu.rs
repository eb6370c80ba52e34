//! Gives a GPU workload its surroundings: the machine's GPUs and shared memory, the documents to
//! judge it by, and a way out.

// The window on GPU memory is memory-mapped I/O.
#![allow(unsafe_code)]

use super::Failure;
use crate::clock::TscClock;
use crate::machine::Machine;
use crate::pci::Function;
use crate::rng::HardwareRng;
use crate::shared::Piece;
use crate::{call, report};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use rand_core::Rng;
use ravelin_driver::attest::Trust;
use ravelin_driver::{Clock, Gpu, Layout};
use ravelin_gpu_abi::{WINDOW_BAR, WINDOW_BAR_SIZE};
use ravelin_report::Event;
use ravelin_workload::documents::{self, Documents};
use ravelin_workload::fleet::Fleet;
use ravelin_workload::guarded::Guarded;
use ravelin_workload::probe::{self, Window};
use ravelin_workload::task::{Error, Host, Repeat};
use ravelin_workload::witness::Witness;
use ravelin_workload::{bench, digits, idle};

/// Bytes of a bench that the command line does not size.
const BENCH_SIZE: u64 = 64 << 20;
/// Longest single halt.
const NAP_US: u64 = 1_000_000;
const PAGE: usize = 4096;

type Subject<'a> = Guarded<'a, Function, Piece, TscClock, HardwareRng, Console>;
type Subjects<'a> = Fleet<'a, Function, Piece, TscClock, HardwareRng, Console>;

/// Recognises digits on every GPU.
pub(super) fn digits(machine: &mut Machine) -> Result<(), Failure> {
    let repeat = repeat(machine)?;
    let payload = machine.payload;
    with_gpus(machine, |subjects| digits::run(subjects, payload, repeat))
}

/// Measures the encrypted path to the first GPU.
pub(super) fn bench(machine: &mut Machine) -> Result<(), Failure> {
    let size = machine.parameters.number("size")?.unwrap_or(BENCH_SIZE);
    with_gpu(machine, |mut subject| bench::run(&mut subject, size))
}

/// Keeps every GPU attested.
pub(super) fn idle(machine: &mut Machine) -> Result<(), Failure> {
    with_gpus(machine, |subjects| idle::run(subjects, Repeat::Forever))
}

/// Reads and writes protected GPU memory through BAR2, which must be refused.
pub(super) fn probe_window(machine: &mut Machine) -> Result<(), Failure> {
    let gpus = gpus(machine)?;
    let gpu = gpus.first().ok_or_else(no_gpu)?;
    let address = gpu
        .map_bar(WINDOW_BAR, WINDOW_BAR_SIZE)
        .map_err(|error| Failure::new("no-window", &error))?;
    with_gpu(machine, |mut subject| probe::window(&mut subject, &mut Bar2(address)))
}

/// Gives the GPU a ring in private memory, which must be refused.
pub(super) fn probe_private_ring(machine: &mut Machine) -> Result<(), Failure> {
    let length = layout(machine)?.length();
    // Never freed: the GPU has been told its address.
    let memory = vec![0; length + 2 * PAGE].leak();
    let private = Piece::unshared(memory).ok_or_else(no_memory)?;
    with_gpu(machine, |subject| probe::private_ring(subject, private))
}

/// Runs a workload on the first GPU.
fn with_gpu(
    machine: &mut Machine,
    work: impl FnOnce(Subject<'_>) -> Result<(), Error>,
) -> Result<(), Failure> {
    let documents = pinned(machine)?;
    let mut gpus = gpus(machine)?;
    let layout = layout(machine)?;
    let subject = open(machine, 0, gpus.swap_remove(0), layout, documents.trust())?;
    work(subject).map_err(|error| Failure::new(error.code(), &error))
}

/// Runs a workload on all GPUs.
fn with_gpus(
    machine: &mut Machine,
    work: impl FnOnce(&mut Subjects<'_>) -> Result<(), Error>,
) -> Result<(), Failure> {
    let documents = pinned(machine)?;
    let gpus = gpus(machine)?;
    let (nonce, witness) = testimony(machine)?;
    let share = machine.shared_left() / gpus.len() / PAGE * PAGE;
    let layout = layout(machine)?.within(share).map_err(|_| no_memory())?;
    let places = gpus.into_iter().zip(0..);
    let subjects = places.map(|(gpu, place)| {
        let mut subject = open(machine, place, gpu, layout, documents.trust())?;
        if let Some(nonce) = nonce {
            subject.gpu.set_challenge(nonce);
            subject.show_evidence();
        }
        Ok(subject)
    });
    let subjects = Fleet::new(subjects.collect::<Result<_, Failure>>()?);
    let mut subjects = subjects.with_witness(witness);
    work(&mut subjects).map_err(|error| Failure::new(error.code(), &error))
}

/// Where the launcher asks for evidence: the nonce that all GPUs answer, and who testifies to them. On
/// platform `none` nobody does.
fn testimony(
    machine: &mut Machine,
) -> Result<(Option<[u8; 32]>, Option<Witness<'static>>), Failure> {
    if machine.parameters.get("evidence") != Some("report") {
        return Ok((None, None));
    }
    let nonce = match machine.hints.bytes("nonce")? {
        Some(nonce) => nonce,
        None => {
            let mut own = [0; 32];
            machine.rng.fill_bytes(&mut own);
            own
        }
    };
    let policy = machine.hints.bytes("policy")?;
    let witness = match machine.secure_processor.take() {
        Some(reporter) => Some(Witness::new(&mut machine.rng, nonce, policy, reporter)),
        None if nothing_is_protected(machine) => None,
        None => {
            let message = "the host has given the guest no secrets page, or too little memory";
            return Err(Failure { code: "no-report", message: message.into() });
        }
    };
    Ok((Some(nonce), witness))
}

fn nothing_is_protected(machine: &Machine) -> bool {
    machine.parameters.get("platform") == Some("none")
}

/// The GPUs on the bus, at least one.
fn gpus(machine: &Machine) -> Result<Vec<Function>, Failure> {
    let gpus = machine.gpus().map_err(|error| Failure::new("no-gpu", &error))?;
    if gpus.is_empty() { Err(no_gpu()) } else { Ok(gpus) }
}

/// Opens the GPU at a place, with memory of its own.
fn open<'a>(
    machine: &mut Machine,
    place: u32,
    gpu: Function,
    layout: Layout,
    trust: Trust<'a>,
) -> Result<Subject<'a>, Failure> {
    let shared = machine.take_shared(layout.length()).ok_or_else(no_memory)?;
    let gpu = Gpu::open(gpu, shared, machine.clock, layout)
        .map_err(|error| Failure::new(error.code(), &error))?;
    let console = Console { clock: machine.clock };
    Ok(Guarded::new(gpu, place, machine.rng, trust, console))
}

fn layout(machine: &Machine) -> Result<Layout, Failure> {
    match machine.parameters.number("chunk")? {
        None => Ok(Layout::default()),
        // What is no u32 is no size of a record either.
        Some(chunk) => Layout::for_records(u32::try_from(chunk).unwrap_or(u32::MAX))
            .map_err(|error| Failure::new("bad-parameter", &error)),
    }
}

fn repeat(machine: &Machine) -> Result<Repeat, Failure> {
    match machine.parameters.get("repeat") {
        Some("forever") => Ok(Repeat::Forever),
        _ => Ok(Repeat::Times(machine.parameters.number("repeat")?.unwrap_or(1))),
    }
}

/// What GPUs are judged by.
fn pinned(machine: &Machine) -> Result<Documents, Failure> {
    Documents::pinned(nothing_is_protected(machine))
        .map_err(|error| Failure::new(documents::Error::CODE, &error))
}

/// The report port, and the processor's rest.
struct Console {
    clock: TscClock,
}

impl Host for Console {
    fn report(&mut self, event: &Event) {
        report::send(event);
    }

    fn pause(&mut self, microseconds: u64) {
        let end = self.clock.now_us().saturating_add(microseconds);
        loop {
            // Interrupts end a halt early.
            let left = end.saturating_sub(self.clock.now_us()).min(NAP_US);
            if left == 0 {
                return;
            }
            call::wait(left as u32 * 1000);
        }
    }
}

/// BAR2, mapped at this address.
struct Bar2(u64);

impl Bar2 {
    /// The address of an access that stays within the window.
    fn at(&self, offset: u64, width: u8) -> Option<u64> {
        let end = offset.checked_add(width.into())?;
        (end <= WINDOW_BAR_SIZE).then(|| self.0 + offset)
    }
}

impl Window for Bar2 {
    fn read(&mut self, offset: u64, width: u8) -> u64 {
        let Some(at) = self.at(offset, width) else { return u64::MAX };
        // SAFETY: device memory, mapped up to the window's end. On this processor an unaligned
        // load is one instruction of this width; what the bus makes of it is what is asked.
        unsafe {
            match width {
                1 => u64::from((at as *const u8).read_volatile()),
                2 => u64::from(unaligned::load16(at)),
                4 => u64::from(unaligned::load32(at)),
                _ => unaligned::load64(at),
            }
        }
    }

    fn write(&mut self, offset: u64, width: u8, value: u64) {
        let Some(at) = self.at(offset, width) else { return };
        // SAFETY: as for reading.
        unsafe {
            match width {
                1 => (at as *mut u8).write_volatile(value as u8),
                2 => unaligned::store16(at, value as u16),
                4 => unaligned::store32(at, value as u32),
                _ => unaligned::store64(at, value),
            }
        }
    }
}

/// Single loads and stores at any alignment, which `read_volatile` does not promise.
mod unaligned {
    use core::arch::asm;

    macro_rules! accesses {
        ($($load:ident $store:ident $type:ty, $size:literal, $register:literal;)*) => {
            $(
                /// # Safety
                /// The address is mapped device memory.
                pub(super) unsafe fn $load(address: u64) -> $type {
                    let value: $type;
                    // SAFETY: the caller's; it reads device memory and nothing else.
                    unsafe {
                        asm!(
                            concat!("mov {value", $register, "}, ", $size, " ptr [{address}]"),
                            value = out(reg) value,
                            address = in(reg) address,
                            options(nostack, preserves_flags, readonly),
                        );
                    }
                    value
                }

                /// # Safety
                /// The address is mapped device memory.
                pub(super) unsafe fn $store(address: u64, value: $type) {
                    // SAFETY: the caller's; it writes device memory and nothing else.
                    unsafe {
                        asm!(
                            concat!("mov ", $size, " ptr [{address}], {value", $register, "}"),
                            value = in(reg) value,
                            address = in(reg) address,
                            options(nostack, preserves_flags),
                        );
                    }
                }
            )*
        };
    }

    accesses! {
        load16 store16 u16, "word", ":x";
        load32 store32 u32, "dword", ":e";
        load64 store64 u64, "qword", ":r";
    }
}

fn no_gpu() -> Failure {
    Failure { code: "no-gpu", message: "there is no GPU on the bus".into() }
}

fn no_memory() -> Failure {
    let message = String::from("too little memory for the rings; give the guest more");
    Failure { code: "no-shared-memory", message }
}
