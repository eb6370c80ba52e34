//! A run's devices of the host's: told of in its event log as it goes on, and in its report at its end.

use crate::control::administered::{dma, logged};
use crate::control::api::Dma;
use crate::machine::gpu::Gpu;
use crate::runtime::EventLog;
use ravelin_devices::vfio::device::VfioDevice;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A device of the host's, as the report of a run has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct PassedGpu {
    /// "vfio".
    pub(super) model: &'static str,
    /// Where it is.
    pub(super) bdf: String,
    /// "cdev" or "group".
    pub(super) interface: String,
    /// Whether it answers still.
    pub(super) present: bool,
    /// Resets, the guest's own too.
    pub(super) resets: u64,
    /// Accesses to blocked ranges.
    pub(super) violations: u64,
    /// What its DMA reached at the end, and what conversions cost for its sake.
    pub(super) dma: Dma,
}

/// Devices of a VM, by place among its GPUs.
pub(super) struct Passed(Vec<(u32, Arc<VfioDevice>)>);

impl Passed {
    /// Those among a VM's GPUs. Their events go to the log from now on.
    pub(super) fn of(gpus: &[Gpu], log: &Arc<EventLog>) -> Self {
        let devices = gpus.iter().enumerate().filter_map(|(place, gpu)| match gpu {
            Gpu::Apm(_) => None,
            Gpu::Vfio(device) => {
                let log = log.clone();
                device.observe(move |event| log.append(&logged(place, event)));
                Some((place as u32, device.clone()))
            }
        });
        Self(devices.collect())
    }

    /// How they are now.
    pub(super) fn look(&self) -> BTreeMap<u32, PassedGpu> {
        let looks = self.0.iter().map(|(place, device)| {
            let telemetry = device.telemetry();
            let gpu = PassedGpu {
                model: "vfio",
                bdf: device.bdf().into(),
                interface: device.interface().to_string(),
                present: telemetry.present,
                resets: telemetry.resets,
                violations: telemetry.violations,
                dma: dma(&telemetry.dma),
            };
            (*place, gpu)
        });
        looks.collect()
    }
}
