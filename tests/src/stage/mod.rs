//! A guest's driver and a GPU in one process, with an attacker in between.
//!
//! [`pages::Pages`] is the memory that both share, and lets an attacker change what the GPU sees and
//! what the guest sees. [`bus::Wire`] is the PCI function, and lets an attacker change the data
//! objects of the mailbox. [`trust`] is what a guest holds the GPU's evidence against.

pub mod bus;
pub mod pages;
pub mod time;
pub mod trust;

use std::sync::Arc;

use ravelin_driver::{Bus, Gpu, Layout};
use ravelin_gpu_abi::Engine;
use ravelin_gpu_abi::registers::{self, Mode};
use ravelin_gpu_abi::ring::{request_offset, response_offset, slot_offset};
use ravelin_gpu_model as model;

use bus::Wire;
use pages::Pages;
use time::Monotonic;

/// The driver, as the tests use it.
pub type Driver = Gpu<Wire, Arc<Pages>, Monotonic>;

/// Bytes of HBM in tests: the window reaches the whole of it.
pub const HBM: u64 = 64 << 20;
/// How long a driver in a test waits for a silent GPU, in microseconds.
pub const PATIENCE_US: u64 = 300_000;

/// A machine: a GPU, memory, and the wire between.
pub struct Stage {
    /// The GPU.
    pub gpu: Arc<model::Gpu>,
    /// The memory that guest and GPU share.
    pub pages: Arc<Pages>,
}

/// Where an engine's ring lies in [`Pages`], as anyone can read it from the registers.
#[derive(Clone, Copy, Debug)]
pub struct RingPlace {
    descriptors: u64,
    slots: u64,
    entries: u32,
    slot_size: u32,
}

impl RingPlace {
    /// Offset of a request's descriptor.
    pub fn request(&self, sequence: u64) -> usize {
        (self.descriptors + request_offset(sequence, self.entries)) as usize
    }

    /// Offset of a response's descriptor.
    pub fn response(&self, sequence: u64) -> usize {
        (self.descriptors + response_offset(sequence, self.entries)) as usize
    }

    /// Offset of a slot.
    pub fn slot(&self, sequence: u64) -> usize {
        (self.slots + slot_offset(sequence, self.entries, self.slot_size)) as usize
    }
}

/// Interrupts that nobody waits for: the driver polls.
struct NoInterrupts;

impl model::Interrupts for NoInterrupts {
    fn raise(&self, _: u16) {}
}

/// The GPU that tests use, where they say nothing else.
pub fn config() -> model::GpuConfig {
    model::GpuConfig {
        memory: HBM,
        mode: Mode::On,
        serial: 1,
        identity: None,
        firmware: model::FirmwareSet::current(),
    }
}

impl Stage {
    /// A GPU of this kind, with memory for the default layout.
    pub fn new(config: model::GpuConfig) -> Stage {
        let pages = Arc::new(Pages::new(Layout::default().length()));
        let memory = Arc::clone(&pages) as Arc<dyn model::HostMemory>;
        let gpu = model::Gpu::power_on(config, memory, Arc::new(NoInterrupts)).unwrap();
        Stage { gpu, pages }
    }

    /// A GPU in confidential mode.
    pub fn confidential() -> Stage {
        Stage::new(config())
    }

    /// Where an engine's ring is, once a driver has set it up.
    pub fn ring(&self, engine: Engine) -> RingPlace {
        let mut wire = self.wire();
        let register = |register| registers::ring(engine, register);
        RingPlace {
            descriptors: wire.register_read64(register(registers::RING_ADDRESS)) - pages::BASE,
            slots: wire.register_read64(register(registers::RING_SLOTS)) - pages::BASE,
            entries: wire.register_read32(register(registers::RING_ENTRIES)),
            slot_size: wire.register_read32(register(registers::RING_SLOT_SIZE)),
        }
    }

    /// The first byte of protected memory.
    pub fn protected(&self) -> u64 {
        self.wire().register_read64(registers::PROTECTED_BASE)
    }

    /// The wire to the GPU.
    pub fn wire(&self) -> Wire {
        Wire::new(Arc::clone(&self.gpu))
    }

    /// A driver for the GPU, over `wire`.
    pub fn driver_over(&self, wire: Wire) -> Driver {
        let pages = Arc::clone(&self.pages);
        let mut driver = Gpu::open(wire, pages, Monotonic::new(), Layout::default()).unwrap();
        driver.set_patience(PATIENCE_US);
        driver
    }

    /// A driver for the GPU, not attested yet.
    pub fn driver(&self) -> Driver {
        self.driver_over(self.wire())
    }

    /// A driver with a session.
    pub fn attested(&self) -> Driver {
        let mut driver = self.driver();
        trust::attest(&mut driver).unwrap();
        driver
    }
}
