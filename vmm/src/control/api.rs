//! The words of the control API, for both of its ends. `openapi.json` beside this file describes
//! them for everyone else.

use ravelin_gpu_model::ResetKind;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::config::ModeSpec;

/// The VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmInfo {
    /// Its name.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// Version of the VMM.
    pub version: String,
    /// "emulated" or "none".
    pub platform: String,
    /// Bytes of guest memory.
    pub memory: u64,
    /// What the guest does; "linux" where that is its kernel's business.
    pub workload: String,
    /// Microseconds since the VM was made.
    pub uptime_us: u64,
    /// Number of GPUs.
    pub gpus: usize,
}

/// A GPU: what it is and how it is set up. A model has an `identity`, a device of the host's a `bdf`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum GpuInfo {
    /// The model.
    Apm(ApmInfo),
    /// A device of the host's.
    Passed(PassedInfo),
}

/// The model of a GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApmInfo {
    /// Place among the VM's GPUs.
    pub index: usize,
    /// Model name.
    pub model: String,
    /// Serial number.
    pub serial: u64,
    /// SHA-384 of the device identity's public key, hex.
    pub identity: String,
    /// Version of the firmware, for people.
    pub firmware_version: String,
    /// Firmware id, hex; empty while booting.
    pub firmware: String,
    /// Security version of the firmware.
    pub svn: u32,
    /// "booting", "ready", "session" or "failed".
    pub status: String,
    /// Protection mode in force: "off", "on" or "devtools".
    pub mode: String,
    /// Mode that the next reset brings.
    pub next_mode: String,
    /// Bytes of HBM.
    pub hbm_size: u64,
    /// Bytes of the protected region.
    pub protected_size: u64,
    /// Resets since power-on.
    pub resets: u32,
    /// Number of the latest session since power-on; 0 before the first.
    pub session: u32,
}

/// A GPU's counters, in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum GpuTelemetry {
    /// Of the model.
    Apm(ApmTelemetry),
    /// Of a device of the host's.
    Passed(PassedTelemetry),
}

/// The counters of the model of a GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApmTelemetry {
    /// Place among the VM's GPUs.
    pub index: usize,
    /// "booting", "ready", "session" or "failed".
    pub status: String,
    /// Microseconds since power-on.
    pub uptime_us: u64,
    /// Resets since power-on.
    pub resets: u32,
    /// Sessions since power-on.
    pub sessions: u32,
    /// Accesses that the firewall refused.
    pub violations: u64,
    /// Sessions ended by a record that did not authenticate.
    pub session_failures: u64,
    /// Accesses to guest memory that failed, as the GPU counts them.
    pub dma_faults: u64,
    /// Accesses to guest memory that the DMA gate refused.
    pub dma_refused: u64,
    /// Bytes of HBM in use.
    pub hbm_resident: u64,
    /// The engines, in the order of their numbers.
    pub engines: Vec<EngineTelemetry>,
}

/// A device of the host's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedInfo {
    /// Place among the VM's GPUs.
    pub index: usize,
    /// "vfio".
    pub model: String,
    /// Where it is, as `0000:01:00.0`.
    pub bdf: String,
    /// Vendor and device id, as `10de:2331`.
    pub ids: String,
    /// "cdev" or "group".
    pub interface: String,
    /// "present" or "vanished".
    pub status: String,
    /// Resets since it was attached.
    pub resets: u32,
    /// Guest-physical pages of it that the guest reaches without an exit: first byte and bytes.
    pub shown: Vec<(u64, u64)>,
}

/// What the host may read of a passed device without touching what its guest does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedTelemetry {
    /// Place among the VM's GPUs.
    pub index: usize,
    /// Where it is.
    pub bdf: String,
    /// "present" or "vanished".
    pub status: String,
    /// Microseconds since it was attached.
    pub uptime_us: u64,
    /// Resets since it was attached.
    pub resets: u32,
    /// Accesses to blocked ranges.
    pub violations: u64,
    /// Accesses that the device or the kernel refused.
    pub access_failures: u64,
    /// Interrupt vectors that the guest has set up.
    pub vectors: usize,
    /// Interrupts since its vectors were set up, as the kernel counts them; null where it does not.
    pub interrupts: Option<u64>,
    /// Such as "16.0 GT/s PCIe"; null where there is no link.
    pub link_speed: Option<String>,
    /// Lanes; null where there is no link.
    pub link_width: Option<u32>,
    /// Such as "D0".
    pub power_state: Option<String>,
    /// Errors that the device has reported; null where it reports none (AER).
    pub errors: Option<DeviceErrors>,
    /// What its DMA reaches, and what that costs.
    pub dma: Dma,
}

/// Errors that a device has reported to the host (advanced error reporting).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceErrors {
    /// Those that hardware has put right.
    pub correctable: u64,
    /// Those that lost a transaction.
    pub nonfatal: u64,
    /// Those that lost the link.
    pub fatal: u64,
}

/// Mappings of an IOMMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dma {
    /// Bytes mapped now.
    pub mapped_bytes: u64,
    /// Mappings now.
    pub mappings: u64,
    /// The most that the interface takes.
    pub limit: u64,
    /// How often that limit stood in the way.
    pub limit_reached: u64,
    /// Bytes that are shared now and could not be mapped.
    pub owed_bytes: u64,
    /// Remainders of mappings that had to be split.
    pub splits: u64,
    /// Calls that the kernel refused.
    pub failures: u64,
    /// Calls that map.
    pub map: Calls,
    /// Calls that unmap.
    pub unmap: Calls,
}

/// Calls of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// How many.
    pub calls: u64,
    /// Microseconds that all of them took.
    pub total_us: u64,
    /// Microseconds that the longest took.
    pub longest_us: u64,
}

/// An engine's counters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineTelemetry {
    /// Its name.
    pub engine: String,
    /// Authentic requests answered.
    pub records: u64,
    /// Plaintext bytes moved between guest and HBM.
    pub bytes: u64,
    /// Of the requests, those answered with a refusal.
    pub refused: u64,
    /// Microseconds at work.
    pub busy_us: u64,
}

/// Every GPU of the VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpus {
    /// In the order of their numbers.
    pub gpus: Vec<GpuInfo>,
}

/// Asks for a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResetRequest {
    /// "flr", "bus" or "cold".
    pub kind: ResetKind,
}

/// A reset was done and the GPU is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetDone {
    /// Which.
    pub kind: ResetKind,
    /// Resets since power-on, this one included.
    pub resets: u32,
    /// Microseconds that it took.
    pub duration_us: u64,
}

/// Asks for a protection mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModeRequest {
    /// "off", "on" or "devtools".
    pub mode: ModeSpec,
}

/// A mode was chosen; it is not in force yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModeChosen {
    /// Mode in force.
    pub mode: String,
    /// Mode that the next reset brings.
    pub next_mode: String,
}

/// Something that happened to a GPU, as its client reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuEvent {
    /// From 1, without gaps: where there is one, events were forgotten.
    pub number: u64,
    /// Microseconds from the GPU's power-on.
    pub at_us: u64,
    /// How many times in a row it happened.
    pub repeats: u64,
    /// What happened.
    pub event: String,
    /// The event's own fields.
    #[serde(flatten)]
    pub details: Map<String, Value>,
}

/// A GPU's events, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuEvents {
    /// Those kept.
    pub events: Vec<GpuEvent>,
}

/// A request was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// A stable code: "no-such-path", "no-such-gpu", "method", "malformed", "too-large",
    /// "reset-failed", "no-modes".
    pub error: String,
    /// What is wrong and what to do.
    pub message: String,
}
