//! The PCI bus: which functions there are, and their registers.
//!
//! The VMM has placed the BARs. What stands in configuration space is the host's word: it is used
//! to find things, never to trust them, and the supervisor maps nothing over guest memory whatever a
//! BAR says.

// Memory-mapped I/O.
#![allow(unsafe_code)]

use crate::call::{self, WAKE_ADDRESS, WAKE_VECTOR};
use alloc::vec::Vec;
use ravelin_driver::bus::Bus;

/// Devices on a bus, functions in a device.
const DEVICES: u64 = 32;
/// Bytes of configuration space of one function, by ECAM.
const FUNCTION_SIZE: u64 = 4096;
/// Bytes of configuration space of one device.
const DEVICE_SIZE: u64 = 8 * FUNCTION_SIZE;

const COMMAND: u16 = 0x04;
/// Memory space, bus master, no INTx.
const COMMAND_MEMORY_AND_DMA: u32 = 1 << 1 | 1 << 2 | 1 << 10;
const BAR0: u16 = 0x10;
const CAPABILITIES: u16 = 0x34;
const MEMORY_BAR_32: u32 = 0b000;
const MEMORY_BAR_64: u32 = 0b100;
const BAR_KIND: u32 = 0b111;
const BAR_ADDRESS: u64 = !0xf;
const MSI: u8 = 0x05;
/// Message control, upper half of the capability's first word: enable, one vector.
const MSI_ENABLE: u32 = 1 << 16;
/// The address has 64 bits.
const MSI_64: u32 = 1 << 23;
/// Multiple message enable, interrupt mask aside.
const MSI_VECTORS: u32 = 0b111 << 20;
const MSIX: u8 = 0x11;
/// Message control, upper half of the capability's first word: enable.
const MSIX_ENABLE: u32 = 1 << 31;
/// Message control: mask all vectors.
const MSIX_MASK_ALL: u32 = 1 << 30;
const MSIX_ENTRY_SIZE: u64 = 16;
/// No list in 256 bytes is longer.
const MOST_CAPABILITIES: usize = 48;
/// Registers are mapped so far; no BAR that this guest uses is larger.
const REGISTERS_SIZE: u64 = 64 << 10;

/// Why a function cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A BAR that is needed is not a memory BAR.
    #[error("BAR{0} is no memory BAR")]
    Bar(u8),
    /// There is no MSI.
    #[error("the function has no MSI")]
    NoMsi,
    /// There is no MSI-X.
    #[error("the function has no MSI-X")]
    NoMsix,
    /// The supervisor does not map it.
    #[error("device memory at {0:#x} cannot be mapped")]
    Map(u64, #[source] call::Error),
}

/// Finds every function 0 on bus 0.
///
/// # Errors
/// Configuration space cannot be mapped.
pub fn functions(ecam: u64) -> Result<Vec<Function>, Error> {
    map(ecam, DEVICES * DEVICE_SIZE)?;
    let functions = (0..DEVICES).map(|device| Function {
        configuration: ecam + device * DEVICE_SIZE,
        device: device as u8,
        registers: 0,
    });
    Ok(functions.filter(|function| function.configuration_word(0) as u16 != u16::MAX).collect())
}

/// One function.
#[derive(Debug)]
pub struct Function {
    configuration: u64,
    device: u8,
    /// BAR0, once mapped.
    registers: u64,
}

impl Function {
    /// Number of the device on the bus.
    pub fn device(&self) -> u8 {
        self.device
    }

    /// Vendor id and device id.
    pub fn id(&self) -> (u16, u16) {
        let word = self.configuration_word(0);
        (word as u16, (word >> 16) as u16)
    }

    /// Maps BAR0. Before this, registers read all ones.
    ///
    /// # Errors
    /// There is no such BAR, or it lies where it cannot be.
    pub fn map_registers(&mut self) -> Result<(), Error> {
        self.registers = self.map_bar(0, REGISTERS_SIZE)?;
        Ok(())
    }

    /// Lets the function do DMA and answer at its BARs.
    pub fn start_dma(&mut self) {
        let command = self.configuration_word(COMMAND) & 0xffff;
        self.write_configuration_word(COMMAND, command | COMMAND_MEMORY_AND_DMA);
    }

    /// Maps the first `length` bytes of a memory BAR and returns its address.
    ///
    /// # Errors
    /// There is no such BAR, or it lies where it cannot be.
    pub fn map_bar(&self, bar: u8, length: u64) -> Result<u64, Error> {
        if bar > 4 {
            return Err(Error::Bar(bar));
        }
        let at = BAR0 + 4 * u16::from(bar);
        let low = self.configuration_word(at);
        let high = match low & BAR_KIND {
            MEMORY_BAR_64 => self.configuration_word(at + 4),
            MEMORY_BAR_32 => 0,
            _ => return Err(Error::Bar(bar)),
        };
        let address = (u64::from(high) << 32 | u64::from(low)) & BAR_ADDRESS;
        map(address, length)?;
        Ok(address)
    }

    /// Lets the function's MSI wake the processor.
    ///
    /// # Errors
    /// There is no MSI.
    pub fn wake_on_message(&mut self) -> Result<(), Error> {
        let capability = self.capability(MSI).ok_or(Error::NoMsi)?;
        let control = self.configuration_word(capability);
        self.write_configuration_word(capability + 4, WAKE_ADDRESS as u32);
        let data = match control & MSI_64 {
            0 => capability + 8,
            _ => {
                self.write_configuration_word(capability + 8, (WAKE_ADDRESS >> 32) as u32);
                capability + 12
            }
        };
        self.write_configuration_word(data, WAKE_VECTOR);
        self.write_configuration_word(capability, control & !MSI_VECTORS | MSI_ENABLE);
        Ok(())
    }

    /// Lets all of the function's first `vectors` MSI-X vectors wake the processor.
    ///
    /// # Errors
    /// There is no MSI-X, or its table cannot be mapped.
    pub fn wake_on_interrupts(&mut self, vectors: u16) -> Result<(), Error> {
        let capability = self.capability(MSIX).ok_or(Error::NoMsix)?;
        let control = self.configuration_word(capability);
        let vectors = u64::from(vectors.min((control >> 16 & 0x7ff) as u16 + 1));
        let table = self.configuration_word(capability + 4);
        let offset = u64::from(table & !0b111);
        let bar = self.map_bar((table & 0b111) as u8, offset + vectors * MSIX_ENTRY_SIZE)?;
        for vector in 0..vectors {
            let entry = bar + offset + vector * MSIX_ENTRY_SIZE;
            for (at, value) in [
                (0, WAKE_ADDRESS as u32),
                (4, (WAKE_ADDRESS >> 32) as u32),
                (8, WAKE_VECTOR),
                (12, 0),
            ] {
                // SAFETY: device memory, mapped above, 4-byte aligned.
                unsafe { ((entry + at) as *mut u32).write_volatile(value) };
            }
        }
        let enabled = (control | MSIX_ENABLE) & !MSIX_MASK_ALL;
        self.write_configuration_word(capability, enabled);
        Ok(())
    }

    /// Offset of the first capability of this id. A list that runs in a circle ends.
    fn capability(&self, id: u8) -> Option<u16> {
        let mut at = self.configuration_word(CAPABILITIES) as u8 & !3;
        for _ in 0..MOST_CAPABILITIES {
            if at < 0x40 {
                return None;
            }
            let header = self.configuration_word(at.into());
            if header as u8 == id {
                return Some(at.into());
            }
            at = (header >> 8) as u8 & !3;
        }
        None
    }

    fn configuration_word(&self, offset: u16) -> u32 {
        let address = self.configuration + u64::from(offset & 0xffc);
        // SAFETY: configuration space is mapped as device memory; the offset stays within 4 KiB.
        unsafe { (address as *const u32).read_volatile() }
    }

    fn write_configuration_word(&mut self, offset: u16, value: u32) {
        let address = self.configuration + u64::from(offset & 0xffc);
        // SAFETY: as for reading.
        unsafe { (address as *mut u32).write_volatile(value) };
    }

    /// The address of a register, if BAR0 is mapped and the offset is an aligned one of it.
    fn register(&self, offset: u64, size: u64) -> Option<u64> {
        let inside = offset.is_multiple_of(size) && offset <= REGISTERS_SIZE - size;
        (self.registers != 0 && inside).then(|| self.registers + offset)
    }
}

impl Bus for Function {
    fn config_read(&mut self, offset: u16) -> u32 {
        self.configuration_word(offset)
    }

    fn config_write(&mut self, offset: u16, value: u32) {
        self.write_configuration_word(offset, value);
    }

    fn register_read32(&mut self, offset: u64) -> u32 {
        let Some(address) = self.register(offset, 4) else { return u32::MAX };
        // SAFETY: `register` says that it is mapped device memory, aligned.
        unsafe { (address as *const u32).read_volatile() }
    }

    fn register_write32(&mut self, offset: u64, value: u32) {
        let Some(address) = self.register(offset, 4) else { return };
        // SAFETY: as for reading.
        unsafe { (address as *mut u32).write_volatile(value) };
    }

    fn register_read64(&mut self, offset: u64) -> u64 {
        let Some(address) = self.register(offset, 8) else { return u64::MAX };
        // SAFETY: as for 32 bits.
        unsafe { (address as *const u64).read_volatile() }
    }

    fn register_write64(&mut self, offset: u64, value: u64) {
        let Some(address) = self.register(offset, 8) else { return };
        // SAFETY: as for 32 bits.
        unsafe { (address as *mut u64).write_volatile(value) };
    }
}

fn map(address: u64, length: u64) -> Result<(), Error> {
    call::map_device(address, length).map_err(|error| Error::Map(address, error))
}
