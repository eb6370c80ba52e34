//! A physical device's interrupts into the guest: each vector is an event that the kernel's VFIO writes
//! and its KVM reads (irqfd), and the VMM sees none of them.
//!
//! The guest's table of vectors is ours, in the place of the device's, which the host's kernel fills. A
//! vector that is masked has its event connected to nothing; what comes meanwhile is counted in the
//! event, shows as pending, and goes out once the vector is connected again.

use super::hardware::{Hardware, InterruptKind};
use crate::pci::msix::{self, MsiMessage, Table};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// A VM refuses to take an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// A connection of a VM's, by a number of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route(pub u32);

/// The VM's end of interrupts.
pub trait Routes: Send + Sync {
    /// Has a message delivered whenever the event is written, and once if it has been.
    ///
    /// # Errors
    /// [`Refused`] where the VM has no route left.
    fn connect(&self, event: &EventFd, message: MsiMessage) -> Result<Route, Refused>;
    /// Ends that. What is written to the event then stays in it.
    fn disconnect(&self, event: &EventFd, route: Route);
}

/// What the guest has set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing.
    Off,
    /// MSI: the first message, and how many.
    Msi {
        /// Of vector 0; the others differ in the low bits of the data.
        message: MsiMessage,
        /// A power of two.
        count: u16,
    },
    /// MSI-X, all vectors masked or not.
    MsiX {
        /// Function mask.
        masked: bool,
    },
}

/// A device's vectors.
pub struct Interrupts {
    hardware: Arc<dyn Hardware>,
    routes: Arc<dyn Routes>,
    state: Mutex<State>,
}

struct State {
    /// The guest's table.
    table: Table,
    wanted: Wanted,
    /// Of what kind the vectors are that the device has now.
    kind: Option<InterruptKind>,
    vectors: Vec<Vector>,
}

struct Vector {
    event: Arc<EventFd>,
    route: Option<(Route, MsiMessage)>,
}

impl Interrupts {
    /// None yet; an MSI-X table of so many entries.
    pub fn new(hardware: Arc<dyn Hardware>, routes: Arc<dyn Routes>, entries: u16) -> Self {
        let state = State {
            table: Table::new(entries),
            wanted: Wanted::Off,
            kind: None,
            vectors: Vec::new(),
        };
        Self { hardware, routes, state: Mutex::new(state) }
    }

    /// Follows the guest's registers.
    pub fn follow(&self, wanted: Wanted) {
        let mut state = self.lock();
        state.wanted = wanted;
        self.apply(&mut state);
    }

    /// Turns everything off at the device, as before a reset; the guest's set-up stays.
    pub fn suspend(&self) {
        let mut state = self.lock();
        self.turn_off(&mut state);
    }

    /// Turns on what the guest has set up.
    pub fn resume(&self) {
        let mut state = self.lock();
        self.apply(&mut state);
    }

    /// Forgets what the guest has set up.
    pub fn reset(&self) {
        let mut state = self.lock();
        self.turn_off(&mut state);
        state.table.reset();
        state.wanted = Wanted::Off;
    }

    /// Vectors that are connected now.
    pub fn connected(&self) -> usize {
        self.lock().vectors.iter().filter(|vector| vector.route.is_some()).count()
    }

    /// Reads the table, as [`Table::read`].
    pub fn read_table(&self, offset: u64, data: &mut [u8]) {
        self.lock().table.read(offset, data);
    }

    /// Writes the table, as [`Table::write`].
    pub fn write_table(&self, offset: u64, data: &[u8]) {
        let mut state = self.lock();
        if state.table.write(offset, data) {
            self.apply(&mut state);
        }
    }

    /// Reads the pending bits.
    pub fn read_pending(&self, offset: u64, data: &mut [u8]) {
        let pending = |vector: &Vector| vector.route.is_none() && has_fired(&vector.event);
        msix::read_pending(&self.lock().vectors, pending, offset, data);
    }

    /// Brings the device's vectors and their connections to what is wanted.
    fn apply(&self, state: &mut State) {
        let (kind, count) = match state.wanted {
            Wanted::Off => (None, 0),
            Wanted::Msi { count, .. } => (Some(InterruptKind::Msi), usize::from(count)),
            Wanted::MsiX { .. } => (Some(InterruptKind::MsiX), state.table.len()),
        };
        if state.kind != kind || state.vectors.len() != count {
            self.turn_off(state);
            if let Some(kind) = kind {
                self.turn_on(state, kind, count);
            }
        }
        for place in 0..state.vectors.len() {
            let message = state.message(place);
            let Some(vector) = state.vectors.get_mut(place) else { continue };
            if vector.route.map(|(_, message)| message) == message {
                continue;
            }
            if let Some((route, _)) = vector.route.take() {
                self.routes.disconnect(&vector.event, route);
            }
            if let Some(message) = message {
                match self.routes.connect(&vector.event, message) {
                    Ok(route) => vector.route = Some((route, message)),
                    Err(Refused) => tracing::warn!(place, "interrupt vector not connected"),
                }
            }
        }
    }

    fn turn_on(&self, state: &mut State, kind: InterruptKind, count: usize) {
        let events = (0..count).map(|_| EventFd::new(EFD_NONBLOCK).map(Arc::new));
        let events = events.collect::<Result<Vec<_>, _>>();
        let on = events.and_then(|events| {
            self.hardware.set_interrupts(kind, &events)?;
            Ok(events)
        });
        match on {
            Ok(events) => {
                state.kind = Some(kind);
                let vectors = events.into_iter().map(|event| Vector { event, route: None });
                state.vectors = vectors.collect();
            }
            Err(error) => tracing::warn!(%error, ?kind, count, "interrupts not turned on"),
        }
    }

    fn turn_off(&self, state: &mut State) {
        for vector in state.vectors.drain(..) {
            if let Some((route, _)) = vector.route {
                self.routes.disconnect(&vector.event, route);
            }
        }
        if let Some(kind) = state.kind.take()
            && let Err(error) = self.hardware.set_interrupts(kind, &[])
        {
            tracing::debug!(%error, ?kind, "interrupts not turned off");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The message of a vector that may send now.
    fn message(&self, place: usize) -> Option<MsiMessage> {
        match self.wanted {
            Wanted::Off | Wanted::MsiX { masked: true } => None,
            Wanted::Msi { message, count } => {
                let low = u32::from(count).saturating_sub(1);
                Some(MsiMessage { data: message.data & !low | place as u32 & low, ..message })
            }
            Wanted::MsiX { masked: false } => self.table.message(place),
        }
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        self.suspend();
    }
}

/// Whether an event was written and nobody has read it.
fn has_fired(event: &EventFd) -> bool {
    let Ok(count) = event.read() else { return false };
    // Reading has emptied it.
    event.write(count).is_ok()
}
