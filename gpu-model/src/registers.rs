//! BAR0, decoded: which register an access means. Pure; what a register holds or does is for
//! [`gpu`](crate::gpu).
//!
//! BAR0 is a row of 32-bit words. An access is one word, or two from a multiple of 8; a 64-bit
//! register is two words of which either may be reached alone.

use ravelin_gpu_abi::{Engine, registers as abi};

/// A register of BAR0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Register {
    Magic,
    Version,
    Status,
    Mode,
    HbmSize,
    ProtectedBase,
    ProtectedEnd,
    ResetCount,
    SessionCount,
    Violations,
    BoundsLocked,
    Ring(Engine, RingRegister),
}

/// A register of a ring block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RingRegister {
    Address,
    Slots,
    Entries,
    SlotSize,
    Enable,
    Doorbell,
}

/// Which half of a 64-bit register a word is. A 32-bit register has a low one only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    Low,
    High,
}

impl Half {
    /// `register` with this half of it replaced.
    pub(crate) fn merge(self, register: u64, word: u32) -> u64 {
        match self {
            Half::Low => register & !0xffff_ffff | u64::from(word),
            Half::High => register & 0xffff_ffff | u64::from(word) << 32,
        }
    }

    fn of(self, register: u64) -> u32 {
        match self {
            Half::Low => register as u32,
            Half::High => (register >> 32) as u32,
        }
    }
}

/// Fills `data` with what `value` gives for the registers at `offset`; all ones where there is no
/// register, where `value` has none, and for an access of another shape.
pub(crate) fn read(offset: u64, data: &mut [u8], mut value: impl FnMut(Register) -> Option<u64>) {
    data.fill(0xff);
    if !shaped(offset, data.len()) {
        return;
    }
    // A register that both words of an access belong to is asked once: its halves fit together.
    let mut last = None;
    for (place, at) in data.chunks_exact_mut(4).zip((offset..).step_by(4)) {
        let Some((register, half)) = word(at) else { continue };
        let held = match last {
            Some((same, held)) if same == register => held,
            _ => value(register),
        };
        last = Some((register, held));
        if let Some(held) = held {
            place.copy_from_slice(&half.of(held).to_le_bytes());
        }
    }
}

/// Gives `put` each word that a write of `data` at `offset` sets, in ascending order; none for an
/// access of another shape.
pub(crate) fn write(offset: u64, data: &[u8], mut put: impl FnMut(Register, Half, u32)) {
    if !shaped(offset, data.len()) {
        return;
    }
    for (bytes, at) in data.chunks_exact(4).zip((offset..).step_by(4)) {
        if let (Some((register, half)), &[a, b, c, d]) = (word(at), bytes) {
            put(register, half, u32::from_le_bytes([a, b, c, d]));
        }
    }
}

/// Whether BAR0 answers an access of this shape.
fn shaped(offset: u64, width: usize) -> bool {
    matches!(width, 4 | 8) && offset.is_multiple_of(width as u64)
}

/// The register that the word at `offset` belongs to.
fn word(offset: u64) -> Option<(Register, Half)> {
    use Half::{High, Low};
    const HIGH: u64 = 4;
    Some(match offset {
        abi::MAGIC => (Register::Magic, Low),
        abi::VERSION => (Register::Version, Low),
        abi::STATUS => (Register::Status, Low),
        abi::MODE => (Register::Mode, Low),
        abi::HBM_SIZE => (Register::HbmSize, Low),
        o if o == abi::HBM_SIZE + HIGH => (Register::HbmSize, High),
        abi::PROTECTED_BASE => (Register::ProtectedBase, Low),
        o if o == abi::PROTECTED_BASE + HIGH => (Register::ProtectedBase, High),
        abi::PROTECTED_END => (Register::ProtectedEnd, Low),
        o if o == abi::PROTECTED_END + HIGH => (Register::ProtectedEnd, High),
        abi::RESET_COUNT => (Register::ResetCount, Low),
        abi::SESSION_COUNT => (Register::SessionCount, Low),
        abi::VIOLATIONS => (Register::Violations, Low),
        o if o == abi::VIOLATIONS + HIGH => (Register::Violations, High),
        abi::BOUNDS_LOCKED => (Register::BoundsLocked, Low),
        o => {
            let block = o.checked_sub(abi::RING_BLOCK)?;
            let engine = Engine::from_index(u32::try_from(block / abi::RING_STRIDE).ok()?)?;
            let (register, half) = match block % abi::RING_STRIDE {
                abi::RING_ADDRESS => (RingRegister::Address, Low),
                o if o == abi::RING_ADDRESS + HIGH => (RingRegister::Address, High),
                abi::RING_SLOTS => (RingRegister::Slots, Low),
                o if o == abi::RING_SLOTS + HIGH => (RingRegister::Slots, High),
                abi::RING_ENTRIES => (RingRegister::Entries, Low),
                abi::RING_SLOT_SIZE => (RingRegister::SlotSize, Low),
                abi::RING_ENABLE => (RingRegister::Enable, Low),
                abi::RING_DOORBELL => (RingRegister::Doorbell, Low),
                _ => return None,
            };
            (Register::Ring(engine, register), half)
        }
    })
}

#[cfg(test)]
mod tests;
