//! A function on the bus as a script meets it: what must hold of its configuration space whatever is
//! written there, and how it is brought back to where it was.

use super::gpu;
use super::virtio::Virtio;
use crate::apm::ApmDevice;
use crate::bus::MmioBus;
use crate::drive::Script;
use crate::drive::guest::Guest;
use crate::pci::bus::Function;
use crate::pci::capability::{express, msix};
use crate::pci::config::{COMMAND, COMMAND_BUS_MASTER, COMMAND_MEMORY};
use crate::pci::msix::{MsiMessage, MsiSink};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Registers that nothing changes: identity, class, subsystem, the list of capabilities.
const FIXED: [u16; 4] = [0x00, 0x08, 0x2c, 0x34];
/// BAR0.
const BARS: u16 = 0x10;

/// A function.
pub(super) struct Face {
    /// Its configuration space on the MMIO bus.
    pub(super) place: u64,
    pub(super) function: Arc<dyn Function>,
    kind: Kind,
    /// What [`FIXED`] registers and the headers of capabilities hold.
    fixed: Vec<(u16, u32)>,
    /// Where its BARs were at first.
    homes: Vec<(u8, Range<u64>)>,
    express: u16,
    msix: u16,
}

/// What kind of function it is.
pub(super) enum Kind {
    Virtio(Virtio),
    Gpu(Arc<ApmDevice>),
}

/// How many interrupts were sent, and whether that could be.
#[derive(Default)]
pub(super) struct Signals {
    sent: AtomicU64,
    /// How many there were when nobody could send.
    quiet: AtomicU64,
}

impl MsiSink for Signals {
    fn signal(&self, _: MsiMessage) {
        self.sent.fetch_add(1, Ordering::SeqCst);
    }
}

impl Signals {
    /// Nothing is sent between two looks at which nobody could send.
    pub(super) fn check(&self, quiet: bool) {
        const OPEN: u64 = u64::MAX;
        let now = if quiet { self.sent.load(Ordering::SeqCst) } else { OPEN };
        let before = self.quiet.swap(now, Ordering::SeqCst);
        assert!(now == OPEN || before == OPEN || now == before, "an interrupt that was disabled");
    }
}

impl Face {
    pub(super) fn new(place: u64, function: Arc<dyn Function>, kind: Kind) -> Self {
        let (mut express, mut msix, mut fixed) = (0, 0, Vec::from(FIXED));
        let mut at = dword(&*function, 0x34) as u8;
        while at != 0 {
            let header = dword(&*function, at.into());
            match header as u8 {
                express::ID => express = at.into(),
                msix::ID => msix = at.into(),
                _ => {}
            }
            fixed.push(at.into());
            at = (header >> 8) as u8;
        }
        let fixed = fixed.into_iter().map(|at| (at, dword(&*function, at) & mask(at, msix)));
        let fixed = fixed.collect();
        let homes = bars(&*function).collect();
        Self { place, function, kind, fixed, homes, express, msix }
    }

    /// The addresses that its BARs claim now.
    pub(super) fn bars(&self) -> impl Iterator<Item = (u8, Range<u64>)> {
        bars(&*self.function)
    }

    /// Whether a read there has to be refused.
    pub(super) fn refuses(&self, address: u64, width: usize) -> bool {
        match &self.kind {
            Kind::Virtio(_) => false,
            Kind::Gpu(gpu) => gpu::refuses(gpu, address, width),
        }
    }

    /// What few scripts would get to by themselves: the device is set up, or given work.
    pub(super) fn act(
        &mut self,
        set_up: bool,
        how: u8,
        bus: &MmioBus,
        guest: &Guest,
        script: &mut Script<'_>,
    ) {
        let Some(bar) = self.function.bar_range(0) else { return };
        match (&mut self.kind, set_up) {
            (Kind::Virtio(virtio), true) => {
                virtio.start(bus, bar.start, guest, script.number());
            }
            (Kind::Virtio(virtio), false) => virtio.offer(bus, bar.start, guest, how, script),
            (Kind::Gpu(_), true) => gpu::ring(bus, bar.start, guest, how, script),
            (Kind::Gpu(_), false) => gpu::exchange(bus, self.place, how, script),
        }
    }

    /// The host has done something.
    pub(super) fn hear(&self) {
        if let Kind::Virtio(virtio) = &self.kind {
            virtio.hear();
        }
    }

    /// Lets the device do what it was rung for, and looks at what must hold then.
    pub(super) fn settle(&self) {
        for (at, value) in &self.fixed {
            let now = dword(&*self.function, *at) & mask(*at, self.msix);
            assert_eq!(now, *value, "the register at {at:#x} has changed");
        }
        for (index, range) in self.bars() {
            let home = self.homes.iter().find(|(home, _)| *home == index);
            let size = home.map(|(_, home)| home.end - home.start);
            assert_eq!(Some(range.end - range.start), size, "BAR {index} has another size");
            assert_eq!(size.map(|size| range.start % size), Some(0), "BAR {index} is misaligned");
        }
        if let Kind::Virtio(virtio) = &self.kind {
            virtio.settle(self.function.bar_range(0));
        }
    }

    /// Whether it may send no interrupt.
    pub(super) fn is_quiet(&self) -> bool {
        let control = (dword(&*self.function, self.msix) >> 16) as u16;
        let master = dword(&*self.function, COMMAND) as u16 & COMMAND_BUS_MASTER != 0;
        !master || control & (msix::ENABLE | msix::FUNCTION_MASK) != msix::ENABLE
    }

    /// Brings it back to where it was, as whoever uses it next would.
    pub(super) fn recover(&mut self, bus: &MmioBus, guest: &Guest) {
        if let Kind::Virtio(_) = self.kind {
            let control = self.place + u64::from(self.express + express::DEVICE_CONTROL);
            bus.write(control, &(express::INITIATE_FLR as u16).to_le_bytes());
        }
        for (index, home) in &self.homes {
            let register = self.place + u64::from(BARS + 4 * u16::from(*index));
            bus.write(register, &(home.start as u32).to_le_bytes());
            bus.write(register + 4, &((home.start >> 32) as u32).to_le_bytes());
        }
        let command = (COMMAND_MEMORY | COMMAND_BUS_MASTER).to_le_bytes();
        bus.write(self.place + u64::from(COMMAND), &command);
        assert_eq!(bars(&*self.function).collect::<Vec<_>>(), self.homes, "BARs do not come back");
        let registers = self.homes.iter().find(|(index, _)| *index == 0);
        let registers = registers.map_or(0, |(_, home)| home.start);
        match &mut self.kind {
            Kind::Virtio(virtio) => virtio.must_start(bus, registers, guest),
            Kind::Gpu(_) => gpu::must_answer(bus, self.place, registers),
        }
    }
}

/// The bits of a register that nothing changes.
fn mask(at: u16, msix: u16) -> u32 {
    // The upper half of MSI-X's header is its control register.
    if at == msix { 0xffff } else { !0 }
}

fn bars(function: &dyn Function) -> impl Iterator<Item = (u8, Range<u64>)> {
    [0, 2, 4].into_iter().filter_map(|index| Some((index, function.bar_range(index)?)))
}

fn dword(function: &dyn Function, at: u16) -> u32 {
    let mut bytes = [0; 4];
    function.read_config(at, &mut bytes);
    u32::from_le_bytes(bytes)
}
