//! MSI-X: the table of messages, the pending bits, masking (PCI Express Base Specification 6.0,
//! section 6.1.4).
//!
//! A vector that is raised while it is masked, or while the function may not send, stays pending and
//! goes out once that ends. The guest owns the table, so a message may go anywhere it likes among its
//! own interrupts; delivering it is the [`MsiSink`]'s.

use super::capability::msix::{ENABLE, FUNCTION_MASK};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of a table entry: address, data, vector control.
pub const ENTRY_SIZE: u64 = 16;
/// Vector control: the vector is masked.
const MASKED: u32 = 1;
/// Table entries after reset are masked (section 7.7.2.3).
const ENTRY_RESET: [u32; 4] = [0, 0, 0, MASKED];

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
    entries: Vec<[u32; 4]>,
    pending: Vec<bool>,
    /// The function may send: MSI-X is enabled, not masked as a whole, and bus mastering is on.
    open: bool,
}

impl Msix {
    /// A table of masked vectors.
    pub fn new(vectors: u16, sink: Arc<dyn MsiSink>) -> Self {
        let vectors = usize::from(vectors);
        let state = State {
            entries: vec![ENTRY_RESET; vectors],
            pending: vec![false; vectors],
            open: false,
        };
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
        state.entries.fill(ENTRY_RESET);
        state.pending.fill(false);
        state.open = false;
    }

    /// Reads the table: 4 or 8 bytes at a multiple of as many. Anything else reads all ones, and
    /// what lies behind the last vector zero.
    pub fn read_table(&self, offset: u64, data: &mut [u8]) {
        let state = self.lock();
        dwords(offset, data, |at| state.entries.as_flattened().get(at).copied());
    }

    /// Writes the table: 4 or 8 bytes at a multiple of as many. Anything else is dropped.
    pub fn write_table(&self, offset: u64, data: &[u8]) {
        if !natural(offset, data.len()) {
            return;
        }
        let mut state = self.lock();
        for (at, bytes) in (offset / 4..).zip(data.as_chunks().0) {
            let place = usize::try_from(at).ok();
            if let Some(dword) = place.and_then(|at| state.entries.as_flattened_mut().get_mut(at)) {
                *dword = u32::from_le_bytes(*bytes) & if at % 4 == 3 { MASKED } else { !0 };
            }
        }
        self.send(&mut state);
    }

    /// Reads the pending bits, in the same way as the table. Writes to them mean nothing.
    pub fn read_pending(&self, offset: u64, data: &mut [u8]) {
        let state = self.lock();
        dwords(offset, data, |at| {
            let vectors = state.pending.chunks(32).nth(at)?;
            Some(vectors.iter().rev().fold(0, |bits, pending| bits << 1 | u32::from(*pending)))
        });
    }

    /// Sends whatever is pending and may go.
    fn send(&self, state: &mut State) {
        if !state.open {
            return;
        }
        for ([low, high, data, control], pending) in state.entries.iter().zip(&mut state.pending) {
            if *pending && control & MASKED == 0 {
                *pending = false;
                let address = u64::from(*high) << 32 | u64::from(*low);
                self.sink.signal(MsiMessage { address, data: *data });
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an access has a width and an alignment that the structures answer (section 6.1.4.2).
fn natural(offset: u64, width: usize) -> bool {
    matches!(width, 4 | 8) && offset.is_multiple_of(width as u64)
}

/// Fills `data` from an array of dwords; zero behind its end, all ones for a bad access.
fn dwords(offset: u64, data: &mut [u8], get: impl Fn(usize) -> Option<u32>) {
    if !natural(offset, data.len()) {
        return data.fill(0xff);
    }
    for (at, bytes) in (offset / 4..).zip(data.as_chunks_mut().0) {
        let dword = usize::try_from(at).ok().and_then(&get).unwrap_or(0);
        *bytes = dword.to_le_bytes();
    }
}

#[cfg(test)]
mod tests;
