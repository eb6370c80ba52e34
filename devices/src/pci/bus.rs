//! PCI bus 0: which function an access to configuration space or to a BAR belongs to.
//!
//! The VMM puts two views of the bus on its MMIO bus: [`Ecam`], the 1 MiB of configuration space,
//! and [`Aperture`], the addresses that BARs may have. BARs are decoded at each access, as hardware
//! does, so a guest may move them at any moment; one that is moved out of the aperture, or over
//! another one, answers for nobody but its own guest. The host bridge stands at 00:00.0.

use super::config::{self, Bar, ConfigSpace, Identity};
use crate::bus::BusDevice;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Bytes of configuration space of one bus: 32 devices of 8 functions of 4 KiB.
pub const ECAM_SIZE: u64 = 1 << 20;
/// Devices on the bus, host bridge included.
pub const DEVICES: usize = 32;

/// Made-up vendor, class "host bridge".
const HOST_BRIDGE: Identity =
    Identity { vendor: 0x1234, device: 0x0b1d, class: 0x06_00_00, revision: 0 };

/// Why a function could not be put on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Every device number is taken.
    #[error("the PCI bus is full: it takes 31 devices besides the host bridge")]
    Full,
    /// A BAR does not fit in the aperture behind the others.
    #[error("no room for a BAR of {0:#x} bytes: enlarge the aperture or use fewer devices")]
    NoRoom(u64),
}

/// One PCI function, single in its device. Accesses come from the guest: any value at any time, but
/// configuration accesses have 1, 2 or 4 bytes and do not cross a dword.
pub trait Function: Send + Sync {
    /// Reads configuration space.
    fn read_config(&self, offset: u16, data: &mut [u8]);
    /// Writes configuration space.
    fn write_config(&self, offset: u16, data: &[u8]);
    /// Every BAR that the function has.
    fn bars(&self) -> Vec<Bar>;
    /// Gives a BAR its first address, and lets the function answer there and use the bus.
    fn place_bar(&self, index: u8, address: u64);
    /// The addresses that a BAR claims now.
    fn bar_range(&self, index: u8) -> Option<Range<u64>>;
    /// Reads a BAR. The access lies within it; `data` comes in as all ones.
    fn read_bar(&self, index: u8, offset: u64, data: &mut [u8]);
    /// Writes a BAR. The access lies within it.
    fn write_bar(&self, index: u8, offset: u64, data: &[u8]);
}

/// PCI bus 0.
pub struct PciBus {
    devices: [OnceLock<Arc<dyn Function>>; DEVICES],
    aperture: Range<u64>,
    /// First address of the aperture that no BAR was given yet, while devices are added.
    free: Mutex<u64>,
}

impl PciBus {
    /// A bus with a host bridge, whose BARs live in `aperture`.
    pub fn new(aperture: Range<u64>) -> Arc<Self> {
        let free = Mutex::new(aperture.start);
        let devices = [const { OnceLock::new() }; DEVICES];
        let bus = Self { devices, aperture, free };
        bus.devices[0].get_or_init(|| Arc::new(HostBridge(ConfigSpace::new(HOST_BRIDGE))));
        Arc::new(bus)
    }

    /// Puts a function on the bus at the next free device number, which is returned, and gives its
    /// BARs addresses.
    ///
    /// # Errors
    /// The bus or the aperture is full.
    pub fn add(&self, function: Arc<dyn Function>) -> Result<u8, Error> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let number =
            self.devices.iter().position(|place| place.get().is_none()).ok_or(Error::Full)?;
        // Largest first: their alignment wastes least.
        let mut bars = function.bars();
        bars.sort_by_key(|bar| std::cmp::Reverse(bar.size));
        let mut end = *free;
        for bar in bars {
            let start = end.checked_next_multiple_of(bar.size).ok_or(Error::NoRoom(bar.size))?;
            end = start
                .checked_add(bar.size)
                .filter(|end| *end <= self.aperture.end)
                .ok_or(Error::NoRoom(bar.size))?;
            function.place_bar(bar.index, start);
        }
        *free = end;
        // Free a moment ago, and the lock is still held.
        let _ = self.devices[number].set(function);
        Ok(number as u8)
    }

    /// The addresses that BARs may have.
    pub fn aperture(&self) -> Range<u64> {
        self.aperture.clone()
    }

    fn function(&self, number: usize) -> Option<&Arc<dyn Function>> {
        self.devices.get(number)?.get()
    }

    /// The function and BAR that claim a whole access: function, BAR, offset.
    fn decode(&self, address: u64, length: usize) -> Option<(&Arc<dyn Function>, u8, u64)> {
        let end = address.checked_add(length as u64)?;
        self.devices.iter().filter_map(OnceLock::get).find_map(|function| {
            (0..config::BARS).find_map(|index| {
                let range = function.bar_range(index)?;
                (range.start <= address && end <= range.end)
                    .then(|| (function, index, address - range.start))
            })
        })
    }
}

/// The bus's configuration space as a device on the MMIO bus: [`ECAM_SIZE`] bytes.
///
/// Accesses of 1, 2 or 4 bytes that do not cross a dword; others read all ones and write nothing.
pub struct Ecam(pub Arc<PciBus>);

impl Ecam {
    fn function(&self, offset: u64, length: usize) -> Option<(&Arc<dyn Function>, u16)> {
        let valid = matches!(length, 1 | 2 | 4) && offset % 4 + length as u64 <= 4;
        // Bits 14:12 are the function; there are only functions 0. Bits 27:20 are the bus.
        if !valid || offset >= ECAM_SIZE || offset >> 12 & 7 != 0 {
            return None;
        }
        Some((self.0.function((offset >> 15) as usize)?, (offset & 0xfff) as u16))
    }
}

impl BusDevice for Ecam {
    fn read(&self, offset: u64, data: &mut [u8]) {
        match self.function(offset, data.len()) {
            Some((function, register)) => function.read_config(register, data),
            None => data.fill(0xff),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        if let Some((function, register)) = self.function(offset, data.len()) {
            function.write_config(register, data);
        }
    }
}

/// The bus's memory as a device on the MMIO bus, at [`PciBus::aperture`].
pub struct Aperture(pub Arc<PciBus>);

impl BusDevice for Aperture {
    fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0xff);
        let address = self.0.aperture.start.checked_add(offset);
        if let Some((function, bar, offset)) =
            address.and_then(|address| self.0.decode(address, data.len()))
        {
            function.read_bar(bar, offset, data);
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        let address = self.0.aperture.start.checked_add(offset);
        if let Some((function, bar, offset)) =
            address.and_then(|address| self.0.decode(address, data.len()))
        {
            function.write_bar(bar, offset, data);
        }
    }
}

/// 00:00.0: there to be found, with nothing to write.
struct HostBridge(ConfigSpace);

impl Function for HostBridge {
    fn read_config(&self, offset: u16, data: &mut [u8]) {
        self.0.read(offset, data);
    }
    fn write_config(&self, _: u16, _: &[u8]) {}
    fn bars(&self) -> Vec<Bar> {
        Vec::new()
    }
    fn place_bar(&self, _: u8, _: u64) {}
    fn bar_range(&self, _: u8) -> Option<Range<u64>> {
        None
    }
    fn read_bar(&self, _: u8, _: u64, _: &mut [u8]) {}
    fn write_bar(&self, _: u8, _: u64, _: &[u8]) {}
}

#[cfg(test)]
mod tests;
