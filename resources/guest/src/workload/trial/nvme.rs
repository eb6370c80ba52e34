//! An NVMe controller (NVM Express Base Specification 1.4): its admin queues in shared memory, commands
//! that it completes with an MSI-X interrupt, and what a reset from outside does to it.
//!
//! The host may reset the controller at any time: it has forgotten its queues then and is set up
//! again. One that reads all ones has vanished, which is reported and no failure.

use super::{FOREVER, Failure, PAGE, failed, find, interrupts, is_all, no_memory, passed};
use crate::machine::Machine;
use crate::pci::Function;
use crate::shared::Piece;
use alloc::vec;
use ravelin_driver::bus::Bus;
use ravelin_driver::clock::Clock;
use ravelin_driver::memory::SharedMemory;

/// QEMU's.
const ID: (u16, u16) = (0x1b36, 0x0010);

/// Section 3.1: controller registers.
const REG_CAPABILITIES: u64 = 0x00;
const REG_CONFIGURATION: u64 = 0x14;
const REG_STATUS: u64 = 0x1c;
const REG_QUEUE_SIZES: u64 = 0x24;
const REG_SUBMISSIONS: u64 = 0x28;
const REG_COMPLETIONS: u64 = 0x30;
const REG_DOORBELLS: u64 = 0x1000;

/// Enable; entries of 64 and 16 bytes.
const ENABLE: u32 = 1 | 6 << 16 | 4 << 20;
const READY: u32 = 1;
const ENTRIES: u16 = 8;
const SUBMISSION: usize = 64;
const COMPLETION: usize = 16;
const IDENTIFY: u32 = 0x06;
/// CNS 1: the controller.
const CONTROLLER: u32 = 1;
const PATIENCE_US: u64 = 20_000_000;
/// Between two looks at a controller that has vanished, or two rounds.
const PAUSE_US: u32 = 20_000;
/// The host notices within this time that a controller has vanished, and more.
const NOTICED_US: u64 = 5_000_000;
const PRIVATE: u8 = 0x5a;

/// Where things are in the shared memory.
const SUBMISSIONS: usize = 0;
const COMPLETIONS: usize = PAGE;
const DATA: usize = 2 * PAGE;

/// Commands, `repeat` of them.
pub(in crate::workload) fn run(machine: &mut Machine) -> Result<(), Failure> {
    let memory = machine.take_shared(3 * PAGE).ok_or_else(no_memory)?;
    let private = Piece::unshared(vec![PRIVATE; 2 * PAGE].leak()).ok_or_else(no_memory)?;
    let rounds = match machine.parameters.get("repeat") {
        Some(FOREVER) => u64::MAX,
        _ => machine.parameters.number("repeat")?.unwrap_or(1),
    };
    let mut nvme = Nvme { function: find(machine, ID)?, memory, head: 0, tail: 0, phase: true };
    nvme.set_up(machine)?;
    to_private(machine, &mut nvme, &private)?;
    let mut round = 0;
    while round < rounds {
        let start = machine.clock.now_us();
        match nvme.state() {
            State::Ready => match identify(machine, &mut nvme) {
                Ok(()) => {
                    round += 1;
                    passed("identify", round, start, machine);
                    machine.wait(PAUSE_US);
                }
                // A reset in the midst of a command is no failure.
                Err(_) if nvme.state() != State::Ready => {}
                Err(failure) => return Err(failure),
            },
            State::Reset => match nvme.set_up(machine) {
                Ok(()) => passed("reset", 1, start, machine),
                Err(failure) => nvme.excuse(machine, failure)?,
            },
            State::Vanished => {
                passed("vanished", 1, start, machine);
                while nvme.state() == State::Vanished {
                    machine.wait(PAUSE_US);
                }
            }
        }
    }
    Ok(())
}

/// The controller says who it is, into shared memory, and interrupts.
fn identify(machine: &Machine, nvme: &mut Nvme) -> Result<(), Failure> {
    nvme.memory.write(DATA, &[0; PAGE]);
    let address = nvme.memory.address() + DATA as u64;
    if !interrupts(machine, || nvme.submit(address)) {
        return Err(failed("no-interrupt", "the controller's MSI-X interrupt does not arrive"));
    }
    match nvme.complete(machine)? {
        0 => {}
        status => return Err(failed("identify", alloc::format!("status {status:#x}"))),
    }
    let mut vendor = [0; 2];
    nvme.memory.read(DATA, &mut vendor);
    if u16::from_le_bytes(vendor) != ID.0 {
        return Err(failed("dma-shared", "the controller's bytes do not arrive in a shared page"));
    }
    Ok(())
}

/// Row 15 of the threats: the controller cannot say it into private memory.
fn to_private(machine: &Machine, nvme: &mut Nvme, private: &Piece) -> Result<(), Failure> {
    let start = machine.clock.now_us();
    nvme.submit(private.address());
    // Whatever the controller says of it.
    nvme.complete(machine)?;
    if !is_all(private, 0, PRIVATE) {
        return Err(failed("dma-private", "the controller has written to a private page"));
    }
    passed("dma-private", 1, start, machine);
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    /// It has forgotten its queues.
    Reset,
    Vanished,
}

struct Nvme {
    function: Function,
    memory: Piece,
    head: u16,
    tail: u16,
    phase: bool,
}

impl Nvme {
    fn state(&mut self) -> State {
        match self.function.register_read32(REG_STATUS) {
            u32::MAX => State::Vanished,
            status if status & READY != 0 => State::Ready,
            _ => State::Reset,
        }
    }

    /// Section 7.6.1: initialization.
    fn set_up(&mut self, machine: &Machine) -> Result<(), Failure> {
        // A reset may have switched all of it off.
        self.function.start_dma();
        self.function.wake_on_interrupts(1).map_err(|error| Failure::new("no-msi-x", &error))?;
        self.function.register_write32(REG_CONFIGURATION, 0);
        self.until(machine, |status| status & READY == 0)?;
        self.memory.write(SUBMISSIONS, &[0; 2 * PAGE]);
        (self.head, self.tail, self.phase) = (0, 0, true);
        let entries = u32::from(ENTRIES - 1);
        self.function.register_write32(REG_QUEUE_SIZES, entries << 16 | entries);
        let base = self.memory.address();
        self.function.register_write64(REG_SUBMISSIONS, base + SUBMISSIONS as u64);
        self.function.register_write64(REG_COMPLETIONS, base + COMPLETIONS as u64);
        self.function.register_write32(REG_CONFIGURATION, ENABLE);
        self.until(machine, |status| status & READY != 0)
    }

    fn until(&mut self, machine: &Machine, there: impl Fn(u32) -> bool) -> Result<(), Failure> {
        let end = machine.clock.now_us() + PATIENCE_US;
        loop {
            let status = self.function.register_read32(REG_STATUS);
            if there(status) {
                return Ok(());
            }
            if status == u32::MAX || machine.clock.now_us() > end {
                return Err(failed("device-hangs", alloc::format!("its status is {status:#x}")));
            }
            machine.wait(1000);
        }
    }

    /// A controller that could not be set up because it is vanishing has not failed. Until the host
    /// notices, in under a second, its registers need not read all ones.
    fn excuse(&mut self, machine: &Machine, failure: Failure) -> Result<(), Failure> {
        let end = machine.clock.now_us() + NOTICED_US;
        while self.state() != State::Vanished {
            if machine.clock.now_us() > end {
                return Err(failure);
            }
            machine.wait(PAUSE_US);
        }
        Ok(())
    }

    /// Asks the controller who it is. Figure 247: Identify.
    fn submit(&mut self, answer: u64) {
        let mut command = [0; SUBMISSION];
        command[..4].copy_from_slice(&(IDENTIFY | u32::from(self.tail) << 16).to_le_bytes());
        command[24..32].copy_from_slice(&answer.to_le_bytes());
        command[40..44].copy_from_slice(&CONTROLLER.to_le_bytes());
        self.memory.write(SUBMISSIONS + usize::from(self.tail) * SUBMISSION, &command);
        self.tail = (self.tail + 1) % ENTRIES;
        self.function.register_write32(REG_DOORBELLS, self.tail.into());
    }

    /// Takes the next completion; its status.
    fn complete(&mut self, machine: &Machine) -> Result<u16, Failure> {
        let end = machine.clock.now_us() + PATIENCE_US;
        loop {
            let mut entry = [0; COMPLETION];
            self.memory.read(COMPLETIONS + usize::from(self.head) * COMPLETION, &mut entry);
            let status = u16::from_le_bytes([entry[14], entry[15]]);
            if (status & 1 != 0) == self.phase {
                self.head = (self.head + 1) % ENTRIES;
                self.phase ^= self.head == 0;
                let stride = self.function.register_read64(REG_CAPABILITIES) >> 32 & 0xf;
                let doorbell = REG_DOORBELLS + (4 << stride);
                self.function.register_write32(doorbell, self.head.into());
                return Ok(status >> 1);
            }
            if machine.clock.now_us() > end || self.state() != State::Ready {
                return Err(failed("device-hangs", "a command does not end"));
            }
            machine.wait(1000);
        }
    }
}
