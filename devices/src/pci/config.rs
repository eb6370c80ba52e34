//! A function's configuration space: 4 KiB, a type 0 header, two lists of capabilities (PCI Express
//! Base Specification 6.0, section 7.5.1).
//!
//! Every bit has a value after reset and is writable or not; that is all. BAR sizing needs nothing
//! more: the bits below a BAR's size are not writable, so all ones read back as its mask. Registers
//! that *act* when written belong to the function that owns the space.

use std::ops::Range;

/// Bytes of a function's configuration space.
pub const SIZE: usize = 4096;

/// Vendor ID, 16 bits.
pub const VENDOR_ID: u16 = 0x00;
/// Command, 16 bits.
pub const COMMAND: u16 = 0x04;
/// Command: the function answers at its BARs.
pub const COMMAND_MEMORY: u16 = 1 << 1;
/// Command: the function may access memory and raise interrupts by itself.
pub const COMMAND_BUS_MASTER: u16 = 1 << 2;
/// Base address register 0; the others follow.
pub const BAR0: u16 = 0x10;
/// Number of base address registers; a 64-bit one takes two.
pub const BARS: u8 = 6;

const DEVICE_ID: u16 = 0x02;
const STATUS: u16 = 0x06;
const STATUS_CAPABILITIES: u16 = 1 << 4;
const REVISION_AND_CLASS: u16 = 0x08;
const CACHE_LINE_SIZE: u16 = 0x0c;
const SUBSYSTEM_VENDOR_ID: u16 = 0x2c;
const SUBSYSTEM_ID: u16 = 0x2e;
const CAPABILITIES_POINTER: u16 = 0x34;
const INTERRUPT_LINE: u16 = 0x3c;
/// Bits of the command register that software may write: memory, bus master, parity error response,
/// SERR# and interrupt disable.
const COMMAND_WRITABLE: u16 = COMMAND_MEMORY | COMMAND_BUS_MASTER | 1 << 6 | 1 << 8 | 1 << 10;
const FIRST_CAPABILITY: u16 = 0x40;
const FIRST_EXTENDED_CAPABILITY: u16 = 0x100;
/// Flags in the low dword of a 64-bit memory BAR.
const BAR_64_BIT: u32 = 0b100;
const BAR_PREFETCHABLE: u32 = 0b1000;

/// Why a configuration space could not be laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A BAR of this number does not exist, is taken, or is the upper half of another.
    #[error("BAR {0} is not free: choose a number below 5 that, as the next, no other BAR uses")]
    BarTaken(u8),
    /// A BAR's size is no power of two or below 128 bytes.
    #[error("BAR size {0:#x} is no power of two of at least 128 bytes")]
    BarSize(u64),
    /// A capability does not fit behind the others.
    #[error("capability {0:#x} does not fit in configuration space: drop another one")]
    NoRoom(u16),
}

/// Who a function is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Vendor ID, of the subsystem too.
    pub vendor: u16,
    /// Device ID, of the subsystem too.
    pub device: u16,
    /// Base class, sub-class and programming interface: 24 bits.
    pub class: u32,
    /// Revision ID.
    pub revision: u8,
}

/// One dword of a capability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dword {
    /// Value after reset.
    pub reset: u32,
    /// Bits that software may write.
    pub writable: u32,
}

/// A 64-bit memory BAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Number of its lower half, 0 to 4; the next is its upper half.
    pub index: u8,
    /// Bytes, a power of two.
    pub size: u64,
}

/// A function's configuration space.
#[derive(Clone)]
pub struct ConfigSpace {
    bytes: Box<[u8; SIZE]>,
    reset: Box<[u8; SIZE]>,
    writable: Box<[u8; SIZE]>,
    bars: Vec<Bar>,
    next_capability: u16,
    next_extended: u16,
    /// Where the number of the next capability of either list goes.
    link: u16,
    extended_link: Option<u16>,
}

impl ConfigSpace {
    /// A type 0 header with neither BARs nor capabilities.
    pub fn new(identity: Identity) -> Self {
        let mut space = Self {
            bytes: Box::new([0; SIZE]),
            reset: Box::new([0; SIZE]),
            writable: Box::new([0; SIZE]),
            bars: Vec::new(),
            next_capability: FIRST_CAPABILITY,
            next_extended: FIRST_EXTENDED_CAPABILITY,
            link: CAPABILITIES_POINTER,
            extended_link: None,
        };
        space.define(VENDOR_ID, &identity.vendor.to_le_bytes(), &[]);
        space.define(DEVICE_ID, &identity.device.to_le_bytes(), &[]);
        space.define(COMMAND, &[], &COMMAND_WRITABLE.to_le_bytes());
        let class = identity.class << 8 | u32::from(identity.revision);
        space.define(REVISION_AND_CLASS, &class.to_le_bytes(), &[]);
        space.define(CACHE_LINE_SIZE, &[], &[0xff]);
        space.define(SUBSYSTEM_VENDOR_ID, &identity.vendor.to_le_bytes(), &[]);
        space.define(SUBSYSTEM_ID, &identity.device.to_le_bytes(), &[]);
        space.define(INTERRUPT_LINE, &[], &[0xff]);
        space
    }

    /// Says whose subsystem the function is; without it, its own vendor's and device's.
    pub fn set_subsystem(&mut self, vendor: u16, id: u16) {
        self.define(SUBSYSTEM_VENDOR_ID, &vendor.to_le_bytes(), &[]);
        self.define(SUBSYSTEM_ID, &id.to_le_bytes(), &[]);
    }

    /// Adds a 64-bit memory BAR.
    ///
    /// # Errors
    /// The number or the next is taken, or the size is no power of two of at least 128 bytes.
    pub fn add_bar(&mut self, bar: Bar, prefetchable: bool) -> Result<(), Error> {
        let taken = self.bars.iter().any(|other| other.index.abs_diff(bar.index) < 2);
        if taken || bar.index >= BARS - 1 {
            return Err(Error::BarTaken(bar.index));
        }
        if !bar.size.is_power_of_two() || bar.size < 128 {
            return Err(Error::BarSize(bar.size));
        }
        let flags = BAR_64_BIT | if prefetchable { BAR_PREFETCHABLE } else { 0 };
        let mask = !(bar.size - 1);
        self.define(bar_offset(bar.index), &u64::from(flags).to_le_bytes(), &mask.to_le_bytes());
        self.bars.push(bar);
        Ok(())
    }

    /// Appends a capability and returns its offset. The low half of the first dword is the list's:
    /// the id and the next pointer go there.
    ///
    /// # Errors
    /// No room is left below the extended capabilities.
    pub fn add_capability(&mut self, id: u8, dwords: &[Dword]) -> Result<u16, Error> {
        let at = self.next_capability;
        let end = usize::from(at) + 4 * dwords.len();
        if end > usize::from(FIRST_EXTENDED_CAPABILITY) {
            return Err(Error::NoRoom(id.into()));
        }
        self.define_dwords(at, dwords);
        self.define(at, &[id, 0], &[0, 0]);
        // Below 0x100, since `end` is.
        self.define(self.link, &[at as u8], &[]);
        self.define(STATUS, &STATUS_CAPABILITIES.to_le_bytes(), &[]);
        self.link = at + 1;
        self.next_capability = end as u16;
        Ok(at)
    }

    /// Appends an extended capability and returns its offset. `dwords` follow its header.
    ///
    /// # Errors
    /// No room is left.
    pub fn add_extended_capability(
        &mut self,
        id: u16,
        version: u8,
        dwords: &[Dword],
    ) -> Result<u16, Error> {
        let at = self.next_extended;
        let end = usize::from(at) + 4 + 4 * dwords.len();
        if end > SIZE {
            return Err(Error::NoRoom(id));
        }
        let header = u32::from(id) | u32::from(version & 0xf) << 16;
        self.define(at, &header.to_le_bytes(), &[]);
        self.define_dwords(at + 4, dwords);
        if let Some(previous) = self.extended_link.replace(at) {
            let header = self.dword(previous) & 0x000f_ffff | u32::from(at) << 20;
            self.define(previous, &header.to_le_bytes(), &[]);
        }
        self.next_extended = end as u16;
        Ok(at)
    }

    /// Fills `data` with the bytes at `offset`; all ones past the end.
    pub fn read(&self, offset: u16, data: &mut [u8]) {
        match self.bytes.get(span(offset, data.len())) {
            Some(bytes) => data.copy_from_slice(bytes),
            None => data.fill(0xff),
        }
    }

    /// Writes those bits of `data` that are writable; nothing past the end.
    pub fn write(&mut self, offset: u16, data: &[u8]) {
        let span = span(offset, data.len());
        let (Some(bytes), Some(writable)) =
            (self.bytes.get_mut(span.clone()), self.writable.get(span))
        else {
            return;
        };
        for ((byte, mask), new) in bytes.iter_mut().zip(writable).zip(data) {
            *byte = *byte & !mask | new & mask;
        }
    }

    /// The dword at a register's offset, which is a constant of the caller's.
    pub fn dword(&self, register: u16) -> u32 {
        let mut bytes = [0; 4];
        self.read(register, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// The word at a register's offset, which is a constant of the caller's.
    pub fn word(&self, register: u16) -> u16 {
        let mut bytes = [0; 2];
        self.read(register, &mut bytes);
        u16::from_le_bytes(bytes)
    }

    /// Every BAR, in the order in which they were added.
    pub fn bars(&self) -> &[Bar] {
        &self.bars
    }

    /// Gives a BAR an address, as firmware does before the guest runs.
    pub fn place_bar(&mut self, index: u8, address: u64) {
        self.write(bar_offset(index), &address.to_le_bytes());
    }

    /// The addresses that a BAR claims now; `None` while the function does not answer memory
    /// accesses, or the BAR is none.
    pub fn bar_range(&self, index: u8) -> Option<Range<u64>> {
        let bar = self.bars.iter().find(|bar| bar.index == index)?;
        if self.word(COMMAND) & COMMAND_MEMORY == 0 {
            return None;
        }
        let register = bar_offset(index);
        let (low, high) = (self.dword(register), self.dword(register + 4));
        let start = (u64::from(high) << 32 | u64::from(low)) & !0xf;
        Some(start..start.checked_add(bar.size)?)
    }

    /// Brings every register back to its value after reset, BARs and command included.
    pub fn reset(&mut self) {
        self.bytes.copy_from_slice(&*self.reset);
    }

    fn define_dwords(&mut self, mut at: u16, dwords: &[Dword]) {
        for dword in dwords {
            self.define(at, &dword.reset.to_le_bytes(), &dword.writable.to_le_bytes());
            at += 4;
        }
    }

    /// Sets values after reset and writable bits, each where given.
    fn define(&mut self, offset: u16, reset: &[u8], writable: &[u8]) {
        let at = usize::from(offset);
        self.reset[at..at + reset.len()].copy_from_slice(reset);
        self.bytes[at..at + reset.len()].copy_from_slice(reset);
        self.writable[at..at + writable.len()].copy_from_slice(writable);
    }
}

/// What a write of `data` at `offset` carries for the dword at `register`; zero for bytes that it
/// does not carry. For registers whose bits act when one is written.
pub fn carried(register: u16, offset: u16, data: &[u8]) -> u32 {
    let mut dword = [0; 4];
    for (at, byte) in (usize::from(offset)..).zip(data) {
        if let Some(place) = at.checked_sub(register.into()).and_then(|at| dword.get_mut(at)) {
            *place = *byte;
        }
    }
    u32::from_le_bytes(dword)
}

fn bar_offset(index: u8) -> u16 {
    BAR0 + 4 * u16::from(index)
}

fn span(offset: u16, length: usize) -> Range<usize> {
    usize::from(offset)..usize::from(offset).saturating_add(length)
}

#[cfg(test)]
mod tests;
