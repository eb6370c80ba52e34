//! What this crate asks of a physical device, whoever answers: the kernel's VFIO, or a recording fake
//! in tests.
//!
//! Nothing here knows the guest. Offsets in a [`Region`] are within it, and an access that the kernel
//! refuses is an error with its reason, for the caller to turn into all ones.

use std::any::Any;
use std::io;
use std::sync::Arc;
use vmm_sys_util::eventfd::EventFd;

/// A region's number: BAR 0 to 5, or configuration space.
pub type RegionIndex = u32;
/// Configuration space (`VFIO_PCI_CONFIG_REGION_INDEX`).
pub const CONFIG_REGION: RegionIndex = 7;

/// A region of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// Bytes; 0 where the device has none of that number.
    pub size: u64,
    /// Whether it can be mapped into this process.
    pub mappable: bool,
}

/// Kinds of message-signalled interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InterruptKind {
    /// Message Signalled Interrupts.
    Msi,
    /// MSI-X.
    MsiX,
}

/// Part of a region in this process's memory, until it is dropped.
pub struct Mapping {
    /// Where.
    pub host: u64,
    /// Bytes.
    pub length: u64,
    /// Unmaps it when it goes.
    pub owner: Box<dyn Any + Send + Sync>,
}

/// A device that a bus reset would reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusNeighbour {
    /// Its address, as `0000:01:00.0`.
    pub bdf: String,
    /// Whether it is ours: owned through what this device is owned through, or by nobody.
    pub ours: bool,
}

/// A device of the host's, opened for us alone.
pub trait Hardware: Send + Sync {
    /// Where it is, as `0000:01:00.0`.
    fn bdf(&self) -> &str;
    /// Describes a region.
    ///
    /// # Errors
    /// The device is gone.
    fn region(&self, index: RegionIndex) -> io::Result<Region>;
    /// Reads a region, whole.
    ///
    /// # Errors
    /// The kernel or the device refuses; `data` is of no meaning then.
    fn read(&self, index: RegionIndex, offset: u64, data: &mut [u8]) -> io::Result<()>;
    /// Writes a region, whole.
    ///
    /// # Errors
    /// The kernel or the device refuses.
    fn write(&self, index: RegionIndex, offset: u64, data: &[u8]) -> io::Result<()>;
    /// Maps whole pages of a region into this process.
    ///
    /// # Errors
    /// The kernel refuses.
    fn map(&self, index: RegionIndex, offset: u64, length: u64) -> io::Result<Mapping>;
    /// The most interrupts of a kind; 0 where the device has none.
    ///
    /// # Errors
    /// The device is gone.
    fn interrupts(&self, kind: InterruptKind) -> io::Result<u32>;
    /// Turns a kind of interrupt on, one event for each vector from 0 on. No events: turns it off.
    ///
    /// # Errors
    /// The host has no such number of vectors.
    fn set_interrupts(&self, kind: InterruptKind, events: &[Arc<EventFd>]) -> io::Result<()>;
    /// Has an event written when the host wants the device back.
    ///
    /// # Errors
    /// The kernel does not tell.
    fn on_release_request(&self, event: &EventFd) -> io::Result<()>;
    /// Whether the function can be reset alone.
    fn resettable(&self) -> bool;
    /// Resets the function alone (`VFIO_DEVICE_RESET`).
    ///
    /// # Errors
    /// It cannot be, or does not come back.
    fn reset(&self) -> io::Result<()>;
    /// Everyone that a reset of its bus would reach, itself included.
    ///
    /// # Errors
    /// The device has no bus to reset.
    fn bus_neighbours(&self) -> io::Result<Vec<BusNeighbour>>;
    /// Resets its bus (`VFIO_DEVICE_PCI_HOT_RESET`).
    ///
    /// # Errors
    /// The kernel refuses, or a device does not come back.
    fn reset_bus(&self) -> io::Result<()>;
}
