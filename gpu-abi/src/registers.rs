//! BAR0: the registers of the GPU.
//!
//! Reads and writes of 4 bytes, or of 8 bytes at a multiple of 8; anything else reads all ones and
//! writes nothing. Registers are in clear and pass through the host: the driver never believes one
//! for anything but progress, and the GPU treats a written value as hostile.

use crate::Engine;

/// Reads [`MAGIC_VALUE`].
pub const MAGIC: u64 = 0x0000;
/// "RVGP", little-endian.
pub const MAGIC_VALUE: u32 = u32::from_le_bytes(*b"RVGP");
/// Version of this interface; reads [`VERSION_VALUE`].
pub const VERSION: u64 = 0x0004;
/// The version that this crate describes.
pub const VERSION_VALUE: u32 = 1;
/// State of the device: a [`Status`].
pub const STATUS: u64 = 0x0008;
/// Protection mode in force since the last reset: a [`Mode`].
pub const MODE: u64 = 0x000c;
/// Size of HBM in bytes, 64 bits.
pub const HBM_SIZE: u64 = 0x0010;
/// First byte of the protected region, 64 bits. Equal to [`PROTECTED_END`] in plain mode.
pub const PROTECTED_BASE: u64 = 0x0018;
/// First byte behind the protected region, 64 bits.
pub const PROTECTED_END: u64 = 0x0020;
/// Number of resets since power-on, 32 bits. A driver that sees it change has lost its session.
pub const RESET_COUNT: u64 = 0x0028;
/// Number of SPDM sessions established since power-on, 32 bits.
pub const SESSION_COUNT: u64 = 0x002c;
/// Number of accesses that the firewall refused since power-on, 64 bits.
pub const VIOLATIONS: u64 = 0x0030;
/// Where firmware set the bounds at boot and locked them: reads 1. Writing here, to
/// [`PROTECTED_BASE`] or to [`PROTECTED_END`] is a violation.
pub const BOUNDS_LOCKED: u64 = 0x0038;

/// First ring block; each [`Engine`] has one of [`RING_STRIDE`] bytes.
pub const RING_BLOCK: u64 = 0x1000;
/// Bytes between two ring blocks.
pub const RING_STRIDE: u64 = 0x100;
/// In a ring block: guest-physical address of the ring's descriptors, 64 bits, page-aligned.
pub const RING_ADDRESS: u64 = 0x00;
/// In a ring block: guest-physical address of the first slot, 64 bits, page-aligned.
pub const RING_SLOTS: u64 = 0x08;
/// In a ring block: number of entries, 32 bits, a power of two up to
/// [`ring::MAX_ENTRIES`](crate::ring::MAX_ENTRIES).
pub const RING_ENTRIES: u64 = 0x10;
/// In a ring block: bytes of a slot, 32 bits, a multiple of a page up to
/// [`ring::MAX_SLOT_SIZE`](crate::ring::MAX_SLOT_SIZE).
pub const RING_SLOT_SIZE: u64 = 0x14;
/// In a ring block: writing 1 takes the four values above into use, 0 stops the engine's ring;
/// reads 1 while the ring is in use. Values that break a rule leave the ring stopped.
pub const RING_ENABLE: u64 = 0x18;
/// In a ring block: writing anything wakes the engine, which then takes every request in sequence
/// that it finds. Reads 0.
pub const RING_DOORBELL: u64 = 0x1c;

/// The offset in BAR0 of a register of an engine's ring block.
pub const fn ring(engine: Engine, register: u64) -> u64 {
    RING_BLOCK + RING_STRIDE * engine as u64 + register
}

/// Value of [`STATUS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Status {
    /// Scrubbing memory and measuring firmware; no engine answers.
    Booting = 0,
    /// Ready for a session (or, in plain mode, for work).
    Ready = 1,
    /// A session is established and the engines take sealed records.
    Session = 2,
    /// A record failed: the session's keys are wiped. A new session or a reset leads out.
    Failed = 3,
}

impl Status {
    /// The status of this value; `None` for a value that is none, such as all ones from a device
    /// that is gone.
    pub fn from_value(value: u32) -> Option<Status> {
        Some(match value {
            0 => Status::Booting,
            1 => Status::Ready,
            2 => Status::Session,
            3 => Status::Failed,
            _ => return None,
        })
    }
}

/// Value of [`MODE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Mode {
    /// No protection: the whole HBM answers everyone and records are plain.
    Off = 0,
    /// Confidential: the protected region answers only the engines that SEC2 drives.
    On = 1,
    /// Confidential protocols, but with debug open. Worth nothing to a relying party.
    Devtools = 2,
}

impl Mode {
    /// The mode of this value.
    pub fn from_value(value: u32) -> Option<Mode> {
        Some(match value {
            0 => Mode::Off,
            1 => Mode::On,
            2 => Mode::Devtools,
            _ => return None,
        })
    }
}
