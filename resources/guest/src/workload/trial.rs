//! Tries devices out that the host has passed to the guest: QEMU's teaching device ([`edu`]) and an NVMe
//! controller ([`nvme`]).
//!
//! They have what Ravelin's own GPU has not: DMA past the VMM, through the host's IOMMU. Each trial is
//! reported when it has gone as it must; the first one that has not ends the guest with its name.
//! `repeat=` says how many.

pub(super) mod edu;
pub(super) mod nvme;
mod pool;

use super::Failure;
use crate::machine::Machine;
use crate::pci::Function;
use crate::{pci, report};
use alloc::string::String;
use ravelin_driver::clock::Clock;
use ravelin_driver::memory::SharedMemory;
use ravelin_report::Event;

/// Time enough for any interrupt, even in a machine that is emulated.
const PATIENCE_US: u32 = 4_000_000;
/// A halt that lasts as long as this has not been cut short by an interrupt.
const QUIET_US: u32 = 20_000;
const PAGE: usize = 4096;
/// Bytes of a transfer. The teaching device takes less than a page.
const TRANSFER: usize = 2048;
/// `repeat=` on the command line, if there is no end.
const FOREVER: &str = "forever";

/// Finds a device by vendor and device id, wherever it stands, ready for use.
fn find(machine: &Machine, id: (u16, u16)) -> Result<Function, Failure> {
    let functions = pci::functions(machine.parameters.required("ecam")?)
        .map_err(|error| Failure::new("no-device", &error))?;
    let mut function =
        functions.into_iter().find(|function| function.id() == id).ok_or_else(|| {
            let message = alloc::format!("no device {:04x}:{:04x} is on the bus", id.0, id.1);
            Failure { code: "no-device", message }
        })?;
    function.map_registers().map_err(|error| Failure::new("no-device", &error))?;
    function.start_dma();
    Ok(function)
}

/// Says that a trial has gone well: how often it was made, and in what time.
fn passed(name: &str, count: u64, since: u64, machine: &Machine) {
    let took_us = machine.clock.now_us() - since;
    report::send(&Event::Trial { name: name.into(), count, took_us });
}

/// Whether `raise` brings an interrupt.
fn interrupts(machine: &Machine, raise: impl FnOnce()) -> bool {
    let halt = |longest| {
        let start = machine.clock.now_us();
        machine.wait(longest);
        machine.clock.now_us() - start
    };
    // What has been on its way before is no answer.
    while halt(QUIET_US) < u64::from(QUIET_US) {}
    raise();
    halt(PATIENCE_US) < u64::from(PATIENCE_US) / 2
}

fn failed(code: &'static str, message: impl Into<String>) -> Failure {
    Failure { code, message: message.into() }
}

/// Whether a piece of memory is all `byte` where a transfer goes.
fn is_all(memory: &impl SharedMemory, offset: usize, byte: u8) -> bool {
    let mut bytes = [0; TRANSFER];
    memory.read(offset, &mut bytes);
    bytes.iter().all(|found| *found == byte)
}

fn no_memory() -> Failure {
    failed("no-shared-memory", "too little memory for the trials; give the guest more")
}
