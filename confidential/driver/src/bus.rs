//! The room `bus`: how the driver reaches one PCI function.
//!
//! The embedder has found the function, sized and placed its BARs; the driver sees configuration
//! space and BAR0. Everything that comes from here has passed through the host and is a hint.

/// One PCI function. Every access may cost an exit to the VMM: some 20 microseconds.
pub trait Bus {
    /// Reads the 32-bit word of configuration space at `offset`, a multiple of 4 below 4096.
    fn config_read(&mut self, offset: u16) -> u32;
    /// Writes the 32-bit word of configuration space at `offset`, a multiple of 4 below 4096.
    fn config_write(&mut self, offset: u16, value: u32);
    /// Reads 32 bits of BAR0 at `offset`, a multiple of 4.
    fn register_read32(&mut self, offset: u64) -> u32;
    /// Writes 32 bits of BAR0 at `offset`, a multiple of 4.
    fn register_write32(&mut self, offset: u64, value: u32);
    /// Reads 64 bits of BAR0 at `offset`, a multiple of 8.
    fn register_read64(&mut self, offset: u64) -> u64;
    /// Writes 64 bits of BAR0 at `offset`, a multiple of 8.
    fn register_write64(&mut self, offset: u64, value: u64);
}
