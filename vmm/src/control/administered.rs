//! A GPU that the host administers, whichever kind: reset, mode, counters and events, and nothing that
//! takes an address or gives what the guest computes.

mod apm;
mod passed;

use super::api::{GpuEvent, GpuInfo, GpuTelemetry, ModeChosen};
use crate::config::ModeSpec;
use crate::machine::gpu::Gpu;
pub use passed::{dma, logged};
use ravelin_gpu_model::ResetKind;
use std::sync::Arc;

/// Why something that the operator wants is not done.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A reset failed, or there is no such reset.
    #[error("{0}")]
    Reset(String),
    /// The GPU has no modes.
    #[error(
        "a device of the host's has no protection mode here: use its maker's tool before its guest"
    )]
    NoModes,
}

/// A GPU of which the host owns availability.
pub trait Administered: Send + Sync {
    /// What it is and how it is set up, with its place among the VM's.
    fn info(&self, index: usize) -> GpuInfo;
    /// Its counters, in the same way.
    fn telemetry(&self, index: usize) -> GpuTelemetry;
    /// What happened after the event of this number, oldest first.
    fn events_after(&self, number: u64) -> Vec<GpuEvent>;
    /// Resets it and waits until it is ready; how many resets that makes.
    ///
    /// # Errors
    /// It cannot be reset so, or does not come back.
    fn reset(&self, kind: ResetKind) -> Result<u32, Refusal>;
    /// Chooses the mode that the next reset brings.
    ///
    /// # Errors
    /// It has none.
    fn set_mode(&self, mode: ModeSpec) -> Result<ModeChosen, Refusal>;
}

/// A GPU's side for its operator.
pub fn of(gpu: &Gpu) -> Arc<dyn Administered> {
    match gpu {
        Gpu::Apm(device) => device.clone(),
        Gpu::Vfio(device) => device.clone(),
    }
}
