//! QEMU's teaching device (`docs/specs/edu` in QEMU's source): registers, a DMA engine, MSI.
//!
//! Its engine takes a tenth of a second for a transfer of less than 4 KiB, during which memory can
//! change sides: that is what the trials with conversions are about. Its addresses have 28 bits.

use super::pool::Pool;
use super::{
    FOREVER, Failure, PAGE, TRANSFER, failed, find, interrupts, is_all, no_memory, passed,
};
use crate::machine::Machine;
use crate::pci::Function;
use crate::shared::Piece;
use ravelin_driver::bus::Bus;
use ravelin_driver::clock::Clock;
use ravelin_driver::memory::SharedMemory;

const ID: (u16, u16) = (0x1234, 0x11e8);
/// Version 1.0, and "edu".
const IDENTIFICATION: u32 = 0x0100_00ed;

const REG_ID: u64 = 0x00;
const REG_LIVENESS: u64 = 0x04;
const REG_FACTORIAL: u64 = 0x08;
const REG_STATUS: u64 = 0x20;
const REG_INTERRUPT_STATUS: u64 = 0x24;
const REG_INTERRUPT_RAISE: u64 = 0x60;
const REG_INTERRUPT_ACKNOWLEDGE: u64 = 0x64;
const REG_DMA_SOURCE: u64 = 0x80;
const REG_DMA_DESTINATION: u64 = 0x88;
const REG_DMA_COUNT: u64 = 0x90;
const REG_DMA_COMMAND: u64 = 0x98;

const STATUS_COMPUTING: u32 = 1;
const DMA_START: u64 = 1;
const DMA_FROM_DEVICE: u64 = 2;
/// The device's own memory of 4 KiB, as its engine knows it.
const DEVICE_MEMORY: u64 = 0x4_0000;
const ADDRESS_LIMIT: u64 = 1 << 28;
/// Ten times what a transfer or a factorial takes, and more.
const PATIENCE_US: u64 = 10_000_000;

const CONVERSIONS: u64 = 10_000;
const POOL_PAGES: u64 = 12;
/// What the guest keeps in a private page, what it puts in a shared one, what the device writes.
const PRIVATE: u8 = 0x5a;
const SHARED: u8 = 0x33;
const DEVICE: u8 = 0xc7;

/// All trials; where the registers read all ones, that they are out of reach.
pub(in crate::workload) fn run(machine: &mut Machine) -> Result<(), Failure> {
    let mut edu = Edu { function: find(machine, ID)?, clock: machine.clock };
    if edu.function.register_read32(REG_ID) == u32::MAX {
        blocked(machine, &mut edu)?;
    } else {
        everything(machine, &mut edu)?;
    }
    // Whoever compares the IOMMU's mappings with what is shared now does it while the guest waits.
    while machine.parameters.get("repeat") == Some(FOREVER) {
        machine.wait(1_000_000);
    }
    Ok(())
}

fn everything(machine: &mut Machine, edu: &mut Edu) -> Result<(), Failure> {
    registers(machine, edu)?;
    message(machine, edu)?;
    let mailbox = machine.take_shared(PAGE).ok_or_else(no_memory)?;
    let pages = machine.parameters.number("pool")?.unwrap_or(POOL_PAGES);
    let mut pool = Pool::new(pages as usize)?;
    if pool.pages() < 2 {
        return Err(failed("bad-parameter", "pool= is at least 2"));
    }
    let last = pool.address(pool.pages() - 1) + PAGE as u64;
    if last.max(mailbox.address() + PAGE as u64) > ADDRESS_LIMIT {
        return Err(failed("out-of-reach", "edu's addresses end at 256 MiB; give the guest less"));
    }
    to_shared(machine, edu, &mailbox)?;
    to_private(machine, edu, &mailbox, &pool)?;
    conversions(machine, edu, &mailbox, &mut pool)?;
    every_page(machine, edu, &mailbox, &pool)?;
    let shared = (0..pool.pages()).filter(|page| pool.is_shared(*page)).count();
    passed("shared-now", shared as u64, machine.clock.now_us(), machine);
    Ok(())
}

/// Reads and writes the registers.
fn registers(machine: &Machine, edu: &mut Edu) -> Result<(), Failure> {
    let start = machine.clock.now_us();
    let id = edu.function.register_read32(REG_ID);
    if id != IDENTIFICATION {
        return Err(failed("identification", alloc::format!("it reads {id:#x}")));
    }
    edu.function.register_write32(REG_LIVENESS, 0x1234_5678);
    let live = edu.function.register_read32(REG_LIVENESS);
    if live != !0x1234_5678 {
        return Err(failed("liveness", alloc::format!("it reads {live:#x}")));
    }
    edu.function.register_write32(REG_FACTORIAL, 10);
    edu.until("factorial", |edu| edu.function.register_read32(REG_STATUS) & STATUS_COMPUTING == 0)?;
    let factorial = edu.function.register_read32(REG_FACTORIAL);
    if factorial != 3_628_800 {
        return Err(failed("factorial", alloc::format!("10! is {factorial}")));
    }
    passed("registers", 3, start, machine);
    Ok(())
}

/// A message-signalled interrupt arrives.
fn message(machine: &Machine, edu: &mut Edu) -> Result<(), Failure> {
    let start = machine.clock.now_us();
    edu.function.wake_on_message().map_err(|error| Failure::new("no-msi", &error))?;
    let function = &mut edu.function;
    if !interrupts(machine, || function.register_write32(REG_INTERRUPT_RAISE, 1)) {
        return Err(failed("no-interrupt", "the device's MSI does not arrive"));
    }
    let raised = edu.function.register_read32(REG_INTERRUPT_STATUS);
    edu.function.register_write32(REG_INTERRUPT_ACKNOWLEDGE, raised);
    passed("msi", 1, start, machine);
    Ok(())
}

/// DMA out of a shared page and into it.
fn to_shared(machine: &Machine, edu: &mut Edu, mailbox: &Piece) -> Result<(), Failure> {
    let start = machine.clock.now_us();
    edu.load(mailbox)?;
    mailbox.write(0, &[SHARED; TRANSFER]);
    edu.store(mailbox.address())?;
    if !is_all(mailbox, 0, DEVICE) {
        return Err(failed("dma-shared", "the device's bytes do not arrive in a shared page"));
    }
    passed("dma-shared", 2, start, machine);
    Ok(())
}

/// Row 15 of the threats: DMA into a private page and out of it.
fn to_private(
    machine: &Machine,
    edu: &mut Edu,
    mailbox: &Piece,
    pool: &Pool,
) -> Result<(), Failure> {
    let start = machine.clock.now_us();
    pool.fill(0, PRIVATE);
    edu.store(pool.address(0))?;
    if !pool.is(0, PRIVATE) {
        return Err(failed("dma-private", "the device has written to a private page"));
    }
    edu.fetch(pool.address(0))?;
    mailbox.write(0, &[SHARED; TRANSFER]);
    edu.store(mailbox.address())?;
    let mut found = [0; TRANSFER];
    mailbox.read(0, &mut found);
    if found.contains(&PRIVATE) {
        return Err(failed("dma-private", "the device has read a private page"));
    }
    if found == [SHARED; TRANSFER] {
        return Err(failed("dma-private", "the device does not work afterwards"));
    }
    passed("dma-private", 2, start, machine);
    Ok(())
}

/// Random conversions, with a transfer into a random page always under way.
fn conversions(
    machine: &Machine,
    edu: &mut Edu,
    mailbox: &Piece,
    pool: &mut Pool,
) -> Result<(), Failure> {
    let number = match machine.parameters.get("repeat") {
        Some(FOREVER) | None => CONVERSIONS,
        Some(_) => machine.parameters.required("repeat")?,
    };
    let mut random = Random(machine.parameters.number("seed")?.unwrap_or(1));
    let (start, mut transfers, mut done) = (machine.clock.now_us(), 0, 0);
    edu.load(mailbox)?;
    let mut flight = Flight::start(edu, pool, &mut random);
    while done < number {
        if !edu.is_busy() {
            flight.check(pool)?;
            transfers += 1;
            flight = Flight::start(edu, pool, &mut random);
        }
        let page = random.below(pool.pages());
        if !(flight.keeps && flight.page == page) {
            pool.toggle(page)?;
            // A page that is shared now may have what the device is writing.
            let reached = pool.is_shared(page) && flight.page == page;
            if !reached && !pool.is(page, 0) {
                return Err(failed("conversion", "a converted page is not empty"));
            }
            pool.fill(page, if pool.is_shared(page) { SHARED } else { PRIVATE });
            done += 1;
        }
    }
    edu.until("dma", |edu| !edu.is_busy())?;
    flight.check(pool)?;
    passed("transfers", transfers + 1, start, machine);
    passed("conversions", number, start, machine);
    Ok(())
}

/// A transfer into a page of the pool.
struct Flight {
    page: usize,
    /// Whether the page stays as it is meanwhile.
    keeps: bool,
    conversions: u64,
}

impl Flight {
    fn start(edu: &mut Edu, pool: &Pool, random: &mut Random) -> Self {
        let page = random.below(pool.pages());
        pool.fill(page, if pool.is_shared(page) { SHARED } else { PRIVATE });
        edu.start_store(pool.address(page));
        Self { page, keeps: random.below(2) == 0, conversions: pool.conversions(page) }
    }

    /// A page that is private has what the guest has put there, whatever it was when the device
    /// wrote. One that was shared all the time has what the device wrote.
    fn check(&self, pool: &Pool) -> Result<(), Failure> {
        let same = pool.conversions(self.page) == self.conversions;
        match pool.is_shared(self.page) {
            false if !pool.is(self.page, PRIVATE) => {
                Err(failed("dma-private", "the device has written to a private page"))
            }
            true if same && !pool.is(self.page, DEVICE) => {
                Err(failed("dma-shared", "the device's bytes do not arrive in a shared page"))
            }
            _ => Ok(()),
        }
    }
}

/// Asks the device which pages it reaches: those that are shared.
fn every_page(
    machine: &Machine,
    edu: &mut Edu,
    mailbox: &Piece,
    pool: &Pool,
) -> Result<(), Failure> {
    let start = machine.clock.now_us();
    edu.load(mailbox)?;
    for page in 0..pool.pages() {
        pool.fill(page, if pool.is_shared(page) { SHARED } else { PRIVATE });
        edu.store(pool.address(page))?;
        if pool.is(page, DEVICE) != pool.is_shared(page) {
            let state = if pool.is_shared(page) { "a shared" } else { "a private" };
            let message = alloc::format!("{state} page is wrongly in reach or out of it");
            return Err(failed("dma-reach", message));
        }
    }
    passed("every-page", pool.pages() as u64, start, machine);
    Ok(())
}

/// The registers read all ones, and nothing that is written does anything.
fn blocked(machine: &Machine, edu: &mut Edu) -> Result<(), Failure> {
    let start = machine.clock.now_us();
    for register in [REG_ID, REG_LIVENESS, REG_STATUS] {
        edu.function.register_write32(register, 0);
        if edu.function.register_read32(register) != u32::MAX {
            return Err(failed(
                "not-blocked",
                alloc::format!("register {register:#x} can be read"),
            ));
        }
    }
    if edu.function.register_read64(REG_DMA_SOURCE) != u64::MAX {
        return Err(failed("not-blocked", "the DMA engine can be read"));
    }
    passed("blocked", 4, start, machine);
    Ok(())
}

/// The device.
struct Edu {
    function: Function,
    clock: crate::clock::TscClock,
}

impl Edu {
    /// Puts [`DEVICE`] into the device's memory.
    fn load(&mut self, mailbox: &Piece) -> Result<(), Failure> {
        mailbox.write(0, &[DEVICE; TRANSFER]);
        self.fetch(mailbox.address())
    }

    /// Copies a page into the device's memory.
    fn fetch(&mut self, address: u64) -> Result<(), Failure> {
        self.start(address, DEVICE_MEMORY, DMA_START);
        self.until("dma", |edu| !edu.is_busy())
    }

    /// Copies the device's memory into a page.
    fn store(&mut self, address: u64) -> Result<(), Failure> {
        self.start_store(address);
        self.until("dma", |edu| !edu.is_busy())
    }

    fn start_store(&mut self, address: u64) {
        self.start(DEVICE_MEMORY, address, DMA_START | DMA_FROM_DEVICE);
    }

    fn start(&mut self, source: u64, destination: u64, command: u64) {
        self.function.register_write64(REG_DMA_SOURCE, source);
        self.function.register_write64(REG_DMA_DESTINATION, destination);
        self.function.register_write64(REG_DMA_COUNT, TRANSFER as u64);
        self.function.register_write64(REG_DMA_COMMAND, command);
    }

    fn is_busy(&mut self) -> bool {
        self.function.register_read64(REG_DMA_COMMAND) & DMA_START != 0
    }

    fn until(&mut self, what: &str, done: impl Fn(&mut Self) -> bool) -> Result<(), Failure> {
        let end = self.clock.now_us() + PATIENCE_US;
        while !done(self) {
            if self.clock.now_us() > end {
                return Err(failed("device-hangs", alloc::format!("{what} does not end")));
            }
            crate::call::wait(1_000_000);
        }
        Ok(())
    }
}

/// SplitMix64: the same trials from the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % limit as u64) as usize
    }
}
