//! A virtio device's face on the guest's PCI bus (Virtio 1.3, section 4.1).
//!
//! Routes the guest's accesses to the [`common`] configuration, the device's own, the doorbells and
//! MSI-X, and hands the device to the driver and takes it back: by the status register, by a function
//! level reset. A doorbell is an event counter. Where the VMM can, it lets the hypervisor ring it
//! ([`Doorbells`]); here a write rings it all the same.

mod common;
mod layout;

use super::interrupts::Interrupts;
use super::queue::{Broken, Setup, Surroundings, VirtQueue};
use super::worker::{Engine, Hands, Health, Worker};
use super::{Device, Kind};
use crate::dma_gate::DmaGate;
use crate::pci::bus::Function;
use crate::pci::capability::{express, msix as msix_capability};
use crate::pci::config::{self, Bar, COMMAND, COMMAND_BUS_MASTER, COMMAND_MEMORY, ConfigSpace};
use crate::pci::msix::{MsiSink, Msix};
use common::{Action, CommonConfig};
use layout::{COMMON, DEVICE, DOORBELL, DOORBELLS, ISR, Places};
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use virtio_bindings::virtio_config::VIRTIO_CONFIG_S_NEEDS_RESET;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// Why a device could not be put behind a PCI face.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its configuration space could not be laid out.
    #[error("the device's configuration space does not fit")]
    Config(#[from] config::Error),
    /// No thread or no descriptor is left.
    #[error("cannot start the device's thread")]
    Thread(#[source] io::Error),
}

/// A hypervisor that rings doorbells by itself, so that a guest's write is no exit to the VMM.
pub trait Doorbells: Send + Sync {
    /// A write of any value to `address` rings from now on. Where that cannot be had the write comes
    /// to the VMM, which is slower and nothing else.
    fn attach(&self, address: u64, doorbell: &EventFd);
    /// Takes an earlier `attach` back.
    fn detach(&self, address: u64, doorbell: &EventFd);
}

/// A virtio device on the guest's bus.
pub struct VirtioPci {
    kind: Kind,
    gate: Arc<DmaGate>,
    msix: Arc<Msix>,
    interrupts: Arc<Interrupts>,
    health: Health,
    bells: Vec<Arc<EventFd>>,
    hypervisor: Arc<dyn Doorbells>,
    device_config: Vec<u8>,
    place: Places,
    space: Mutex<Space>,
    common: Mutex<CommonConfig>,
    hands: Box<dyn Hands>,
}

struct Space {
    config: ConfigSpace,
    /// First of the addresses that the hypervisor rings at.
    attached: Option<u64>,
}

impl VirtioPci {
    /// Puts a device on a thread of its own and behind a PCI face. It reaches guest memory through
    /// `gate` alone.
    ///
    /// # Errors
    /// The kernel has no thread or no descriptor left.
    pub fn new(
        device: Box<dyn Device>,
        gate: Arc<DmaGate>,
        sink: Arc<dyn MsiSink>,
        hypervisor: Arc<dyn Doorbells>,
    ) -> Result<Arc<Self>, Error> {
        let thread = |engine, bells: &[_]| -> io::Result<Box<dyn Hands>> {
            Ok(Box::new(Worker::spawn(engine, bells.to_vec())?))
        };
        Self::in_hands(device, gate, sink, hypervisor, thread)
    }

    /// The same in other hands than a thread's; `give` gets the device and its queues' doorbells.
    pub(crate) fn in_hands(
        device: Box<dyn Device>,
        gate: Arc<DmaGate>,
        sink: Arc<dyn MsiSink>,
        hypervisor: Arc<dyn Doorbells>,
        give: impl FnOnce(Engine, &[Arc<EventFd>]) -> io::Result<Box<dyn Hands>>,
    ) -> Result<Arc<Self>, Error> {
        let (kind, queues) = (device.kind(), device.queues());
        // One for each queue, and one for changes of the configuration.
        let vectors = queues.len() as u16 + 1;
        let (config, place) = layout::lay_out(kind, vectors)?;
        gate.set_bus_master(false);
        let msix = Arc::new(Msix::new(vectors, sink));
        let interrupts = Arc::new(Interrupts::new(msix.clone()));
        let health = Health::new(interrupts.clone());
        let bells = queues.iter().map(|_| EventFd::new(EFD_NONBLOCK).map(Arc::new));
        let bells = bells.collect::<io::Result<Vec<_>>>().map_err(Error::Thread)?;
        let common = Mutex::new(CommonConfig::new(device.features(), queues, vectors));
        let device_config = device.config();
        let engine = Engine::new(device, gate.device().into(), health.clone());
        let hands = give(engine, &bells).map_err(Error::Thread)?;
        let space = Mutex::new(Space { config, attached: None });
        Ok(Arc::new(Self {
            kind,
            gate,
            msix,
            interrupts,
            health,
            bells,
            hypervisor,
            device_config,
            place,
            space,
            common,
            hands,
        }))
    }

    /// What kind of device it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The device's way to guest memory, for its count of refusals.
    pub fn gate(&self) -> &Arc<DmaGate> {
        &self.gate
    }

    /// Whether a driver has broken the rules since the last reset.
    pub fn needs_reset(&self) -> bool {
        self.health.needs_reset()
    }

    fn write_common(&self, offset: u64, data: &[u8]) {
        let mut common = lock(&self.common);
        match common.write(offset, data) {
            Some(Action::Reset) => self.reset(&mut common),
            Some(Action::Start) => self.start(&common),
            Some(Action::ConfigVector(vector)) => self.interrupts.set_config_vector(vector),
            None => {}
        }
    }

    /// Returns once the device has let go of guest memory (section 2.4).
    fn reset(&self, common: &mut CommonConfig) {
        self.hands.stop();
        common.reset();
        self.interrupts.reset();
        self.health.restore();
    }

    fn start(&self, common: &CommonConfig) {
        let around = Surroundings {
            gate: self.gate.clone(),
            interrupts: self.interrupts.clone(),
            event_index: common.event_index(),
        };
        let queue = |(setup, bell): (&Setup, &Arc<EventFd>)| {
            VirtQueue::new(setup, around.clone(), bell.clone())
        };
        let queues = common.queues().iter().zip(&self.bells).map(queue);
        match queues.collect::<Result<Vec<_>, Broken>>() {
            Ok(queues) => self.hands.start(common.features(), queues),
            Err(broken) => {
                tracing::warn!(device = self.gate.device(), %broken, "device needs a reset");
                self.health.fail();
            }
        }
    }

    /// Function level reset: everything that the guest has set up is gone, BARs included.
    fn function_level_reset(&self) {
        let mut space = lock(&self.space);
        self.gate.set_bus_master(false);
        self.reset(&mut lock(&self.common));
        space.config.reset();
        self.msix.reset();
        self.follow(&mut space);
    }

    /// Follows the command and message control registers and the BAR of the doorbells.
    fn follow(&self, space: &mut Space) {
        let master = space.config.word(COMMAND) & COMMAND_BUS_MASTER != 0;
        let control = space.config.word(self.place.msix + msix_capability::MESSAGE_CONTROL);
        self.msix.set_control(control, master);
        if master && !self.gate.bus_master() {
            self.gate.set_bus_master(true);
            // What the driver has said in between was not looked at.
            self.bells.iter().for_each(ring);
        }
        self.gate.set_bus_master(master);
        let range = space.config.bar_range(layout::STRUCTURES);
        let first = range.and_then(|range| range.start.checked_add(DOORBELLS.start));
        if first != space.attached {
            for (address, bell) in addresses(space.attached).zip(&self.bells) {
                self.hypervisor.detach(address, bell);
            }
            for (address, bell) in addresses(first).zip(&self.bells) {
                self.hypervisor.attach(address, bell);
            }
            space.attached = first;
        }
    }

    /// What the PCI configuration access capability leads to (section 4.1.4.9): BAR, offset, and how
    /// many bytes; if `offset` is in its data register and the guest has written sense.
    fn window(&self, offset: u16) -> Option<(u8, u64, usize)> {
        let data = self.place.window + 16;
        if !(data..data + 4).contains(&offset) {
            return None;
        }
        let config = &lock(&self.space).config;
        let (bar, at) = (config.dword(data - 12) as u8, u64::from(config.dword(data - 8)));
        let length = config.dword(data - 4);
        let size = config.bars().iter().find(|known| known.index == bar)?.size;
        let legal = matches!(length, 1 | 2 | 4) && at % u64::from(length) == 0;
        (legal && at + u64::from(length) <= size).then_some((bar, at, length as usize))
    }
}

impl Function for VirtioPci {
    fn read_config(&self, offset: u16, data: &mut [u8]) {
        match self.window(offset) {
            Some((bar, at, length)) => {
                let mut bytes = [0xff; 4];
                self.read_bar(bar, at, &mut bytes[..length]);
                let bytes = bytes.iter().skip(usize::from(offset % 4));
                data.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
            }
            None => lock(&self.space).config.read(offset, data),
        }
    }

    fn write_config(&self, offset: u16, data: &[u8]) {
        if let Some((bar, at, length)) = self.window(offset) {
            if let Some(data) = data.get(..length) {
                self.write_bar(bar, at, data);
            }
            return;
        }
        let control = self.place.express + express::DEVICE_CONTROL;
        if config::carried(control, offset, data) & express::INITIATE_FLR != 0 {
            return self.function_level_reset();
        }
        let mut space = lock(&self.space);
        space.config.write(offset, data);
        self.follow(&mut space);
    }

    fn bars(&self) -> Vec<Bar> {
        lock(&self.space).config.bars().to_vec()
    }

    fn place_bar(&self, index: u8, address: u64) {
        let mut space = lock(&self.space);
        space.config.place_bar(index, address);
        space.config.write(COMMAND, &(COMMAND_MEMORY | COMMAND_BUS_MASTER).to_le_bytes());
        self.follow(&mut space);
    }

    fn bar_range(&self, index: u8) -> Option<Range<u64>> {
        lock(&self.space).config.bar_range(index)
    }

    fn read_bar(&self, index: u8, offset: u64, data: &mut [u8]) {
        match (index, offset) {
            (layout::STRUCTURES, at) if COMMON.contains(&at) => {
                let status = match self.health.needs_reset() {
                    true => VIRTIO_CONFIG_S_NEEDS_RESET as u8,
                    false => 0,
                };
                lock(&self.common).read(at, data, status);
            }
            (layout::STRUCTURES, at) if ISR.contains(&at) => {
                data.fill(0);
                if let (true, [first, ..]) = (at == ISR.start, data) {
                    *first = self.interrupts.take_status();
                }
            }
            (layout::STRUCTURES, at) if DEVICE.contains(&at) => {
                for (at, byte) in (at - DEVICE.start..).zip(data) {
                    *byte = self.device_config.get(at as usize).copied().unwrap_or(0);
                }
            }
            (layout::STRUCTURES, _) => data.fill(0),
            (layout::INTERRUPTS, at) => match at.checked_sub(layout::PENDING) {
                Some(at) => self.msix.read_pending(at, data),
                None => self.msix.read_table(at, data),
            },
            _ => {}
        }
    }

    fn write_bar(&self, index: u8, offset: u64, data: &[u8]) {
        match (index, offset) {
            (layout::STRUCTURES, at) if COMMON.contains(&at) => self.write_common(at, data),
            (layout::STRUCTURES, at) if DOORBELLS.contains(&at) => {
                let queue = ((at - DOORBELLS.start) / DOORBELL) as usize;
                self.bells.get(queue).into_iter().for_each(ring);
            }
            (layout::INTERRUPTS, at) if at < layout::PENDING => self.msix.write_table(at, data),
            _ => {}
        }
    }
}

impl Drop for VirtioPci {
    fn drop(&mut self) {
        let attached = lock(&self.space).attached;
        for (address, bell) in addresses(attached).zip(&self.bells) {
            self.hypervisor.detach(address, bell);
        }
    }
}

/// The addresses of the doorbells, if they have any.
fn addresses(first: Option<u64>) -> impl Iterator<Item = u64> {
    first.into_iter().flat_map(|first| (first..).step_by(DOORBELL as usize))
}

/// A counter that is full has rung already.
fn ring(bell: &Arc<EventFd>) {
    let _ = bell.write(1);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
