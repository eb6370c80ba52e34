//! A ring block's registers, and the ring that they put into use.
//!
//! Everything here comes from the bus and is hostile; the rules of
//! [`ravelin_gpu_abi::registers`] are checked when the ring is enabled, once, and the values in use
//! cannot change afterwards. Reading descriptors from the ring is the [`worker`](crate::worker)'s.

use ravelin_gpu_abi::ring::{
    ENTRY_SIZE, MAX_ENTRIES, MAX_SLOT_SIZE, request_offset, response_offset, slot_offset,
};

use crate::registers::{Half, RingRegister};

const PAGE: u64 = 4096;

/// A ring in use: every address that its methods give is page-aligned arithmetic that cannot
/// overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ring {
    descriptors: u64,
    slots: u64,
    entries: u32,
    slot_size: u32,
}

impl Ring {
    /// The ring of these registers, if they keep every rule.
    fn new(descriptors: u64, slots: u64, entries: u32, slot_size: u32) -> Option<Ring> {
        let good = descriptors.is_multiple_of(PAGE)
            && slots.is_multiple_of(PAGE)
            && entries.is_power_of_two()
            && entries <= MAX_ENTRIES
            && slot_size > 0
            && slot_size <= MAX_SLOT_SIZE
            && u64::from(slot_size).is_multiple_of(PAGE);
        descriptors.checked_add(u64::from(entries) * ENTRY_SIZE as u64)?;
        slots.checked_add(u64::from(entries) * u64::from(slot_size))?;
        good.then_some(Ring { descriptors, slots, entries, slot_size })
    }

    /// Whether the entry of request `sequence`, before that request is there, may have the number
    /// `found`: its request of the lap before, or none.
    pub(crate) fn waits_with(&self, found: u64, sequence: u64) -> bool {
        found == 0 || found.checked_add(u64::from(self.entries)) == Some(sequence)
    }

    /// Number of entries.
    pub(crate) fn entries(&self) -> u32 {
        self.entries
    }

    /// Bytes of a slot.
    pub(crate) fn slot_size(&self) -> u32 {
        self.slot_size
    }

    /// Where the request of this sequence number stands.
    pub(crate) fn request(&self, sequence: u64) -> u64 {
        self.descriptors + request_offset(sequence, self.entries)
    }

    /// Where the response of this sequence number goes.
    pub(crate) fn response(&self, sequence: u64) -> u64 {
        self.descriptors + response_offset(sequence, self.entries)
    }

    /// Where the bytes of this sequence number stand.
    pub(crate) fn slot(&self, sequence: u64) -> u64 {
        self.slots + slot_offset(sequence, self.entries, self.slot_size)
    }
}

/// The registers of a ring block.
#[derive(Debug, Default)]
pub(crate) struct RingBlock {
    descriptors: u64,
    slots: u64,
    entries: u32,
    slot_size: u32,
    in_use: Option<Ring>,
}

impl RingBlock {
    /// The ring in use.
    pub(crate) fn in_use(&self) -> Option<Ring> {
        self.in_use
    }

    /// Takes the ring out of use.
    pub(crate) fn stop(&mut self) {
        self.in_use = None;
    }

    /// What a register holds.
    pub(crate) fn value(&self, register: RingRegister) -> u64 {
        match register {
            RingRegister::Address => self.descriptors,
            RingRegister::Slots => self.slots,
            RingRegister::Entries => self.entries.into(),
            RingRegister::SlotSize => self.slot_size.into(),
            RingRegister::Enable => self.in_use.is_some().into(),
            RingRegister::Doorbell => 0,
        }
    }

    /// Sets a word of a register. Enabling takes the values into use or, if they break a rule,
    /// leaves the ring stopped.
    pub(crate) fn put(&mut self, register: RingRegister, half: Half, word: u32) {
        match register {
            RingRegister::Address => self.descriptors = half.merge(self.descriptors, word),
            RingRegister::Slots => self.slots = half.merge(self.slots, word),
            RingRegister::Entries => self.entries = word,
            RingRegister::SlotSize => self.slot_size = word,
            RingRegister::Enable => {
                self.in_use = match word {
                    1 => Ring::new(self.descriptors, self.slots, self.entries, self.slot_size),
                    _ => None,
                };
            }
            RingRegister::Doorbell => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: (u64, u64, u32, u32) = (0x1000, 0x2000, 8, 0x1000);

    fn ring((descriptors, slots, entries, slot_size): (u64, u64, u32, u32)) -> Option<Ring> {
        let mut block = RingBlock { descriptors, slots, entries, slot_size, in_use: None };
        block.put(RingRegister::Enable, Half::Low, 1);
        assert_eq!(block.value(RingRegister::Enable) == 1, block.in_use().is_some());
        block.in_use()
    }

    #[test]
    fn each_rule_broken_leaves_the_ring_stopped() {
        assert!(ring(GOOD).is_some());
        assert!(ring((0, 0, MAX_ENTRIES, MAX_SLOT_SIZE)).is_some());
        for broken in [
            (0x1001, GOOD.1, GOOD.2, GOOD.3),
            (GOOD.0, 0x2800, GOOD.2, GOOD.3),
            (GOOD.0, GOOD.1, 0, GOOD.3),
            (GOOD.0, GOOD.1, 3, GOOD.3),
            (GOOD.0, GOOD.1, 2 * MAX_ENTRIES, GOOD.3),
            (GOOD.0, GOOD.1, GOOD.2, 0),
            (GOOD.0, GOOD.1, GOOD.2, 0x1800),
            (GOOD.0, GOOD.1, GOOD.2, MAX_SLOT_SIZE + 0x1000),
            (!0xfff, GOOD.1, 64, GOOD.3),
            (GOOD.0, !0xfff, GOOD.2, GOOD.3),
        ] {
            assert_eq!(ring(broken), None, "{broken:x?}");
        }
    }

    #[test]
    fn registers_written_later_do_not_move_a_ring_in_use() {
        let (descriptors, slots, entries, slot_size) = GOOD;
        let mut block = RingBlock { descriptors, slots, entries, slot_size, in_use: None };
        block.put(RingRegister::Enable, Half::Low, 1);
        let before = block.in_use();
        block.put(RingRegister::Address, Half::High, 7);
        block.put(RingRegister::SlotSize, Half::Low, 0);
        assert_eq!(block.in_use(), before);
        assert_eq!(block.value(RingRegister::Address), 7 << 32 | descriptors);
        block.put(RingRegister::Enable, Half::Low, 1);
        assert_eq!(block.in_use(), None);
    }
}
