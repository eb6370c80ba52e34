//! The words of the control API, for both of its ends. `openapi.json` beside this file describes
//! them for everyone else.

use ravelin_devices::apm::ApmDevice;
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
    /// What the guest does.
    pub workload: String,
    /// Microseconds since the VM was made.
    pub uptime_us: u64,
    /// Number of GPUs.
    pub gpus: usize,
}

/// A GPU: what it is and how it is set up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuInfo {
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

/// A GPU's counters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuTelemetry {
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
    /// "reset-failed".
    pub error: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl GpuInfo {
    /// A reading of a GPU.
    pub fn of(index: usize, gpu: &ApmDevice) -> Self {
        let info = gpu.gpu().admin().info();
        Self {
            index,
            model: info.model.into(),
            serial: info.serial,
            identity: info.identity,
            firmware_version: info.firmware_version,
            firmware: info.firmware,
            svn: info.svn,
            status: info.status.into(),
            mode: info.mode.into(),
            next_mode: info.next_mode.into(),
            hbm_size: info.hbm_size,
            protected_size: info.protected_size,
            resets: info.resets,
            session: info.session,
        }
    }
}

impl GpuTelemetry {
    /// A reading of a GPU's counters.
    pub fn of(index: usize, gpu: &ApmDevice) -> Self {
        let telemetry = gpu.gpu().admin().telemetry();
        let engines = telemetry.engines.iter().map(|engine| EngineTelemetry {
            engine: engine.engine.into(),
            records: engine.records,
            bytes: engine.bytes,
            refused: engine.refused,
            busy_us: engine.busy_us,
        });
        Self {
            index,
            status: telemetry.status.into(),
            uptime_us: telemetry.uptime_us,
            resets: telemetry.resets,
            sessions: telemetry.sessions,
            violations: telemetry.violations,
            session_failures: telemetry.session_failures,
            dma_faults: telemetry.dma_faults,
            dma_refused: gpu.gate().refusals(),
            hbm_resident: telemetry.hbm_resident,
            engines: engines.collect(),
        }
    }
}
