//! The gate to HBM: who may touch which bytes. Pure: no I/O, no counting, no log.
//!
//! [`Firewall::admit`] is the only maker of an [`Admitted`] token and [`Hbm`](crate::hbm::Hbm) takes
//! nothing else, so no code can reach HBM past this file. Bounds and mode are fixed when firmware
//! makes the firewall at boot: there is no method that changes them, and a token borrows the
//! firewall that gave it, so none outlives a reset. What a refusal leads to (all ones, a dropped
//! write, a count, an event) is for the caller.

use std::marker::PhantomData;
use std::ops::Range;

use ravelin_gpu_abi::registers::Mode;
use thiserror::Error;

/// Most bytes of HBM that stay outside the protected region.
pub(crate) const UNPROTECTED_MAX: u64 = 64 << 20;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Initiator {
    /// The host's processor, through a BAR.
    HostMmio,
    /// The guest's processor, through a BAR. The bus cannot tell it from the host: no more trusted.
    GuestMmio,
    /// Another GPU on the bus, by its number.
    PeerGpu(u32),
    /// The copy engine, driven by SEC2.
    CopyEngine,
    /// The compute engine, driven by SEC2.
    ComputeEngine,
    /// The security processor itself.
    Sec2,
}

impl Initiator {
    /// Whether accesses of this initiator come in over the bus and are answered at all. Peers are
    /// refused whatever they ask; engines are inside, so who claims on the bus to be one lies.
    pub fn is_heard_on_bus(self) -> bool {
        matches!(self, Initiator::HostMmio | Initiator::GuestMmio)
    }
}

/// Which way bytes would have gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Out of HBM or a register.
    Read,
    /// Into HBM or a register.
    Write,
}

/// Leave to touch one range of HBM, from the firewall that guards it.
#[derive(Debug)]
pub(crate) struct Admitted<'firewall> {
    address: u64,
    length: u64,
    firewall: PhantomData<&'firewall Firewall>,
}

impl Admitted<'_> {
    /// First byte admitted.
    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    /// Number of bytes admitted.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Leave for `length` bytes from `offset` inside this range; `None` if they are not all inside.
    pub(crate) fn part(&self, offset: u64, length: u64) -> Option<Self> {
        let end = offset.checked_add(length)?;
        (end <= self.length).then(|| Admitted {
            address: self.address + offset,
            length,
            firewall: PhantomData,
        })
    }
}

/// The access is not admitted. Says no more: a refusal must not map the protected region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("refused by the firewall")]
pub(crate) struct Refused;

/// Mode and bounds, as firmware locked them at boot.
#[derive(Debug)]
pub(crate) struct Firewall {
    mode: Mode,
    size: u64,
    protected: Range<u64>,
}

impl Firewall {
    /// Locks the bounds for `size` bytes of HBM: all of it open in [`Mode::Off`], otherwise
    /// protected behind the first [`UNPROTECTED_MAX`] bytes or the first quarter, whichever is less.
    pub(crate) fn lock(mode: Mode, size: u64) -> Firewall {
        let base = match mode {
            Mode::Off => size,
            Mode::On | Mode::Devtools => UNPROTECTED_MAX.min(size / 4),
        };
        Firewall { mode, size, protected: base..size }
    }

    /// The mode in force.
    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// The protected region; empty, at the end of HBM, in [`Mode::Off`].
    pub(crate) fn protected(&self) -> Range<u64> {
        self.protected.clone()
    }

    /// Leave for `initiator` to touch `length` bytes from `address`, or refusal of them all.
    pub(crate) fn admit(
        &self,
        initiator: Initiator,
        address: u64,
        length: u64,
    ) -> Result<Admitted<'_>, Refused> {
        let end = address.checked_add(length).ok_or(Refused)?;
        let reach = self.reach(initiator).ok_or(Refused)?;
        if address < reach.start || end > reach.end {
            return Err(Refused);
        }
        Ok(Admitted { address, length, firewall: PhantomData })
    }

    /// The one range that `initiator` may touch.
    ///
    /// In a confidential mode engines are held *inside* the protected region as the bus is held
    /// outside: no command can carry plaintext out to the window, or the host's bytes in.
    fn reach(&self, initiator: Initiator) -> Option<Range<u64>> {
        match (initiator, self.mode) {
            (Initiator::PeerGpu(_), _) => None,
            (_, Mode::Off) => Some(0..self.size),
            (Initiator::HostMmio | Initiator::GuestMmio, Mode::On | Mode::Devtools) => {
                Some(0..self.protected.start)
            }
            (
                Initiator::CopyEngine | Initiator::ComputeEngine | Initiator::Sec2,
                Mode::On | Mode::Devtools,
            ) => Some(self.protected.clone()),
        }
    }
}

#[cfg(test)]
mod tests;
