//! The table of messages as the guest reads and writes it, and the array of pending bits beside it
//! (PCI Express Base Specification 6.0, sections 6.1.4.2 and 7.7.2).
//!
//! Who sends the messages, and when, is decided elsewhere: a model's [`Msix`](super::Msix), or the
//! kernel for a passed-through device.

use super::MsiMessage;

/// Bytes of an entry: address, data, vector control.
pub const ENTRY_SIZE: u64 = 16;
/// Vector control: the vector is masked.
pub(super) const MASKED: u32 = 1;
/// Entries after reset are masked (section 7.7.2.3).
const ENTRY_RESET: [u32; 4] = [0, 0, 0, MASKED];

/// A function's table of messages.
pub struct Table(Vec<[u32; 4]>);

impl Table {
    /// A table of masked vectors.
    pub fn new(vectors: u16) -> Self {
        Self(vec![ENTRY_RESET; vectors.into()])
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has no vector.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Masks and clears every entry.
    pub fn reset(&mut self) {
        self.0.fill(ENTRY_RESET);
    }

    /// The message of a vector; `None` where it is masked or not there.
    pub fn message(&self, vector: usize) -> Option<MsiMessage> {
        let [low, high, data, control] = *self.0.get(vector)?;
        let address = u64::from(high) << 32 | u64::from(low);
        (control & MASKED == 0).then_some(MsiMessage { address, data })
    }

    /// Reads 4 or 8 bytes at a multiple of as many. Anything else reads all ones, and what lies behind
    /// the last vector zero.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        dwords(offset, data, |at| self.0.as_flattened().get(at).copied());
    }

    /// Writes 4 or 8 bytes at a multiple of as many. Anything else is dropped; whether anything was
    /// written.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> bool {
        if !natural(offset, data.len()) {
            return false;
        }
        for (at, bytes) in (offset / 4..).zip(data.as_chunks().0) {
            let place = usize::try_from(at).ok();
            if let Some(dword) = place.and_then(|at| self.0.as_flattened_mut().get_mut(at)) {
                *dword = u32::from_le_bytes(*bytes) & if at % 4 == 3 { MASKED } else { !0 };
            }
        }
        true
    }
}

/// Reads the pending bits of these vectors, in the same way as the table. Writes to them mean nothing.
pub fn read_pending<T>(vectors: &[T], pending: impl Fn(&T) -> bool, offset: u64, data: &mut [u8]) {
    dwords(offset, data, |at| {
        let vectors = vectors.chunks(32).nth(at)?;
        Some(vectors.iter().rev().fold(0, |bits, one| bits << 1 | u32::from(pending(one))))
    });
}

/// Whether an access has a width and an alignment that the structures answer (section 6.1.4.2).
pub(super) fn natural(offset: u64, width: usize) -> bool {
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
