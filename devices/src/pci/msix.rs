//! MSI-X: the table of messages, the pending bits, masking (PCI Express Base Specification 6.0,
//! section 6.1.4).
//!
//! A vector that is raised while it is masked, or while the function may not send, stays pending and
//! goes out once that ends. The guest owns the table, so a message may go anywhere it likes among its
//! own interrupts; delivering it is the [`MsiSink`]'s.

mod table;

use super::capability::msix::{ENABLE, FUNCTION_MASK};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
pub use table::{ENTRY_SIZE, Table, read_pending};

/// A message signalled interrupt: a write of `data` to `address`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsiMessage {
    /// Where the guest wants the message: in the range of its local APICs.
    pub address: u64,
    /// What it carries: vector and delivery mode.
    pub data: u32,
}

/// Delivers messages to the guest's interrupt controllers.
pub trait MsiSink: Send + Sync {
    /// Delivers a message that the guest has written into a table. It may be nonsense.
    fn signal(&self, message: MsiMessage);
}

/// A function's MSI-X table and pending bits.
pub struct Msix {
    sink: Arc<dyn MsiSink>,
    state: Mutex<State>,
}

struct State {
    table: Table,
    pending: Vec<bool>,
    /// The function may send: MSI-X is enabled, not masked as a whole, and bus mastering is on.
    open: bool,
}

impl Msix {
    /// A table of masked vectors.
    pub fn new(vectors: u16, sink: Arc<dyn MsiSink>) -> Self {
        let pending = vec![false; vectors.into()];
        let state = State { table: Table::new(vectors), pending, open: false };
        Self { sink, state: Mutex::new(state) }
    }

    /// Sends a vector's message, or remembers it where that is not possible now. A vector that the
    /// table does not have is ignored.
    pub fn raise(&self, vector: u16) {
        let mut state = self.lock();
        if let Some(pending) = state.pending.get_mut(usize::from(vector)) {
            *pending = true;
            self.send(&mut state);
        }
    }

    /// Follows the Message Control register and the function's bus master bit.
    pub fn set_control(&self, message_control: u16, bus_master: bool) {
        let mut state = self.lock();
        state.open = bus_master && message_control & (ENABLE | FUNCTION_MASK) == ENABLE;
        self.send(&mut state);
    }

    /// Masks and clears everything.
    pub fn reset(&self) {
        let mut state = self.lock();
        state.table.reset();
        state.pending.fill(false);
        state.open = false;
    }

    /// Reads the table, as [`Table::read`].
    pub fn read_table(&self, offset: u64, data: &mut [u8]) {
        self.lock().table.read(offset, data);
    }

    /// Writes the table, as [`Table::write`].
    pub fn write_table(&self, offset: u64, data: &[u8]) {
        let mut state = self.lock();
        if state.table.write(offset, data) {
            self.send(&mut state);
        }
    }

    /// Reads the pending bits.
    pub fn read_pending(&self, offset: u64, data: &mut [u8]) {
        read_pending(&self.lock().pending, |pending| *pending, offset, data);
    }

    /// Sends whatever is pending and may go.
    fn send(&self, state: &mut State) {
        if !state.open {
            return;
        }
        for (vector, pending) in state.pending.iter_mut().enumerate() {
            if *pending && let Some(message) = state.table.message(vector) {
                *pending = false;
                self.sink.signal(message);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
