//! A GPU's PCI function as the driver's bus: configuration space through sysfs, BAR0 mapped.

use std::fs::File;
use std::os::unix::fs::FileExt;

use ravelin_driver::Bus;

use crate::mapping::Mapping;

/// A PCI function.
#[derive(Debug)]
pub struct Function {
    config: File,
    registers: Mapping,
}

impl Function {
    /// A function whose configuration space is this file and whose BAR0 this mapping.
    pub fn new(config: File, registers: Mapping) -> Self {
        Self { config, registers }
    }
}

impl Bus for Function {
    /// All ones where the kernel does not give it: as if nothing were there.
    fn config_read(&mut self, offset: u16) -> u32 {
        let mut dword = [0; 4];
        match self.config.read_exact_at(&mut dword, offset.into()) {
            Ok(()) => u32::from_le_bytes(dword),
            Err(_) => u32::MAX,
        }
    }

    /// One write of four bytes, which the kernel makes one access of.
    fn config_write(&mut self, offset: u16, value: u32) {
        // What was not written is found out by what is read next.
        let _ = self.config.write_at(&value.to_le_bytes(), offset.into());
    }

    fn register_read32(&mut self, offset: u64) -> u32 {
        self.registers.load32(offset)
    }

    fn register_write32(&mut self, offset: u64, value: u32) {
        self.registers.store32(offset, value);
    }

    fn register_read64(&mut self, offset: u64) -> u64 {
        self.registers.load64(offset)
    }

    fn register_write64(&mut self, offset: u64, value: u64) {
        self.registers.store64(offset, value);
    }
}
