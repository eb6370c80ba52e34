//! Hostile guests by script, for fuzzing: whatever bytes say becomes what a guest can do to devices.
//!
//! [`rings`] is a driver beneath one device's queues, [`bus`] a guest that reads and writes whatever
//! is on its buses, [`race`] conversions beside accesses. Nothing here holds itself to a rule. All
//! are judged by the same: what is private stays as it was and comes out nowhere, and whoever uses
//! the device next finds one. [`guest`] is the memory that they share.
//!
//! No thread, no PCI and no file where it can be done without: a script is a few microseconds.

pub mod bus;
pub mod guest;
pub mod host;
pub mod race;
pub mod rings;

/// What is left of a script. What has broken off is filled up with nothing.
pub struct Script<'a>(pub &'a [u8]);

impl<'a> Script<'a> {
    /// The next byte; `None` at the end.
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next byte, or 0.
    pub fn or_zero(&mut self) -> u8 {
        self.byte().unwrap_or(0)
    }

    /// The next bytes, as many as there are.
    pub fn bytes(&mut self, count: impl Into<usize>) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(self.0.len().min(count.into()));
        self.0 = rest;
        bytes
    }

    /// A number of four bytes.
    pub fn number(&mut self) -> u64 {
        self.little_endian(4)
    }

    /// A number of so many bytes, 8 at most.
    pub fn little_endian(&mut self, width: usize) -> u64 {
        let mut number = [0; 8];
        number.iter_mut().zip(self.bytes(width)).for_each(|(place, byte)| *place = *byte);
        u64::from_le_bytes(number)
    }
}
