//! A device that is not there, for tests: it has the registers that it is given, keeps what it was told,
//! and can be made to fail.

use super::attach::{Attached, Interface};
use super::device::{Slots, Vm};
use super::dma::Iommu;
use super::hardware::{
    BusNeighbour, CONFIG_REGION, Hardware, InterruptKind, Mapping, Region, RegionIndex,
};
use super::interrupts::{Refused, Route, Routes};
use crate::page_state::{PageState, PageStateMap};
use crate::pci::msix::MsiMessage;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use vm_memory::{GuestAddress, GuestMemoryMmap};
use vmm_sys_util::eventfd::EventFd;

/// What happened, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Write(RegionIndex, u64, Vec<u8>),
    Interrupts(InterruptKind, usize),
    Reset,
    ResetBus,
    Show(u64, u64),
    Hide(u64),
    Connect(MsiMessage),
    Disconnect(MsiMessage),
}

/// Everything around a device: its registers, a VM, and what happened.
pub(super) struct Fake {
    pub(super) config: Mutex<[u8; 256]>,
    pub(super) bars: [u64; 6],
    pub(super) vectors: BTreeMap<u8, u32>,
    pub(super) resettable: bool,
    pub(super) gone: AtomicBool,
    /// A reset takes the device away.
    pub(super) dies_of_reset: AtomicBool,
    pub(super) neighbours: Mutex<Vec<BusNeighbour>>,
    pub(super) calls: Mutex<Vec<Call>>,
    pub(super) shown: Mutex<BTreeMap<u32, Range<u64>>>,
    pub(super) routes: Mutex<BTreeMap<u32, (i32, MsiMessage)>>,
    pub(super) mapped: Mutex<BTreeMap<u64, u64>>,
    pub(super) no_memory: AtomicBool,
    pub(super) next: AtomicU32,
}

/// Where the guest's BARs may be.
pub(super) const BARS: Range<u64> = 1 << 32..1 << 40;

impl Fake {
    /// A controller with a 32-bit BAR 0 of 32 KiB, a 64-bit BAR 2 of 1 MiB, I/O ports at BAR 4, power
    /// management, MSI, and MSI-X with its 8 vectors in BAR 0 at 0x2000 and 0x3000.
    pub(super) fn new() -> Self {
        let mut config = [0; 256];
        let mut put = |at: usize, bytes: &[u8]| config[at..at + bytes.len()].copy_from_slice(bytes);
        put(0x00, &[0xde, 0x10, 0x31, 0x23]);
        put(0x06, &[0x10, 0x00]);
        put(0x08, &[0xa1, 0x00, 0x02, 0x03]);
        put(0x18, &[0x0c]);
        put(0x20, &[0x01]);
        put(0x2c, &[0x28, 0x10, 0x11, 0x04]);
        put(0x34, &[0x40]);
        // Power management, MSI for 4 messages, MSI-X for 8 vectors; the list ends in a ring.
        put(0x40, &[0x01, 0x50, 0x03, 0x00]);
        put(0x50, &[0x05, 0x70, 0x84, 0x00]);
        put(0x70, &[0x11, 0x40, 0x07, 0x00, 0x00, 0x20, 0, 0, 0x00, 0x30, 0, 0]);
        Self {
            config: Mutex::new(config),
            bars: [0x8000, 0, 1 << 20, 0, 0x20, 0],
            vectors: BTreeMap::from([(0, 4), (1, 8)]),
            resettable: true,
            gone: AtomicBool::new(false),
            dies_of_reset: AtomicBool::new(false),
            neighbours: Mutex::default(),
            calls: Mutex::default(),
            shown: Mutex::default(),
            routes: Mutex::default(),
            mapped: Mutex::default(),
            no_memory: AtomicBool::new(false),
            next: AtomicU32::new(0),
        }
    }

    /// It as an attached device, and a VM with 16 MiB of private memory to give it to.
    pub(super) fn parts(self) -> (Arc<Self>, Attached, Vm) {
        let fake = Arc::new(self);
        let attached =
            Attached { hardware: fake.clone(), iommu: fake.clone(), interface: Interface::Cdev };
        let pages = PageStateMap::new(std::iter::once(0..16 << 20), PageState::Private).unwrap();
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 16 << 20)]).unwrap();
        let (slots, routes) = (fake.clone(), fake.clone());
        (fake, attached, Vm { slots, routes, pages: Arc::new(pages), memory })
    }

    /// What happened since the last time.
    pub(super) fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    /// The guest's addresses that slots show, in order.
    pub(super) fn slots(&self) -> Vec<Range<u64>> {
        let mut slots: Vec<_> = self.shown.lock().unwrap().values().cloned().collect();
        slots.sort_by_key(|range| range.start);
        slots
    }

    /// Messages that are connected.
    pub(super) fn messages(&self) -> Vec<MsiMessage> {
        self.routes.lock().unwrap().values().map(|(_, message)| *message).collect()
    }

    fn note(&self, call: Call) {
        self.calls.lock().unwrap().push(call);
    }

    fn present(&self) -> io::Result<()> {
        match self.gone.load(Ordering::SeqCst) {
            true => Err(io::ErrorKind::NotConnected.into()),
            false => Ok(()),
        }
    }

    fn after_reset(&self) {
        if self.dies_of_reset.load(Ordering::SeqCst) {
            self.gone.store(true, Ordering::SeqCst);
        }
    }
}

impl Hardware for Fake {
    fn bdf(&self) -> &str {
        "0000:01:00.0"
    }

    fn region(&self, index: RegionIndex) -> io::Result<Region> {
        let size = self.bars.get(index as usize).copied().unwrap_or(256);
        Ok(Region { size, mappable: size >= 4096 })
    }

    fn read(&self, index: RegionIndex, offset: u64, data: &mut [u8]) -> io::Result<()> {
        if index != CONFIG_REGION {
            self.present()?;
            // Registers of which each byte says where it is.
            data.iter_mut().zip(offset..).for_each(|(byte, at)| *byte = at as u8 & 0x7f);
            return Ok(());
        }
        // As a bus does it: nobody answers.
        if self.gone.load(Ordering::SeqCst) {
            data.fill(0xff);
            return Ok(());
        }
        let at = offset as usize;
        data.copy_from_slice(&self.config.lock().unwrap()[at..at + data.len()]);
        Ok(())
    }

    fn write(&self, index: RegionIndex, offset: u64, data: &[u8]) -> io::Result<()> {
        self.present()?;
        self.note(Call::Write(index, offset, data.to_vec()));
        Ok(())
    }

    fn map(&self, index: RegionIndex, offset: u64, length: u64) -> io::Result<Mapping> {
        // Nobody touches it: the number says which bytes of which BAR it would be.
        let host = 1 << 56 | u64::from(index) << 48 | offset;
        Ok(Mapping { host, length, owner: Box::new(()) })
    }

    fn interrupts(&self, kind: InterruptKind) -> io::Result<u32> {
        Ok(self.vectors.get(&(kind as u8)).copied().unwrap_or(0))
    }

    fn set_interrupts(&self, kind: InterruptKind, events: &[Arc<EventFd>]) -> io::Result<()> {
        self.note(Call::Interrupts(kind, events.len()));
        Ok(())
    }

    fn on_release_request(&self, _: &EventFd) -> io::Result<()> {
        Ok(())
    }

    fn resettable(&self) -> bool {
        self.resettable
    }

    fn reset(&self) -> io::Result<()> {
        self.note(Call::Reset);
        self.after_reset();
        Ok(())
    }

    fn bus_neighbours(&self) -> io::Result<Vec<BusNeighbour>> {
        Ok(self.neighbours.lock().unwrap().clone())
    }

    fn reset_bus(&self) -> io::Result<()> {
        self.note(Call::ResetBus);
        // It may bring a lost device back.
        self.gone.store(false, Ordering::SeqCst);
        self.after_reset();
        Ok(())
    }
}

impl Iommu for Fake {
    fn map(&self, iova: u64, _: u64, length: u64) -> io::Result<()> {
        if self.no_memory.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(libc::ENOMEM));
        }
        self.mapped.lock().unwrap().insert(iova, length);
        Ok(())
    }

    fn unmap(&self, iova: u64, length: u64) -> io::Result<()> {
        assert_eq!(self.mapped.lock().unwrap().remove(&iova), Some(length));
        Ok(())
    }

    fn limit(&self) -> u64 {
        65_535
    }
}

impl Slots for Fake {
    fn show(&self, address: u64, mapping: &Arc<Mapping>) -> Result<u32, Refused> {
        let range = address..address.checked_add(mapping.length).ok_or(Refused)?;
        if range.start < BARS.start || range.end > BARS.end {
            return Err(Refused);
        }
        let slot = self.next.fetch_add(1, Ordering::SeqCst);
        self.note(Call::Show(address, mapping.host));
        self.shown.lock().unwrap().insert(slot, range);
        Ok(slot)
    }

    fn hide(&self, slot: u32) {
        let range = self.shown.lock().unwrap().remove(&slot).expect("hidden twice");
        self.note(Call::Hide(range.start));
    }
}

impl Routes for Fake {
    fn connect(&self, event: &EventFd, message: MsiMessage) -> Result<Route, Refused> {
        let route = self.next.fetch_add(1, Ordering::SeqCst);
        self.note(Call::Connect(message));
        self.routes.lock().unwrap().insert(route, (event.as_raw_fd(), message));
        Ok(Route(route))
    }

    fn disconnect(&self, event: &EventFd, Route(route): Route) {
        let (fd, message) = self.routes.lock().unwrap().remove(&route).expect("ended twice");
        assert_eq!(fd, event.as_raw_fd());
        self.note(Call::Disconnect(message));
    }
}
