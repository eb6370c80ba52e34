//! Places in GPU memory: ranges given out one behind the other, never taken back.

use core::ops::Range;

use crate::task::Error;

/// Where tensors begin, for the memory's and the kernels' sake.
const ALIGNMENT: u64 = 256;

/// Gives out GPU memory.
pub struct Places {
    all: Range<u64>,
    next: u64,
}

impl Places {
    /// Gives out of this range.
    pub fn new(all: Range<u64>) -> Places {
        Places { next: all.start, all }
    }

    /// The address of `length` bytes that are nobody else's.
    pub fn take(&mut self, length: u64) -> Result<u64, Error> {
        let place = self.next.checked_next_multiple_of(ALIGNMENT);
        let end = place.and_then(|place| place.checked_add(length));
        match (place, end) {
            (Some(place), Some(end)) if end <= self.all.end => {
                self.next = end;
                Ok(place)
            }
            _ => Err(Error::GpuMemory {
                needed: (self.next - self.all.start).saturating_add(length),
                given: self.all.end.saturating_sub(self.all.start),
            }),
        }
    }
}
