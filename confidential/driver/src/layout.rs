//! Where the rings and their slots lie in the shared memory.

use ravelin_gpu_abi::Engine;
use ravelin_gpu_abi::ring::{ENTRY_SIZE, MAX_ENTRIES, MAX_SLOT_SIZE};

const PAGE: usize = 4096;
/// Commands in flight.
const COMMAND_ENTRIES: u32 = 32;

/// Why a layout is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A record size that no slot can have.
    #[error("Records of {0} bytes do not fit a ring; choose 1 to 1048576")]
    Chunk(u32),
    /// A number of entries that no ring can have.
    #[error("A ring of {0} entries is impossible; choose a power of two from 2 to 256")]
    Entries(u32),
    /// The shared memory is too small.
    #[error("The rings need {needed} bytes of shared memory, there are {given}")]
    Memory {
        /// Bytes needed.
        needed: usize,
        /// Bytes given.
        given: usize,
    },
}

/// Sizes of the rings for bulk data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    chunk: u32,
    entries: u32,
}

/// One ring's place, as offsets in the shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The descriptors; page-aligned.
    pub(crate) descriptors: usize,
    /// The first slot; page-aligned.
    pub(crate) slots: usize,
    /// Entries.
    pub(crate) entries: u32,
    /// Bytes of a slot.
    pub(crate) slot_size: u32,
    /// Most bytes of a record.
    pub(crate) chunk: u32,
}

impl Place {
    fn end(&self) -> usize {
        self.slots + self.entries as usize * self.slot_size as usize
    }
}

impl Default for Layout {
    /// Records of 64 KiB, above which the cipher gains nothing, 32 in flight.
    fn default() -> Layout {
        Layout { chunk: 64 << 10, entries: 32 }
    }
}

impl Layout {
    /// Records of `chunk` bytes, as many in flight as there are `entries`.
    pub fn new(chunk: u32, entries: u32) -> Result<Layout, Error> {
        if chunk == 0 || chunk > MAX_SLOT_SIZE {
            return Err(Error::Chunk(chunk));
        }
        if !entries.is_power_of_two() || !(2..=MAX_ENTRIES).contains(&entries) {
            return Err(Error::Entries(entries));
        }
        Ok(Layout { chunk, entries })
    }

    /// Records of `chunk` bytes, and about 2 MiB of them in flight: enough to keep both ends busy,
    /// little enough for the processor's caches.
    pub fn for_records(chunk: u32) -> Result<Layout, Error> {
        const IN_FLIGHT: u32 = 2 << 20;
        let entries = (IN_FLIGHT / chunk.clamp(1, MAX_SLOT_SIZE)).clamp(4, MAX_ENTRIES);
        Layout::new(chunk, 1 << entries.ilog2())
    }

    /// The same records, and as many fewer of them in flight as it takes for the rings to fit
    /// `given` bytes of shared memory: what several GPUs share is not much for each.
    pub fn within(self, given: usize) -> Result<Layout, Error> {
        let needed = self.length();
        let mut layout = self;
        while layout.length() > given {
            layout = Layout::new(layout.chunk, layout.entries / 2)
                .map_err(|_| Error::Memory { needed, given })?;
        }
        Ok(layout)
    }

    /// Most bytes of a record.
    pub fn chunk(&self) -> u32 {
        self.chunk
    }

    /// Bytes of shared memory that the rings need.
    pub fn length(&self) -> usize {
        self.place(Engine::CopyOut).end()
    }

    /// Whether the shared memory is large enough.
    pub(crate) fn check(&self, given: usize) -> Result<(), Error> {
        let needed = self.length();
        if given < needed { Err(Error::Memory { needed, given }) } else { Ok(()) }
    }

    /// Where an engine's ring lies: one behind the other, in the order of the engines.
    pub(crate) fn place(&self, engine: Engine) -> Place {
        let (start, entries, chunk) = match engine {
            Engine::Command => (0, COMMAND_ENTRIES, PAGE as u32),
            Engine::CopyIn => (self.place(Engine::Command).end(), self.entries, self.chunk),
            Engine::CopyOut => (self.place(Engine::CopyIn).end(), self.entries, self.chunk),
        };
        Place {
            descriptors: start,
            slots: start + (entries as usize * ENTRY_SIZE).next_multiple_of(PAGE),
            entries,
            slot_size: chunk.next_multiple_of(PAGE as u32),
            chunk,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_are_page_aligned_and_do_not_overlap() {
        for chunk in [1, 4096, 5000, 64 << 10, 1 << 20] {
            let layout = Layout::new(chunk, 2).unwrap();
            let mut end = 0;
            for engine in Engine::ALL {
                let place = layout.place(engine);
                assert!(place.descriptors >= end);
                assert!(place.slots >= place.descriptors + place.entries as usize * ENTRY_SIZE);
                assert_eq!((place.descriptors % PAGE, place.slots % PAGE), (0, 0));
                assert_eq!(place.slot_size as usize % PAGE, 0);
                assert!(place.slot_size >= place.chunk);
                end = place.end();
            }
            assert_eq!(end, layout.length());
        }
    }

    #[test]
    fn records_of_every_size_find_a_ring() {
        for (chunk, entries) in [(1, 256), (5000, 256), (64 << 10, 32), (1 << 20, 4)] {
            assert_eq!(Layout::for_records(chunk), Layout::new(chunk, entries));
        }
        assert_eq!(Layout::for_records(0), Err(Error::Chunk(0)));
        assert_eq!(Layout::for_records(64 << 10), Ok(Layout::default()));
    }

    #[test]
    fn rings_that_get_less_memory_get_fewer_entries_and_the_same_records() {
        let layout = Layout::default();
        assert_eq!(layout.within(layout.length()), Ok(layout));
        let less = layout.within(layout.length() - 1).unwrap();
        assert_eq!(less, Layout::new(layout.chunk(), layout.entries / 2).unwrap());
        for shares in 1..=8 {
            let given = (16 << 20) / shares;
            let share = layout.within(given).unwrap();
            assert!(share.length() <= given && share.chunk() == layout.chunk());
        }
        let needed = layout.length();
        assert_eq!(layout.within(4096), Err(Error::Memory { needed, given: 4096 }));
    }

    #[test]
    fn impossible_rings_are_refused() {
        assert_eq!(Layout::new(0, 32), Err(Error::Chunk(0)));
        assert_eq!(Layout::new((1 << 20) + 1, 32), Err(Error::Chunk((1 << 20) + 1)));
        for entries in [0, 1, 3, 512] {
            assert_eq!(Layout::new(4096, entries), Err(Error::Entries(entries)));
        }
        let needed = Layout::default().length();
        let refused = Layout::default().check(needed - 1);
        assert_eq!(refused, Err(Error::Memory { needed, given: needed - 1 }));
    }
}
