//! Tries the machine out, for the VMM's tests: `probe=` names the trial.
//!
//! Each trial plays a guest that does something, right or wrong, and says on the console what came
//! of it. The tests look at the memory of the VMM for the other half.

// Trials that do what no workload may.
#![allow(unsafe_code)]

mod exits;

use super::Failure;
use crate::call;
use crate::machine::Machine;
use crate::ports::Serial;
use crate::report;
use core::fmt::Write;
use core::hint::black_box;
use ravelin_driver::clock::Clock;
use ravelin_driver::memory::SharedMemory;
use ravelin_report::Event;

/// Written to shared memory; the tests know it.
const SHARED_MARKER: &[u8; 16] = b"SHARED-MARKER-01";
/// Kept in private memory, assembled at run time so that the image itself does not have it.
const PRIVATE_MARKER_HALVES: [[u8; 8]; 2] = [*b"PRIVATE-", *b"MARKER02"];

/// Bytes of a long report line.
const CONSOLE_BYTES: usize = 16 << 10;
/// Accesses of a storm.
const STORM: u64 = 2000;

pub(super) fn run(machine: &mut Machine) -> Result<(), Failure> {
    match machine.parameters.get("probe") {
        Some("window") => super::on_gpu::probe_window(machine),
        Some("private-ring") => super::on_gpu::probe_private_ring(machine),
        Some("hello") => hello(),
        Some("markers") => markers(machine),
        Some("payload") => payload(machine.payload),
        Some("conversions") => conversions(),
        Some("supervisor") => read_supervisor(),
        Some("wait") => wait(machine, 50_000),
        Some("interrupt") => wait(machine, 4_000_000),
        Some("console") => console(machine),
        Some("storm") => storm(machine),
        Some("exits") => exits::run(machine),
        name => Err(Failure {
            code: "unknown-probe",
            message: alloc::format!("no probe is called {:?}", name.unwrap_or_default()),
        }),
    }
}

/// Says that it is there.
fn hello() -> Result<(), Failure> {
    say(format_args!("hello from user mode"));
    Ok(())
}

/// Puts one marker on each side.
fn markers(machine: &mut Machine) -> Result<(), Failure> {
    let piece = machine.take_shared(4096).ok_or_else(no_memory)?;
    piece.write(0, SHARED_MARKER);
    let private = black_box(black_box(PRIVATE_MARKER_HALVES).concat());
    say(format_args!("shared marker at {:#x}", piece.address()));
    say(format_args!("private marker at {:#x}", private.as_ptr() as u64));
    // Both must still be there when the tests look: the guest's memory is not freed at power-off.
    core::mem::forget(private);
    Ok(())
}

/// Says what the payload is.
fn payload(payload: &[u8]) -> Result<(), Failure> {
    let sum: u64 = payload.iter().map(|byte| u64::from(*byte)).sum();
    say(format_args!("payload {} bytes, sum {sum}", payload.len()));
    Ok(())
}

/// Asks for conversions that must be refused.
fn conversions() -> Result<(), Failure> {
    for (address, length) in [
        (0, call::LARGE_PAGE),                            // what the VMM left
        (call::LARGE_PAGE, call::LARGE_PAGE),             // the supervisor
        (2 * call::LARGE_PAGE, call::LARGE_PAGE),         // the image
        (16 * call::LARGE_PAGE + 4096, call::LARGE_PAGE), // not a large page
        (1 << 46, call::LARGE_PAGE),
        (u64::MAX - call::LARGE_PAGE + 1, call::LARGE_PAGE),
        (16 * call::LARGE_PAGE, 0),
    ] {
        if call::convert(address, length, true) != Err(call::Error::NotAllowed) {
            return Err(Failure {
                code: "conversion-allowed",
                message: alloc::format!("{length:#x} bytes at {address:#x}"),
            });
        }
    }
    for (address, length) in [(call::LARGE_PAGE, 1), (16 << 20, 4096), (u64::MAX, 1), (1 << 40, 0)]
    {
        if call::map_device(address, length) != Err(call::Error::NotAllowed) {
            return Err(Failure {
                code: "mapping-allowed",
                message: alloc::format!("{length:#x} bytes at {address:#x}"),
            });
        }
    }
    say(format_args!("all refused"));
    Ok(())
}

/// Reads what belongs to the supervisor: ends in an exception.
fn read_supervisor() -> Result<(), Failure> {
    let address = black_box(call::LARGE_PAGE);
    // SAFETY: the page is not user mode's, so this does not return.
    let value = unsafe { (address as *const u64).read_volatile() };
    say(format_args!("read {value:#x}"));
    Err(Failure { code: "supervisor-readable", message: alloc::string::String::new() })
}

/// Halts for a while.
fn wait(machine: &mut Machine, microseconds: u32) -> Result<(), Failure> {
    let start = machine.clock.now_us();
    machine.wait(microseconds);
    say(format_args!("waited {} us", machine.clock.now_us() - start));
    Ok(())
}

/// Writes much.
fn console(machine: &mut Machine) -> Result<(), Failure> {
    let start = machine.clock.now_us();
    report::send(&Event::GpuLost { index: 0, reason: "x".repeat(CONSOLE_BYTES) });
    say(format_args!("{CONSOLE_BYTES} bytes in {} us", machine.clock.now_us() - start));
    Ok(())
}

/// Touches device memory and ports where nothing is.
fn storm(machine: &mut Machine) -> Result<(), Failure> {
    let base = machine.parameters.required("storm")?;
    call::map_device(base, call::LARGE_PAGE).map_err(|error| Failure::new("map", &error))?;
    let mut all = u64::MAX;
    for index in 0..STORM {
        let address = base + (index * 0x1f3) % (call::LARGE_PAGE - 8);
        // SAFETY: device memory that is mapped and where nothing is, at every alignment.
        unsafe {
            all &= (address as *const u64).read_unaligned();
            (address as *mut u32).write_unaligned(index as u32);
        }
    }
    say(format_args!("nothing there: {}", all == u64::MAX));
    Ok(())
}

fn no_memory() -> Failure {
    Failure { code: "no-shared-memory", message: alloc::string::String::new() }
}

fn say(text: core::fmt::Arguments<'_>) {
    // The console takes everything.
    let _ = writeln!({ Serial::CONSOLE }, "{text}");
}
