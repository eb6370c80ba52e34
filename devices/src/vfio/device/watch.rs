//! Notices that a device no longer answers, or that the host wants it back.
//!
//! A device that is gone reads all ones. One dword of configuration space, read a few times a second,
//! is enough to see it: the status register has bits that are always zero, and the class is never all
//! ones. Vendor and device id would not do: the kernel answers for them.

use super::{State, VfioDevice};
use crate::pci::config::COMMAND;
use crate::vfio::events::Happening;
use crate::vfio::hardware::{CONFIG_REGION, Hardware};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// Between two looks: a second has several.
const LOOK: Duration = Duration::from_millis(200);
const _: () = assert!(LOOK.as_millis() * 3 < 1000);
const REVISION_AND_CLASS: u64 = 0x08;

/// A watch, which ends with its device.
pub(super) struct Watch {
    /// Written when the host wants the device back.
    request: EventFd,
    /// Closed when the device goes.
    _end: Sender<()>,
    /// Until it has started.
    ended: Mutex<Option<Receiver<()>>>,
}

impl Watch {
    pub(super) fn new(hardware: &dyn Hardware) -> io::Result<Self> {
        let request = EventFd::new(EFD_NONBLOCK)?;
        if let Err(error) = hardware.on_release_request(&request) {
            tracing::debug!(%error, "the host will not say when it wants the device back");
        }
        let (end, ended) = mpsc::channel();
        Ok(Self { request, _end: end, ended: Mutex::new(Some(ended)) })
    }

    /// Watches a device until it is dropped.
    pub(super) fn start(device: &Arc<VfioDevice>) -> io::Result<()> {
        let mut ended = device.watch.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(ended) = ended.take() else { return Ok(()) };
        let device = Arc::downgrade(device);
        thread::Builder::new().name("vfio-watch".into()).spawn(move || run(&device, &ended))?;
        Ok(())
    }
}

fn run(device: &Weak<VfioDevice>, ended: &Receiver<()>) {
    while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        let Some(device) = device.upgrade() else { return };
        device.look();
    }
}

impl VfioDevice {
    /// One look.
    pub(super) fn look(&self) {
        if self.watch.request.read().is_ok() && self.events.add(Happening::ReleaseRequested) {
            tracing::warn!(bdf = self.bdf(), "the host wants the device back: end the VM");
        }
        // Not during a reset, which holds the lock.
        let mut state = self.lock();
        if !self.is_gone() && !self.answers() {
            self.vanish(&mut state);
        }
    }

    /// Whether the device answers.
    pub(super) fn answers(&self) -> bool {
        let read = |at: u64| {
            let mut dword = [0; 4];
            self.hardware.read(CONFIG_REGION, at, &mut dword).map(|()| u32::from_le_bytes(dword))
        };
        // Class first: while a device is away the kernel may answer for the command.
        let class = read(REVISION_AND_CLASS);
        let status = read(COMMAND.into()).map(|dword| dword >> 16);
        !(class.is_err()
            || status.is_err()
            || class.ok() == Some(!0) && status.ok() == Some(0xffff))
    }

    /// Takes the device from the guest: slots and interrupts go, everything reads all ones.
    pub(super) fn vanish(&self, state: &mut State) {
        if self.gone.swap(true, Ordering::AcqRel) {
            return;
        }
        self.follow_bars(state, false);
        self.interrupts.suspend();
        self.events.add(Happening::Vanished);
        tracing::error!(bdf = self.bdf(), "device vanished: it reads all ones");
    }
}
