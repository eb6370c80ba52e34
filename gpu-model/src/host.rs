//! What the GPU needs from the machine that it is plugged into: guest memory and interrupts.
//!
//! Both are traits, so that the model knows no VMM. What stands behind [`HostMemory`] decides which
//! memory a device may reach (the DMA gate); the model treats all of it as hostile.

use thiserror::Error;

/// Guest memory as the bus shows it to the GPU.
///
/// Calls may block; a reset of the GPU does not wait for them. An aligned access of 8 bytes must be
/// a single load or store, since it carries a descriptor's sequence number.
pub trait HostMemory: Send + Sync {
    /// Copies guest-physical memory from `address` into `buffer`: all of it, or a fault.
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), DmaFault>;
    /// Copies `bytes` to guest-physical memory at `address`: all of it, or a fault.
    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), DmaFault>;
}

/// The interrupt lines of the GPU.
pub trait Interrupts: Send + Sync {
    /// Signals MSI-X `vector`, below [`ravelin_gpu_abi::MSIX_VECTORS`]. Must not block.
    fn raise(&self, vector: u16);
}

/// Why an access to guest memory did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DmaFault {
    /// Some page of the range is not shared with devices now.
    #[error("DMA to memory that is not shared: convert it before the transfer")]
    NotShared,
    /// The range overflows or holds no memory.
    #[error("DMA outside guest memory: check the address in the ring")]
    OutOfRange,
}
