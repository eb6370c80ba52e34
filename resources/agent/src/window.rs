//! A GPU's shared window as the driver's memory.
//!
//! It is the upper half of BAR4, which the VMM backs with memory that it and the GPU reach too. The
//! GPU finds it at the address of the BAR, which is what Linux says it is: no user program could
//! learn a physical address of its own memory without help.

use ravelin_driver::SharedMemory;

use crate::mapping::Mapping;

/// A window.
#[derive(Debug)]
pub struct Window {
    address: u64,
    mapping: Mapping,
}

impl Window {
    /// A window that the GPU finds at `address`, a multiple of 4096.
    pub fn new(address: u64, mapping: Mapping) -> Self {
        Self { address, mapping }
    }
}

impl SharedMemory for Window {
    fn address(&self) -> u64 {
        self.address
    }

    fn length(&self) -> usize {
        self.mapping.length()
    }

    fn read(&self, offset: usize, buffer: &mut [u8]) {
        self.mapping.read(offset, buffer);
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        self.mapping.write(offset, bytes);
    }

    fn load_acquire(&self, offset: usize) -> u64 {
        let word = self.mapping.load64(offset as u64);
        self.mapping.load_fence();
        word
    }

    fn store_release(&self, offset: usize, value: u64) {
        self.mapping.store_fence();
        self.mapping.store64(offset as u64, value);
        self.mapping.store_fence();
    }
}
