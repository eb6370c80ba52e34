//! A physical device on the guest's bus.
//!
//! The guest reaches most of its BARs directly, as memory slots that follow the BARs wherever it moves
//! them; what must not be reached so traps and comes here. [`bars`](super::bars) says what is which,
//! [`face`](super::face) what the configuration space shows, [`dma`](super::dma) what its DMA reaches.
//!
//! A device that no longer answers is noticed by a [`watch`] within a second. Its slots go, everything
//! reads all ones, and the VMM carries on.

mod reset;
mod watch;

use super::attach::{Attached, Interface};
use super::bars::{Answer, BarPlan, Block};
use super::dma::{Counters, DmaMappings};
use super::events::{Event, Events, Happening};
use super::face::{self, Face};
use super::hardware::{CONFIG_REGION, Hardware, Mapping};
use super::interrupts::{Interrupts, Refused, Routes, Wanted};
use crate::page_state::{self, PageStateMap};
use crate::pci::bus::Function;
use crate::pci::capability::{express, msi, msix};
use crate::pci::config::{self, Bar, COMMAND, COMMAND_BUS_MASTER, COMMAND_MEMORY, ConfigSpace};
use crate::pci::msix::MsiMessage;
pub use reset::{ResetError, ResetKind};
use rustix::process::{Resource, getrlimit};
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vm_memory::GuestMemoryMmap;
use watch::Watch;

/// Why a device cannot be given to a guest.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What it is cannot be shown.
    #[error(transparent)]
    Face(#[from] face::Error),
    /// A block names a BAR that the guest does not see, or reaches past its end.
    #[error("block={0}: the guest sees no such bytes; its BARs are {1}")]
    Block(Block, String),
    /// The user may not lock as much memory as the device is to reach.
    #[error(
        "the memlock limit of {limit} bytes is too low for the memory that the device reaches: \
        raise it (ulimit -l, or LimitMEMLOCK= of the service)"
    )]
    Memlock {
        /// RLIMIT_MEMLOCK.
        limit: u64,
    },
    /// Memory that is shared already cannot be mapped.
    #[error("the IOMMU does not take the guest's shared memory")]
    Map(#[source] io::Error),
    /// Nobody would notice when it vanishes.
    #[error("cannot watch the device")]
    Watch(#[source] io::Error),
}

/// The VM's end of direct access: memory slots over a device's pages.
pub trait Slots: Send + Sync {
    /// Shows a mapping at an address, which must be among the guest's BARs and a whole page's.
    ///
    /// # Errors
    /// [`Refused`] where it cannot be there; the accesses trap then.
    fn show(&self, address: u64, mapping: &Arc<Mapping>) -> Result<u32, Refused>;
    /// Takes a slot away. The guest reaches nothing through it once this returns.
    fn hide(&self, slot: u32);
}

/// What a VM gives a physical device. Its clones are of the same VM.
#[derive(Clone)]
pub struct Vm {
    /// Direct access.
    pub slots: Arc<dyn Slots>,
    /// Interrupts.
    pub routes: Arc<dyn Routes>,
    /// Whose pages are shared.
    pub pages: Arc<PageStateMap>,
    /// The shared side of memory.
    pub memory: GuestMemoryMmap,
}

/// A physical device.
pub struct VfioDevice {
    hardware: Arc<dyn Hardware>,
    interface: Interface,
    ids: (u16, u16),
    mappings: Arc<DmaMappings>,
    interrupts: Interrupts,
    slots: Arc<dyn Slots>,
    plans: Vec<BarPlan>,
    place: Places,
    state: Mutex<State>,
    /// It no longer answers.
    gone: AtomicBool,
    violations: AtomicU64,
    failures: AtomicU64,
    resets: AtomicU64,
    events: Events,
    watch: Watch,
}

/// Offsets of the capabilities.
struct Places {
    express: u16,
    msi: Option<u16>,
    msix: Option<u16>,
}

struct State {
    config: ConfigSpace,
    direct: Vec<Direct>,
    /// What the device's command register was told.
    command: u16,
}

/// Pages of a BAR that the guest reaches directly.
struct Direct {
    bar: u8,
    offset: u64,
    mapping: Arc<Mapping>,
    /// Where they were to be last.
    at: Option<u64>,
    /// Their slot, where they could be there.
    slot: Option<u32>,
}

/// What there is to watch of a device, from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// Microseconds since it was attached.
    pub uptime_us: u64,
    /// Whether it answers.
    pub present: bool,
    /// Resets since it was attached.
    pub resets: u64,
    /// Accesses to blocked ranges.
    pub violations: u64,
    /// Accesses that the device or the kernel refused.
    pub failures: u64,
    /// Interrupt vectors that are connected.
    pub vectors: usize,
    /// Mappings.
    pub dma: Counters,
}

impl VfioDevice {
    /// Puts an attached device behind the gates: what is shared is mapped, and from now on the
    /// mappings follow.
    ///
    /// # Errors
    /// The device does not answer, a block is none of its bytes, or the IOMMU refuses.
    pub fn new(attached: Attached, blocks: &[Block], vm: Vm) -> Result<Arc<Self>, Error> {
        let Attached { hardware, iommu, interface } = attached;
        if hardware.resettable()
            && let Err(error) = hardware.reset()
        {
            // It may come up all the same, with what its last user has left in it.
            tracing::warn!(%error, bdf = hardware.bdf(), "device not reset before its guest");
        }
        let face = Face::of(&*hardware)?;
        for bar in &face.hidden {
            tracing::warn!(bdf = hardware.bdf(), bar, "BAR not shown: an I/O or a 32-bit one");
        }
        check_blocks(blocks, &face)?;
        let table = face.msix.as_ref().map(|(_, table)| table);
        let plans: Vec<BarPlan> = face
            .config
            .bars()
            .iter()
            .map(|bar| BarPlan::new(bar.index, bar.size, blocks, table))
            .collect();
        let direct = plans.iter().flat_map(|plan| direct_of(&*hardware, plan)).collect();
        let mappings = Arc::new(DmaMappings::new(iommu, vm.memory));
        follow_pages(&vm.pages, &mappings)?;
        let entries = table.map_or(0, |table| table.vectors);
        let interrupts = Interrupts::new(hardware.clone(), vm.routes, entries);
        let watch = Watch::new(&*hardware).map_err(Error::Watch)?;
        let place =
            Places { express: face.express, msi: face.msi, msix: face.msix.map(|(at, _)| at) };
        let device = Arc::new(Self {
            hardware,
            interface,
            ids: face.ids,
            mappings,
            interrupts,
            slots: vm.slots,
            plans,
            place,
            state: Mutex::new(State { config: face.config, direct, command: 0 }),
            gone: AtomicBool::new(false),
            violations: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            resets: AtomicU64::new(0),
            events: Events::new(),
            watch,
        });
        device.events.add(Happening::Attached);
        Watch::start(&device).map_err(Error::Watch)?;
        Ok(device)
    }

    /// Where it is, as `0000:01:00.0`.
    pub fn bdf(&self) -> &str {
        self.hardware.bdf()
    }

    /// Vendor and device id.
    pub fn ids(&self) -> (u16, u16) {
        self.ids
    }

    /// How it is attached.
    pub fn interface(&self) -> Interface {
        self.interface
    }

    /// What its DMA reaches.
    pub fn mappings(&self) -> &Arc<DmaMappings> {
        &self.mappings
    }

    /// The guest-physical pages that memory slots show of it now.
    pub fn shown(&self) -> Vec<Range<u64>> {
        let state = self.lock();
        let shown = state.direct.iter().filter(|direct| direct.slot.is_some());
        shown.filter_map(|direct| Some(direct.at?..direct.at? + direct.mapping.length)).collect()
    }

    /// What there is to watch.
    pub fn telemetry(&self) -> Telemetry {
        Telemetry {
            uptime_us: self.events.uptime().as_micros() as u64,
            present: !self.is_gone(),
            resets: self.resets.load(Ordering::Relaxed),
            violations: self.violations.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            vectors: self.interrupts.connected(),
            dma: self.mappings.counters(),
        }
    }

    /// Has somebody told of every event from now on, at once and on whatever thread. Only the first
    /// is.
    pub fn observe(&self, observer: impl Fn(&Event) + Send + Sync + 'static) {
        self.events.observe(Box::new(observer));
    }

    /// What happened after the event of this number.
    pub fn events_after(&self, number: u64) -> Vec<Event> {
        self.events.after(number)
    }

    /// Whether it no longer answers.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Follows the command, BAR and message registers.
    fn follow(&self, state: &mut State) {
        // A slot over memory that is off would be a fault of the VMM's.
        if state.config.word(COMMAND) & COMMAND_MEMORY == 0 {
            self.follow_bars(state, false);
        }
        self.follow_command(state);
        self.follow_bars(state, true);
        self.interrupts.follow(self.wanted(&state.config));
    }

    /// Of the command register the device hears memory and bus master.
    fn follow_command(&self, state: &mut State) {
        let command = state.config.word(COMMAND) & (COMMAND_MEMORY | COMMAND_BUS_MASTER);
        if command == state.command || self.is_gone() {
            return;
        }
        state.command = command;
        self.counted(self.hardware.write(CONFIG_REGION, COMMAND.into(), &command.to_le_bytes()));
    }

    /// Has slots where the BARs are now, or nowhere.
    fn follow_bars(&self, state: &mut State, shown: bool) {
        let State { config, direct, .. } = state;
        for direct in direct {
            let bar = config.bar_range(direct.bar).filter(|_| shown && !self.is_gone());
            let at = bar.map(|bar| bar.start + direct.offset);
            if at == direct.at {
                continue;
            }
            if let Some(slot) = direct.slot.take() {
                self.slots.hide(slot);
            }
            direct.at = at;
            direct.slot = at.and_then(|at| self.slots.show(at, &direct.mapping).ok());
        }
    }

    fn wanted(&self, config: &ConfigSpace) -> Wanted {
        let command = config.word(COMMAND);
        if command & COMMAND_BUS_MASTER == 0 || self.is_gone() {
            return Wanted::Off;
        }
        if let Some(at) = self.place.msix {
            let control = config.word(at + msix::MESSAGE_CONTROL);
            if control & msix::ENABLE != 0 {
                return Wanted::MsiX { masked: control & msix::FUNCTION_MASK != 0 };
            }
        }
        let Some(at) = self.place.msi else { return Wanted::Off };
        let control = config.word(at + msi::MESSAGE_CONTROL);
        if control & msi::ENABLE == 0 {
            return Wanted::Off;
        }
        let (low, high) = (config.dword(at + msi::ADDRESS), config.dword(at + msi::ADDRESS + 4));
        let address = u64::from(high) << 32 | u64::from(low);
        let message = MsiMessage { address, data: config.word(at + msi::DATA).into() };
        // No more than the device has (bits 3:1), and 5 is the most that means anything.
        let count = (control >> msi::ENABLED_SHIFT & 7).min(control >> 1 & 7).min(5);
        Wanted::Msi { message, count: 1 << count }
    }

    /// An access to a blocked range: counted, and told once.
    fn refuse(&self, bar: u8, offset: u64, write: bool) {
        let count = self.violations.fetch_add(1, Ordering::Relaxed) + 1;
        self.events.add(Happening::Blocked { bar, page: offset & !0xfff, write });
        if count.is_power_of_two() {
            tracing::warn!(
                bdf = self.bdf(),
                bar,
                offset,
                write,
                count,
                "blocked range reached for"
            );
        }
    }

    fn counted(&self, result: io::Result<()>) -> bool {
        if let Err(error) = &result {
            let count = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
            if count.is_power_of_two() {
                tracing::warn!(%error, bdf = self.bdf(), count, "device refuses an access");
            }
        }
        result.is_ok()
    }

    fn plan(&self, index: u8) -> Option<&BarPlan> {
        self.plans.iter().find(|plan| plan.index == index)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Function for VfioDevice {
    fn read_config(&self, offset: u16, data: &mut [u8]) {
        match self.is_gone() {
            true => data.fill(0xff),
            false => self.lock().config.read(offset, data),
        }
    }

    fn write_config(&self, offset: u16, data: &[u8]) {
        if self.is_gone() {
            return;
        }
        let control = self.place.express + express::DEVICE_CONTROL;
        let flr = config::carried(control, offset, data) & express::INITIATE_FLR != 0;
        if flr && self.hardware.resettable() {
            return self.function_level_reset();
        }
        let mut state = self.lock();
        state.config.write(offset, data);
        self.follow(&mut state);
    }

    fn bars(&self) -> Vec<Bar> {
        self.lock().config.bars().to_vec()
    }

    fn place_bar(&self, index: u8, address: u64) {
        let mut state = self.lock();
        state.config.place_bar(index, address);
        state.config.write(COMMAND, &(COMMAND_MEMORY | COMMAND_BUS_MASTER).to_le_bytes());
        self.follow(&mut state);
    }

    fn bar_range(&self, index: u8) -> Option<Range<u64>> {
        self.lock().config.bar_range(index)
    }

    fn read_bar(&self, index: u8, offset: u64, data: &mut [u8]) {
        let Some(plan) = self.plan(index) else { return };
        match plan.answer(offset, data.len() as u64) {
            Answer::Blocked => self.refuse(index, offset, false),
            _ if self.is_gone() => {}
            Answer::Table(at) => self.interrupts.read_table(at, data),
            Answer::Pending(at) => self.interrupts.read_pending(at, data),
            Answer::Device => {
                if !self.counted(self.hardware.read(index.into(), offset, data)) {
                    data.fill(0xff);
                }
            }
        }
    }

    fn write_bar(&self, index: u8, offset: u64, data: &[u8]) {
        let Some(plan) = self.plan(index) else { return };
        match plan.answer(offset, data.len() as u64) {
            Answer::Blocked => self.refuse(index, offset, true),
            _ if self.is_gone() => {}
            Answer::Table(at) => self.interrupts.write_table(at, data),
            Answer::Pending(_) => {}
            Answer::Device => {
                self.counted(self.hardware.write(index.into(), offset, data));
            }
        }
    }
}

/// Nobody reaches a BAR that is not shown, so that blocking it is no mistake.
fn check_blocks(blocks: &[Block], face: &Face) -> Result<(), Error> {
    let bars = face.config.bars();
    let sound = |block: &&Block| {
        if face.hidden.contains(&block.bar) {
            return true;
        }
        let bar = bars.iter().find(|bar| bar.index == block.bar);
        !block.range.is_empty() && bar.is_some_and(|bar| block.range.end <= bar.size)
    };
    match blocks.iter().find(|block| !sound(block)) {
        None => Ok(()),
        Some(block) => {
            let bars = bars.iter().map(|bar| format!("{}:0-{:#x}", bar.index, bar.size));
            Err(Error::Block(block.clone(), bars.collect::<Vec<_>>().join(", ")))
        }
    }
}

/// Maps what the guest may reach directly. What the kernel does not map traps.
fn direct_of(hardware: &dyn Hardware, plan: &BarPlan) -> Vec<Direct> {
    let mappable = hardware.region(plan.index.into()).is_ok_and(|region| region.mappable);
    let ranges = if mappable { plan.direct() } else { Vec::new() };
    let direct = ranges.into_iter().filter_map(|range| {
        let (bar, offset, length) = (plan.index, range.start, range.end - range.start);
        match hardware.map(bar.into(), offset, length) {
            Ok(mapping) => {
                Some(Direct { bar, offset, mapping: Arc::new(mapping), at: None, slot: None })
            }
            Err(error) => {
                tracing::warn!(%error, bar, offset, length, "BAR's pages trap: they do not map");
                None
            }
        }
    });
    direct.collect()
}

/// Has the mappings follow the page-state map.
fn follow_pages(pages: &PageStateMap, mappings: &Arc<DmaMappings>) -> Result<(), Error> {
    let Err(page_state::Error::NotTaken { .. }) = pages.subscribe(mappings.clone()) else {
        return Ok(());
    };
    let reason = mappings.take_failure().unwrap_or_else(|| io::Error::other("no reason given"));
    let limit = getrlimit(Resource::Memlock).current;
    match (reason.raw_os_error(), limit) {
        (Some(libc::ENOMEM), Some(limit)) => Err(Error::Memlock { limit }),
        _ => Err(Error::Map(reason)),
    }
}

#[cfg(test)]
mod tests;
