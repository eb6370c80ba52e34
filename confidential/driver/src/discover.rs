//! The room `discover`: is this function a GPU that the driver knows, and where is its mailbox?
//!
//! Nothing here is proof of anything: a host can imitate all of it. Proof is [`attest`]'s business.
//!
//! [`attest`]: mod@crate::attest

use ravelin_gpu_abi::registers::{self, Mode, Status};
use ravelin_gpu_abi::{PCI_DEVICE_ID, PCI_VENDOR_ID};

use crate::bus::Bus;
use crate::clock::Clock;

/// First extended capability (PCIe 6.0, 7.6.1).
const EXTENDED_CAPABILITIES: u16 = 0x100;
/// Extended capability id of Data Object Exchange (PCIe 6.0, 7.9.24).
const DOE_CAPABILITY: u16 = 0x002e;
/// No list in 4096 bytes is longer: the smallest capability has 4.
const MOST_CAPABILITIES: usize = (4096 - EXTENDED_CAPABILITIES as usize) / 4;
/// Command register: memory space and bus master (PCI 3.0, 6.2.2). Status bits are written as
/// zero, which leaves them.
const COMMAND: u16 = 0x04;
const MEMORY_SPACE_AND_BUS_MASTER: u32 = 0b110;
/// How long a GPU may scrub its memory and measure its firmware.
const BOOT_TIMEOUT_US: u64 = 30_000_000;
/// Between two looks at a GPU that is booting.
const BOOT_POLL_US: u64 = 200;

/// Why there is no GPU to talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The function is another device, or none.
    #[error("PCI device {vendor:04x}:{device:04x} is not an APM GPU; give the driver another one")]
    NotAGpu {
        /// Vendor id read.
        vendor: u16,
        /// Device id read.
        device: u16,
    },
    /// BAR0 does not answer as a GPU.
    #[error("BAR0 reads {0:#010x} instead of the GPU's magic; check how the BAR is mapped")]
    Magic(u32),
    /// Another version of the programming interface.
    #[error("The GPU speaks interface version {0}, the driver version 1; update one of them")]
    Version(u32),
    /// No data object exchange: the GPU cannot be attested.
    #[error("The GPU has no DOE mailbox; it cannot be attested")]
    NoMailbox,
    /// The GPU did not become ready.
    #[error("The GPU is not ready: status {0:#x}; reset it")]
    NotReady(u32),
    /// A register holds a value that means nothing.
    #[error("The GPU's mode register reads {0:#x}; reset it")]
    Mode(u32),
}

/// What the bus says about a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Offset of the DOE capability in configuration space.
    pub mailbox: u16,
    /// Protection mode, as claimed.
    pub mode: Mode,
    /// Bytes of HBM, as claimed.
    pub hbm_size: u64,
    /// First byte of the protected region, as claimed.
    pub protected_base: u64,
    /// First byte behind the protected region, as claimed.
    pub protected_end: u64,
    /// Resets since power-on.
    pub reset_count: u32,
}

/// Looks at the function and waits until it has booted.
pub fn discover(bus: &mut impl Bus, clock: &impl Clock) -> Result<Device, Error> {
    let id = bus.config_read(0);
    let (vendor, device) = (id as u16, (id >> 16) as u16);
    if (vendor, device) != (PCI_VENDOR_ID, PCI_DEVICE_ID) {
        return Err(Error::NotAGpu { vendor, device });
    }
    let mailbox = extended_capability(bus, DOE_CAPABILITY).ok_or(Error::NoMailbox)?;
    let command = bus.config_read(COMMAND) & 0xffff;
    bus.config_write(COMMAND, command | MEMORY_SPACE_AND_BUS_MASTER);

    let magic = bus.register_read32(registers::MAGIC);
    if magic != registers::MAGIC_VALUE {
        return Err(Error::Magic(magic));
    }
    let version = bus.register_read32(registers::VERSION);
    if version != registers::VERSION_VALUE {
        return Err(Error::Version(version));
    }
    booted(bus, clock)?;
    let mode = bus.register_read32(registers::MODE);
    Ok(Device {
        mailbox,
        mode: Mode::from_value(mode).ok_or(Error::Mode(mode))?,
        hbm_size: bus.register_read64(registers::HBM_SIZE),
        protected_base: bus.register_read64(registers::PROTECTED_BASE),
        protected_end: bus.register_read64(registers::PROTECTED_END),
        reset_count: bus.register_read32(registers::RESET_COUNT),
    })
}

/// Waits for the end of the GPU's boot.
fn booted(bus: &mut impl Bus, clock: &impl Clock) -> Result<(), Error> {
    let start = clock.now_us();
    loop {
        let value = bus.register_read32(registers::STATUS);
        match Status::from_value(value) {
            Some(Status::Booting) => {}
            Some(_) => return Ok(()),
            None => return Err(Error::NotReady(value)),
        }
        let looked = clock.now_us();
        if looked.saturating_sub(start) > BOOT_TIMEOUT_US {
            return Err(Error::NotReady(value));
        }
        while clock.now_us().saturating_sub(looked) < BOOT_POLL_US {
            clock.relax();
        }
    }
}

/// Offset of the first extended capability of this id. A list that runs in a circle ends.
fn extended_capability(bus: &mut impl Bus, id: u16) -> Option<u16> {
    let mut at = EXTENDED_CAPABILITIES;
    for _ in 0..MOST_CAPABILITIES {
        let header = bus.config_read(at);
        if header == 0 || header == u32::MAX {
            return None;
        }
        if header as u16 == id {
            return Some(at);
        }
        at = (header >> 20) as u16 & !3;
        if at < EXTENDED_CAPABILITIES {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests;
