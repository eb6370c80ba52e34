//! A VM's GPU, whichever kind: the model in this process, or a device of the host's.

use super::{locked_memory, profile};
use crate::config::{ApmSpec, GpuSpec, VfioSpec};
use crate::vm::{self, Vm};
use ravelin_devices::apm::{self, ApmDevice};
use ravelin_devices::dma_gate::DmaGate;
use ravelin_devices::page_state::PAGE_SIZE;
use ravelin_devices::pci::bus::Function;
use ravelin_devices::vfio::attach::{self, attach};
use ravelin_devices::vfio::bars::Block;
use ravelin_devices::vfio::device::{self, VfioDevice};
use ravelin_devices::vfio::sysfs::Sysfs;
use ravelin_gpu_model::{FirmwareSet, GpuConfig};
use std::sync::Arc;

/// Why a GPU does not come up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model.
    #[error(transparent)]
    Apm(#[from] apm::Error),
    /// There is no memory for its window.
    #[error("no shared window")]
    Window(#[source] vm::Error),
    /// A device of the host's cannot be had.
    #[error(transparent)]
    Attach(#[from] attach::Error),
    /// A device of the host's cannot be given to a guest.
    #[error(transparent)]
    Device(#[from] device::Error),
    /// Too little memory may be locked.
    #[error(transparent)]
    Memlock(#[from] locked_memory::TooLittle),
    /// Its profile cannot be used.
    #[error(transparent)]
    Profile(#[from] profile::Error),
}

/// A GPU.
#[derive(Clone)]
pub enum Gpu {
    /// The model.
    Apm(Arc<ApmDevice>),
    /// A device of the host's.
    Vfio(Arc<VfioDevice>),
}

impl Gpu {
    /// Its face on the bus.
    pub(super) fn function(&self) -> Arc<dyn Function> {
        match self {
            Gpu::Apm(device) => device.clone(),
            Gpu::Vfio(device) => device.clone(),
        }
    }

    /// Brings one up. `window`: a model brings the memory that it shares with its driver.
    pub(super) fn power_on(
        vm: &Vm,
        devices: &device::Vm,
        index: usize,
        spec: &GpuSpec,
        window: bool,
    ) -> Result<Self, Error> {
        match spec {
            GpuSpec::Apm(spec) => power_on(vm, index, spec, window).map(Gpu::Apm),
            GpuSpec::Vfio(spec) => pass(devices, spec).map(Gpu::Vfio),
        }
    }
}

fn power_on(vm: &Vm, index: usize, spec: &ApmSpec, window: bool) -> Result<Arc<ApmDevice>, Error> {
    let memory = vm.memory();
    let mut gate =
        DmaGate::new(format!("gpu{index}"), memory.pages().clone(), memory.shared().clone());
    if window {
        let window = vm.shared_window(index as u32).map_err(Error::Window)?;
        gate = gate.with_window(Arc::new(window));
    }
    let config = GpuConfig {
        memory: spec.memory.0,
        mode: spec.mode.into(),
        // One a place: the same machine has the same devices at every start.
        serial: index as u64 + 1,
        identity: None,
        firmware: FirmwareSet::current(),
    };
    Ok(ApmDevice::new(config, Arc::new(gate), Arc::new(vm.msi()))?)
}

fn pass(devices: &device::Vm, spec: &VfioSpec) -> Result<Arc<VfioDevice>, Error> {
    let sysfs = Sysfs::default();
    let attached = attach(spec.device.0, &sysfs)?;
    locked_memory::check(devices.pages.shared_pages().saturating_mul(PAGE_SIZE))?;
    let mut blocks: Vec<Block> = profile::blocks(spec.profile.as_deref(), &*attached.hardware)?;
    blocks.extend(spec.block.iter().cloned());
    Ok(VfioDevice::new(attached, &blocks, devices.clone())?)
}
