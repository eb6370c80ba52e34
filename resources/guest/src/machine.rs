//! What a workload has to work with.

use crate::call;
use crate::clock::TscClock;
use crate::pci::{self, Function};
use crate::rng::HardwareRng;
use crate::secure_processor::SecureProcessor;
use crate::shared::{Arena, Piece};
use alloc::vec::Vec;
use ravelin_gpu_abi::{PCI_DEVICE_ID, PCI_VENDOR_ID};
use ravelin_workload::parameters::{self, Parameters};

/// The machine, as the user program's start found it.
pub struct Machine {
    /// The command line: what the guest is for.
    pub parameters: Parameters<'static>,
    /// What may differ at each start and must decide nothing: no launch measures it.
    pub hints: Parameters<'static>,
    /// What the launcher gave the guest to work on; readable by the host before it started the
    /// guest, so no secret.
    pub payload: &'static [u8],
    /// Time.
    pub clock: TscClock,
    /// Randomness.
    pub rng: HardwareRng,
    /// The AMD-SP, where there is one.
    pub secure_processor: Option<SecureProcessor>,
    /// Memory that is shared with the host.
    pub arena: Arena,
}

impl Machine {
    /// The APM GPUs on the bus, in the order of their device numbers, with their registers mapped.
    ///
    /// # Errors
    /// There is no bus, or a GPU is not where it can be reached.
    pub fn gpus(&self) -> Result<Vec<Function>, GpuError> {
        let mut gpus = pci::functions(self.parameters.required("ecam")?)?;
        gpus.retain(|function| function.id() == (PCI_VENDOR_ID, PCI_DEVICE_ID));
        for gpu in &mut gpus {
            gpu.map_registers()?;
        }
        Ok(gpus)
    }

    /// Bytes of shared memory that nobody has taken.
    pub fn shared_left(&self) -> usize {
        self.arena.left()
    }

    /// Takes shared memory for good. `None` when too little is left.
    pub fn take_shared(&mut self, length: usize) -> Option<Piece> {
        self.arena.take(length)
    }

    /// Halts until a device that [may](Function::wake_on_interrupts) wakes the processor, or so many
    /// microseconds have gone. May return early, so look again at what you wait for.
    pub fn wait(&self, microseconds: u32) {
        call::wait(microseconds.saturating_mul(1000));
    }
}

/// Why there are no GPUs to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GpuError {
    /// The command line does not say where the bus is.
    #[error("no PCI bus")]
    Parameter(#[from] parameters::Error),
    /// A function cannot be used.
    #[error("a GPU that cannot be reached")]
    Pci(#[from] pci::Error),
}
