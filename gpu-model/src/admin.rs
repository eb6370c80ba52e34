//! The admin port: everything that the operator may do, whoever owns the GPU's memory now.
//!
//! Identity, telemetry, events, reset, and the mode that the next reset brings. **No operation takes
//! an address or a buffer, and no result can carry guest or HBM content**: there is nothing to
//! check because there is nothing to pass.

use std::sync::Arc;

use ravelin_gpu_abi::registers::Mode;
use serde::{Deserialize, Serialize};

use crate::events::Event;
use crate::gpu::Error;
use crate::machine::Machine;
use crate::telemetry::Telemetry;

pub(crate) mod names;

/// A handle on the admin port. Clones are the same port.
#[derive(Clone)]
pub struct AdminPort {
    machine: Arc<Machine>,
}

/// How to reset. Each kind drops session and keys, stops the engines, scrubs all of HBM, measures
/// firmware again, makes a new attestation key, and brings a chosen mode into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetKind {
    /// Function-level reset (PCIe base specification, 6.6.2).
    Flr,
    /// Secondary bus reset.
    Bus,
    /// Power off and on: clears the engines' counters as well.
    Cold,
}

/// What the GPU is and how it is set up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Info {
    /// Model name.
    pub model: &'static str,
    /// Serial number.
    pub serial: u64,
    /// SHA-384 of the device identity's public key, hex.
    pub identity: String,
    /// Version of the firmware, for people.
    pub firmware_version: String,
    /// Firmware id that the last boot measured, hex; empty while booting.
    pub firmware: String,
    /// Security version of the firmware.
    pub svn: u32,
    /// "booting", "ready", "session" or "failed".
    pub status: &'static str,
    /// Mode in force: "off", "on" or "devtools"; empty while booting.
    pub mode: &'static str,
    /// Mode that the next reset brings.
    pub next_mode: &'static str,
    /// Bytes of HBM.
    pub hbm_size: u64,
    /// Bytes of the protected region.
    pub protected_size: u64,
    /// Resets since power-on.
    pub resets: u32,
    /// Number of the latest SPDM session since power-on; 0 before the first.
    pub session: u32,
}

impl AdminPort {
    pub(crate) fn new(machine: Arc<Machine>) -> AdminPort {
        AdminPort { machine }
    }

    /// What the GPU is and how it is set up.
    pub fn info(&self) -> Info {
        self.machine.info()
    }

    /// The counters now.
    pub fn telemetry(&self) -> Telemetry {
        self.machine.telemetry()
    }

    /// The events kept, oldest first.
    pub fn events(&self) -> Vec<Event> {
        self.events_after(0)
    }

    /// The events kept whose number is greater than `number`, oldest first.
    pub fn events_after(&self, number: u64) -> Vec<Event> {
        self.machine.log.after(number)
    }

    /// Resets the GPU and returns when it is ready again. Does not wait for guest memory: an engine
    /// that is stuck in it has lost its keys all the same, and lands nothing when it comes back.
    pub fn reset(&self, kind: ResetKind) -> Result<(), Error> {
        self.machine.reset(kind)
    }

    /// Chooses the mode that the next reset brings. The mode in force stays as it is.
    pub fn set_mode(&self, mode: Mode) {
        self.machine.choose_mode(mode);
    }
}
