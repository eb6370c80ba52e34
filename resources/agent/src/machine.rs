//! The machine that the agent is in: its GPUs, ready for the driver.
//!
//! [`Sysfs`] is a Linux guest; tests put another one in its place, whose GPUs are the model's own.

use std::path::PathBuf;

use ravelin_driver::{Bus, SharedMemory};

use crate::function::Function;
use crate::sysfs;
use crate::window::Window;

/// A machine with GPUs.
pub trait Machine: Sized {
    /// How its GPUs are reached.
    type Bus: Bus;
    /// What it shares with them.
    type Memory: SharedMemory;

    /// Its GPUs, at least one, in an order that stays the same.
    ///
    /// # Errors
    /// There is none, or one cannot be reached.
    fn gpus(&self) -> Result<Gpus<Self>, sysfs::Error>;
}

/// The GPUs of a machine.
pub type Gpus<M> = Vec<Found<<M as Machine>::Bus, <M as Machine>::Memory>>;

/// A GPU and what it takes to drive it.
pub struct Found<B, M> {
    /// Its PCI address.
    pub address: String,
    /// The way to it.
    pub bus: B,
    /// Memory for its rings alone.
    pub memory: M,
}

/// A Linux guest.
#[derive(Clone, Debug)]
pub struct Sysfs {
    /// Where sysfs is: `/sys`.
    pub root: PathBuf,
}

impl Machine for Sysfs {
    type Bus = Function;
    type Memory = Window;

    fn gpus(&self) -> Result<Gpus<Self>, sysfs::Error> {
        let open = |place: sysfs::Place| {
            let (bus, memory) = place.open()?;
            Ok(Found { address: place.address, bus, memory })
        };
        sysfs::gpus(&self.root)?.into_iter().map(open).collect()
    }
}
