//! Port and memory buses: which device answers an address.
//!
//! A bus maps address ranges to [`BusDevice`] trait objects and carries each access to the one
//! device that claims every byte of it. What nobody claims reads all ones and swallows writes, as
//! on a PC. The bus does not split accesses, knows no widths and holds no lock while a device works,
//! so a device may change the bus that calls it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

/// Something that answers accesses to a range of addresses.
///
/// `offset` counts from the start of the range; `data` never reaches past its end. Every width and
/// alignment may arrive: the guest chooses them.
pub trait BusDevice: Send + Sync {
    /// Fills `data` with what stands at `offset`. `data` comes in as all ones.
    fn read(&self, offset: u64, data: &mut [u8]);
    /// Takes `data` at `offset`.
    fn write(&self, offset: u64, data: &[u8]);
}

/// Why a device could not be put on a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The range holds no address, or ends past the last one.
    #[error("address range {0:#x} with {1:#x} bytes is empty or leaves the bus: choose another")]
    BadRange(u64, u64),
    /// Another device claims part of the range.
    #[error(
        "address range {0:#x}..{1:#x} overlaps the device at {2:#x}: move one of the two devices"
    )]
    Overlap(u64, u64, u64),
}

/// The bus of memory-mapped I/O: 64-bit guest-physical addresses.
pub type MmioBus = Bus<{ u64::MAX }>;
/// The bus of port I/O: 16-bit port numbers.
pub type PioBus = Bus<{ u16::MAX as u64 }>;

/// A bus whose last address is `LAST`.
pub struct Bus<const LAST: u64> {
    /// By first address. Ranges do not overlap.
    slots: RwLock<BTreeMap<u64, Slot>>,
}

#[derive(Clone)]
struct Slot {
    length: u64,
    device: Arc<dyn BusDevice>,
}

impl<const LAST: u64> Bus<LAST> {
    /// A bus with nothing on it.
    pub fn new() -> Self {
        Self { slots: RwLock::new(BTreeMap::new()) }
    }

    /// Puts a device at `length` addresses from `start`.
    ///
    /// # Errors
    /// The range is empty, leaves the bus, or overlaps a device that is there.
    pub fn insert(&self, start: u64, length: u64, device: Arc<dyn BusDevice>) -> Result<(), Error> {
        let last = length
            .checked_sub(1)
            .and_then(|more| start.checked_add(more))
            .filter(|last| *last <= LAST)
            .ok_or(Error::BadRange(start, length))?;
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        // The only neighbour that can reach into the range is the nearest that begins before its
        // end, since the others do not overlap that one.
        if let Some((&other, slot)) = slots.range(..=last).next_back()
            && other + (slot.length - 1) >= start
        {
            return Err(Error::Overlap(start, last, other));
        }
        slots.insert(start, Slot { length, device });
        Ok(())
    }

    /// Takes away the device that begins at `start`, if there is one.
    pub fn remove(&self, start: u64) -> Option<Arc<dyn BusDevice>> {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        slots.remove(&start).map(|slot| slot.device)
    }

    /// Reads `data.len()` bytes at `address`; all ones where no one device claims all of them.
    pub fn read(&self, address: u64, data: &mut [u8]) {
        data.fill(0xff);
        if let Some((offset, device)) = self.find(address, data.len()) {
            device.read(offset, data);
        }
    }

    /// Writes `data` at `address`; dropped where no one device claims all of it.
    pub fn write(&self, address: u64, data: &[u8]) {
        if let Some((offset, device)) = self.find(address, data.len()) {
            device.write(offset, data);
        }
    }

    /// The ranges that devices claim, in order.
    pub fn ranges(&self) -> Vec<Range<u128>> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots
            .iter()
            .map(|(&start, slot)| u128::from(start)..u128::from(start) + u128::from(slot.length))
            .collect()
    }

    fn find(&self, address: u64, length: usize) -> Option<(u64, Arc<dyn BusDevice>)> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        let (&start, slot) = slots.range(..=address).next_back()?;
        let offset = address - start;
        let end = offset.checked_add(u64::try_from(length).ok()?)?;
        (length > 0 && end <= slot.length).then(|| (offset, slot.device.clone()))
    }
}

impl<const LAST: u64> Default for Bus<LAST> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const LAST: u64> fmt::Debug for Bus<LAST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ranges()).finish()
    }
}

#[cfg(test)]
mod tests;
