//! The APM GPU's PCI face: what the guest finds on its bus, in front of the model that does the work.
//!
//! | where | what |
//! | --- | --- |
//! | BAR0 | the model's registers, as guest MMIO |
//! | BAR2 | the window on HBM, as guest MMIO: the firewall decides |
//! | BAR4 | MSI-X table and pending bits; in the upper half the shared window, where there is one |
//! | configuration space | PCI Express capability with FLR, MSI-X, Data Object Exchange |
//!
//! The face holds no key and sees no plaintext; data objects pass through it sealed or public. It
//! adds no rule about memory either: [`DmaGate`] decides, and the guest's bus master bit can only
//! take away from that. Where the gate has a [shared window], it follows BAR4.
//!
//! [shared window]: crate::shared_window

use crate::dma_gate::DmaGate;
use crate::pci::bus::Function;
use crate::pci::capability::{doe as doe_capability, express, msix as msix_capability};
use crate::pci::config::{
    self, Bar, COMMAND, COMMAND_BUS_MASTER, COMMAND_MEMORY, ConfigSpace, Identity,
};
use crate::pci::doe::{self, Mailbox};
use crate::pci::msix::{MsiSink, Msix};
use ravelin_gpu_abi as abi;
use ravelin_gpu_model::{Gpu, GpuConfig, Initiator, Interrupts, ResetKind};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where the pending bits begin in BAR4.
const PENDING: u64 = abi::MSIX_BAR_SIZE / 2;

/// Why a GPU could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its configuration space could not be laid out.
    #[error("the GPU's configuration space does not fit")]
    Config(#[from] config::Error),
    /// A shared window of a size that the programming interface does not have.
    #[error("a shared window of {0} bytes: give {size}", size = abi::SHARED_WINDOW_SIZE)]
    Window(u64),
    /// The model did not come up.
    #[error("the GPU did not power on")]
    PowerOn(#[from] ravelin_gpu_model::Error),
}

/// A GPU on the guest's bus.
pub struct ApmDevice {
    gpu: Arc<Gpu>,
    gate: Arc<DmaGate>,
    msix: Arc<Msix>,
    place: Places,
    state: Mutex<State>,
}

/// Offsets of the capabilities.
struct Places {
    express: u16,
    msix: u16,
    doe: u16,
}

struct State {
    config: ConfigSpace,
    mailbox: Mailbox,
}

impl ApmDevice {
    /// Powers a GPU on. It reaches guest memory through `gate` alone; where the gate has a window of
    /// [`abi::SHARED_WINDOW_SIZE`] bytes, BAR4 shows it to the guest.
    ///
    /// # Errors
    /// The window has another size, or the model refuses its configuration.
    pub fn new(
        gpu: GpuConfig,
        gate: Arc<DmaGate>,
        interrupts: Arc<dyn MsiSink>,
    ) -> Result<Arc<Self>, Error> {
        if let Some(window) =
            gate.window().filter(|window| window.size() != abi::SHARED_WINDOW_SIZE)
        {
            return Err(Error::Window(window.size()));
        }
        let (config, place) = lay_out(gate.window().is_some())?;
        let msix = Arc::new(Msix::new(abi::MSIX_VECTORS, interrupts));
        gate.set_bus_master(false);
        let gpu = Gpu::power_on(gpu, gate.clone(), Arc::new(Vectors(msix.clone())))?;
        let state = Mutex::new(State { config, mailbox: Mailbox::new() });
        Ok(Arc::new(Self { gpu, gate, msix, place, state }))
    }

    /// The model behind the face, for its admin port.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// The GPU's way to guest memory, for its count of refusals.
    pub fn gate(&self) -> &Arc<DmaGate> {
        &self.gate
    }

    /// The DOE register that an offset in configuration space belongs to.
    fn doe_register(&self, offset: u16) -> Option<u16> {
        let register = (offset & !3).checked_sub(self.place.doe)?;
        (doe::CAPABILITIES..doe::END).contains(&register).then_some(register)
    }

    /// A write to a DOE register. The exchange itself runs without the lock, so that another vCPU
    /// sees the mailbox busy and may abort.
    fn write_doe(&self, register: u16, value: u32) {
        let request = self.lock().mailbox.write(register, value);
        if let Some(request) = request {
            let answer = self.gpu.doe_exchange(&request.object);
            self.lock().mailbox.complete(request.number(), &answer);
        }
    }

    /// Function level reset (section 6.6.2): everything that the guest has set up is gone, BARs
    /// included, and so are the GPU's session and memory.
    fn function_level_reset(&self) {
        {
            let mut state = self.lock();
            self.gate.set_bus_master(false);
            state.config.reset();
            state.mailbox.abort();
            self.msix.reset();
            self.follow_window(&state);
        }
        if let Err(error) = self.gpu.admin().reset(ResetKind::Flr) {
            tracing::warn!(%error, "function level reset left the GPU without firmware");
        }
    }

    /// Follows the command, message control and base address registers.
    fn follow(&self, state: &State) {
        let master = state.config.word(COMMAND) & COMMAND_BUS_MASTER != 0;
        let control = state.config.word(self.place.msix + msix_capability::MESSAGE_CONTROL);
        self.gate.set_bus_master(master);
        self.msix.set_control(control, master);
        self.follow_window(state);
    }

    /// Has the shared window where BAR4 is now.
    fn follow_window(&self, state: &State) {
        if let Some(window) = self.gate.window() {
            let bar = state.config.bar_range(abi::MSIX_BAR);
            // The BAR ends below the end of all addresses.
            window.follow(bar.map(|bar| bar.start + abi::SHARED_WINDOW_OFFSET));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Function for ApmDevice {
    fn read_config(&self, offset: u16, data: &mut [u8]) {
        let state = self.lock();
        match self.doe_register(offset) {
            Some(register) => {
                let dword = state.mailbox.read(register).to_le_bytes();
                let bytes = dword.iter().skip(usize::from(offset % 4));
                data.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
            }
            None => state.config.read(offset, data),
        }
    }

    fn write_config(&self, offset: u16, data: &[u8]) {
        if let Some(register) = self.doe_register(offset) {
            // The mailbox counts dwords: part of one is no write.
            if let Ok(dword) = data.try_into() {
                self.write_doe(register, u32::from_le_bytes(dword));
            }
            return;
        }
        let control = self.place.express + express::DEVICE_CONTROL;
        if config::carried(control, offset, data) & express::INITIATE_FLR != 0 {
            return self.function_level_reset();
        }
        let mut state = self.lock();
        state.config.write(offset, data);
        self.follow(&state);
    }

    fn bars(&self) -> Vec<Bar> {
        self.lock().config.bars().to_vec()
    }

    fn place_bar(&self, index: u8, address: u64) {
        let mut state = self.lock();
        state.config.place_bar(index, address);
        state.config.write(COMMAND, &(COMMAND_MEMORY | COMMAND_BUS_MASTER).to_le_bytes());
        self.follow(&state);
    }

    fn bar_range(&self, index: u8) -> Option<Range<u64>> {
        self.lock().config.bar_range(index)
    }

    fn read_bar(&self, index: u8, offset: u64, data: &mut [u8]) {
        match index {
            abi::REGISTERS_BAR => self.gpu.read_register(Initiator::GuestMmio, offset, data),
            abi::WINDOW_BAR => self.gpu.read_window(Initiator::GuestMmio, offset, data),
            abi::MSIX_BAR if offset < PENDING => self.msix.read_table(offset, data),
            abi::MSIX_BAR if offset < abi::MSIX_BAR_SIZE => {
                self.msix.read_pending(offset - PENDING, data);
            }
            // The window itself is no register: the guest reaches it without us.
            _ => {}
        }
    }

    fn write_bar(&self, index: u8, offset: u64, data: &[u8]) {
        match index {
            abi::REGISTERS_BAR => self.gpu.write_register(Initiator::GuestMmio, offset, data),
            abi::WINDOW_BAR => self.gpu.write_window(Initiator::GuestMmio, offset, data),
            abi::MSIX_BAR if offset < PENDING => self.msix.write_table(offset, data),
            _ => {}
        }
    }
}

/// The GPU's interrupt lines: MSI-X vectors.
struct Vectors(Arc<Msix>);

impl Interrupts for Vectors {
    fn raise(&self, vector: u16) {
        self.0.raise(vector);
    }
}

fn lay_out(window: bool) -> Result<(ConfigSpace, Places), config::Error> {
    let mut config = ConfigSpace::new(Identity {
        vendor: abi::PCI_VENDOR_ID,
        device: abi::PCI_DEVICE_ID,
        class: abi::PCI_CLASS,
        revision: 1,
    });
    config.add_bar(Bar { index: abi::REGISTERS_BAR, size: abi::REGISTERS_BAR_SIZE }, false)?;
    config.add_bar(Bar { index: abi::WINDOW_BAR, size: abi::WINDOW_BAR_SIZE }, true)?;
    let size = if window { abi::SHARED_BAR_SIZE } else { abi::MSIX_BAR_SIZE };
    config.add_bar(Bar { index: abi::MSIX_BAR, size }, window)?;
    let table = msix_capability::table(abi::MSIX_VECTORS, abi::MSIX_BAR, PENDING as u32);
    let place = Places {
        express: config.add_capability(express::ID, &express::integrated_endpoint())?,
        msix: config.add_capability(msix_capability::ID, &table)?,
        doe: config.add_extended_capability(
            doe_capability::ID,
            doe_capability::VERSION,
            &doe_capability::registers(),
        )?,
    };
    Ok((config, place))
}

#[cfg(test)]
mod tests;
