//! The programming interface of the APM GPU: what its driver and its model both have to know.
//!
//! Three things and nothing else: the [registers] of BAR0, the [ring] that an engine and the driver
//! share in guest memory, and the [command] records that the compute engine obeys. Everything is
//! little-endian. The crate has no code that acts: layouts, encoders and decoders only, so that
//! neither side of the trust boundary can bring behaviour into the other.

#![no_std]

pub mod command;
pub mod registers;
pub mod ring;

/// PCI vendor id of the model. 0x1234 belongs to no vendor; emulators use it for made-up devices.
pub const PCI_VENDOR_ID: u16 = 0x1234;
/// PCI device id of the model ("AP").
pub const PCI_DEVICE_ID: u16 = 0x4150;
/// PCI class code: display controller, 3D controller, no programming interface (PCI Code and ID
/// Assignment Specification, 1.4).
pub const PCI_CLASS: u32 = 0x03_02_00;

/// BAR0: [registers], 64-bit, not prefetchable.
pub const REGISTERS_BAR: u8 = 0;
/// Size of BAR0 in bytes.
pub const REGISTERS_BAR_SIZE: u64 = 64 << 10;
/// BAR2: the window on HBM, 64-bit, prefetchable. It begins at HBM address 0 and reaches past the
/// unprotected part on purpose: what lies behind the bound is the firewall's to refuse.
pub const WINDOW_BAR: u8 = 2;
/// Size of BAR2 in bytes; a GPU with less HBM answers all ones behind its end.
pub const WINDOW_BAR_SIZE: u64 = 256 << 20;
/// BAR4: MSI-X table and pending bits, 64-bit, not prefetchable; and the shared window where the
/// GPU has one.
pub const MSIX_BAR: u8 = 4;
/// Size of BAR4 in bytes: the table in the first page, the pending bits in the second.
pub const MSIX_BAR_SIZE: u64 = 8 << 10;
/// Size of BAR4 in bytes where the GPU has a shared window: memory that guest and GPU share, for a
/// guest whose driver has no other. The BAR is prefetchable then, and its upper half the window.
pub const SHARED_BAR_SIZE: u64 = 64 << 20;
/// Where the shared window begins in such a BAR.
pub const SHARED_WINDOW_OFFSET: u64 = SHARED_BAR_SIZE / 2;
/// Bytes of the shared window.
pub const SHARED_WINDOW_SIZE: u64 = SHARED_BAR_SIZE - SHARED_WINDOW_OFFSET;
/// MSI-X vectors: one an [`Engine`], by its number, and one for device events.
pub const MSIX_VECTORS: u16 = 4;
/// The vector raised on device events: reset, ready, session failed.
pub const EVENT_VECTOR: u16 = 3;

/// The engines that have a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Engine {
    /// Kernel launches and their replies.
    Command = 0,
    /// Copies from guest memory to HBM: the request carries the data, the response is empty.
    CopyIn = 1,
    /// Copies from HBM to guest memory: the request is empty, the response carries the data.
    CopyOut = 2,
}

impl Engine {
    /// Every engine, in the order of their numbers.
    pub const ALL: [Engine; 3] = [Engine::Command, Engine::CopyIn, Engine::CopyOut];

    /// The engine of this number.
    pub fn from_index(index: u32) -> Option<Engine> {
        Engine::ALL.get(index as usize).copied()
    }

    /// The engine's number: its MSI-X vector, and its place in [`Engine::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}
