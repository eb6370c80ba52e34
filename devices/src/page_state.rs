//! Who may see a page of guest memory now: the guest alone, or devices too.
//!
//! One map serves every platform and every way of asking for a conversion. It validates what the
//! guest asks (alignment, overflow, coverage), tells [`Subscriber`]s, and makes a conversion to
//! private wait until accesses in flight are over. It neither holds nor moves memory: that is left
//! to the subscribers, and [`dma_gate`](crate::dma_gate) is the one that reads and writes.
//!
//! Two locks, always taken in this order. `changes` lets one conversion at a time through, from its
//! first subscriber to its last. `pages` guards the bits: an access holds it for reading as long as
//! it touches memory, a conversion takes it for writing only to flip bits.

mod bitmap;

use bitmap::Bitmap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

/// Bytes of a page. Conversions have this granularity whatever page size the guest maps.
pub const PAGE_SIZE: u64 = 4096;

/// Who may see a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageState {
    /// The guest alone.
    Private,
    /// The guest, the VMM and devices.
    Shared,
}

/// Why a range was refused. Nothing has changed when one is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The address or the length is no multiple of [`PAGE_SIZE`].
    #[error("range of {length:#x} bytes at {address:#x} is not made of whole 4 KiB pages")]
    Misaligned {
        /// First byte.
        address: u64,
        /// Bytes.
        length: u64,
    },
    /// The range holds no byte.
    #[error("range at {address:#x} is empty")]
    Empty {
        /// First byte.
        address: u64,
    },
    /// The range ends past the 64-bit address space.
    #[error("range of {length:#x} bytes at {address:#x} wraps around the address space")]
    Overflow {
        /// First byte.
        address: u64,
        /// Bytes.
        length: u64,
    },
    /// Part of the range is no guest memory.
    #[error("{address:#x} is no guest memory")]
    NotCovered {
        /// First page of the range that is none.
        address: u64,
    },
    /// Part of the range is private.
    #[error("{address:#x} is private to the guest")]
    Private {
        /// First private page of the range.
        address: u64,
    },
    /// Two ranges of guest memory given to [`PageStateMap::new`] overlap.
    #[error("guest memory at {address:#x} is given twice")]
    Duplicate {
        /// First byte of the second range.
        address: u64,
    },
    /// A subscriber could not let go of a page, so that it stays shared.
    #[error("a device cannot let go of the pages at {address:#x}")]
    Held {
        /// First byte of the run that the subscriber was told of.
        address: u64,
    },
    /// A subscriber could not take a page, so that it is private again.
    #[error("a device cannot take the pages at {address:#x}")]
    NotTaken {
        /// First byte of the run that the subscriber was told of.
        address: u64,
    },
}

/// A subscriber's refusal to let go of pages, or to take them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// Someone who keeps something in step with the shared pages: an IOMMU mapping, backing memory.
///
/// At any moment outside a call a subscriber has been told of exactly the pages that are shared,
/// each once, in runs as long as possible. The calls come one at a time; they may read the map but
/// must not convert.
pub trait Subscriber: Send + Sync {
    /// These bytes are about to go private; nothing may reach them once this returns. A refusal
    /// leaves them shared.
    ///
    /// # Errors
    /// [`Refused`] where the subscriber cannot let go.
    fn before_private(&self, range: Range<u64>) -> Result<(), Refused>;
    /// These bytes are private now and no access to their shared side is in flight any more.
    fn after_private(&self, _range: Range<u64>) {}
    /// These bytes are shared now. A refusal makes them private again, empty: everyone who took them
    /// is asked to let go of them, and so is who refused, of whatever it took.
    ///
    /// # Errors
    /// [`Refused`] where the subscriber cannot take them all.
    fn after_shared(&self, range: Range<u64>) -> Result<(), Refused>;
}

/// The state of every page of a guest's memory.
pub struct PageStateMap {
    changes: Mutex<Vec<Arc<dyn Subscriber>>>,
    pages: RwLock<Bitmap>,
}

/// While this lives no page changes its state; conversions wait for it.
///
/// Keep it as short as a copy. Never take a second one on the same thread while holding the first.
#[must_use = "pages keep their state only as long as the hold lives"]
pub struct Hold<'a>(RwLockReadGuard<'a, Bitmap>);

impl Hold<'_> {
    /// Checks that every page of `length` bytes at `address` is shared.
    ///
    /// # Errors
    /// The range is empty, wraps around, is no guest memory, or has a private page.
    pub fn check_shared(&self, address: u64, length: u64) -> Result<(), Error> {
        let last = length.checked_sub(1).ok_or(Error::Empty { address })?;
        let last = address.checked_add(last).ok_or(Error::Overflow { address, length })?;
        let pages = address / PAGE_SIZE..last / PAGE_SIZE + 1;
        match self.0.first(pages, false)? {
            Some(page) => Err(Error::Private { address: page * PAGE_SIZE }),
            None => Ok(()),
        }
    }
}

impl PageStateMap {
    /// A map of these ranges of guest memory, every page in the same state.
    ///
    /// # Errors
    /// A range is empty, misaligned, overlaps another one, or ends past the address space.
    pub fn new(
        memory: impl IntoIterator<Item = Range<u64>>,
        initial: PageState,
    ) -> Result<Self, Error> {
        let mut bitmap = Bitmap::default();
        for range in memory {
            let length = range.end.saturating_sub(range.start);
            bitmap.add(whole_pages(range.start, length)?, initial == PageState::Shared)?;
        }
        Ok(Self { changes: Mutex::default(), pages: RwLock::new(bitmap) })
    }

    /// Lets `subscriber` know of every conversion from now on, and of what is shared already.
    ///
    /// # Errors
    /// [`Error::NotTaken`] where it cannot take what is shared already. It hears of nothing then.
    pub fn subscribe(&self, subscriber: Arc<dyn Subscriber>) -> Result<(), Error> {
        let mut subscribers = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        for range in self.shared_ranges() {
            let address = range.start;
            subscriber.after_shared(range).map_err(|Refused| Error::NotTaken { address })?;
        }
        subscribers.push(subscriber);
        Ok(())
    }

    /// Brings every page of a range into a state and returns how many pages changed. Pages that are
    /// in the state already stay as they are, and no subscriber hears of them.
    ///
    /// To private: subscribers let go, accesses in flight end, the pages flip. To shared: the pages
    /// flip, subscribers take them.
    ///
    /// # Errors
    /// The range is not whole pages of guest memory, or a subscriber cannot follow. Every page is then
    /// in the state that it was in, but for [`Error::Held`] on the way to shared: whoever could not take
    /// a page cannot let go of it either, and it is shared. What stood on pages that were to be shared
    /// may be lost.
    pub fn convert(&self, address: u64, length: u64, to: PageState) -> Result<u64, Error> {
        let pages = whole_pages(address, length)?;
        let subscribers = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = to == PageState::Shared;
        // Only conversions change bits and this is the only one, so the runs stay true.
        let runs = self.read_pages().runs(pages.clone(), !shared)?;
        if !shared {
            release(&subscribers, &runs)?;
        }
        {
            // Waits for every access that was admitted before.
            let mut bitmap = self.pages.write().unwrap_or_else(PoisonError::into_inner);
            bitmap.fill(pages, shared);
        }
        match to {
            PageState::Private => reclaimed(&subscribers, &runs),
            PageState::Shared => self.hand_over(&subscribers, &runs)?,
        }
        Ok(runs.iter().map(|run| run.end - run.start).sum())
    }

    /// Keeps every page in its state until the hold goes.
    pub fn hold(&self) -> Hold<'_> {
        Hold(self.read_pages())
    }

    /// Admits an access to `length` bytes at `address` if every page of them is shared now, and
    /// keeps them shared until the hold goes.
    ///
    /// # Errors
    /// As [`Hold::check_shared`].
    pub fn shared(&self, address: u64, length: u64) -> Result<Hold<'_>, Error> {
        let hold = self.hold();
        hold.check_shared(address, length)?;
        Ok(hold)
    }

    /// The state of the page that holds this byte; `None` where there is no guest memory.
    pub fn state(&self, address: u64) -> Option<PageState> {
        self.read_pages().get(address / PAGE_SIZE).map(|shared| match shared {
            true => PageState::Shared,
            false => PageState::Private,
        })
    }

    /// Everything that is shared now, in order, in runs as long as possible.
    pub fn shared_ranges(&self) -> Vec<Range<u64>> {
        self.read_pages().all_runs(true).iter().map(bytes).collect()
    }

    /// Number of pages shared now.
    pub fn shared_pages(&self) -> u64 {
        self.read_pages().count_set()
    }

    /// Gives pages that are shared now to everyone; if one refuses, makes them private again.
    fn hand_over(
        &self,
        subscribers: &[Arc<dyn Subscriber>],
        runs: &[Range<u64>],
    ) -> Result<(), Error> {
        let Some((done, address)) =
            calls(subscribers, runs).enumerate().find_map(|(done, (run, subscriber))| {
                let refused = subscriber.after_shared(bytes(run)).is_err();
                refused.then_some((done, run.start * PAGE_SIZE))
            })
        else {
            return Ok(());
        };
        // Whoever refused may hold a part, so it is asked as well.
        for (asked, (run, subscriber)) in calls(subscribers, runs).take(done + 1).enumerate() {
            if subscriber.before_private(bytes(run)).is_err() {
                // Nothing may say private while a device has it: shared they stay.
                take_back(calls(subscribers, runs).take(asked));
                return Err(Error::Held { address: run.start * PAGE_SIZE });
            }
        }
        {
            let mut bitmap = self.pages.write().unwrap_or_else(PoisonError::into_inner);
            runs.iter().for_each(|run| bitmap.fill(run.clone(), false));
        }
        reclaimed(subscribers, runs);
        Err(Error::NotTaken { address })
    }

    fn read_pages(&self) -> RwLockReadGuard<'_, Bitmap> {
        self.pages.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for PageStateMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageStateMap").field("shared", &self.shared_ranges()).finish()
    }
}

/// Asks everyone to let go of every run; if one refuses, gives back what the others let go of.
fn release(subscribers: &[Arc<dyn Subscriber>], runs: &[Range<u64>]) -> Result<(), Error> {
    for (done, (run, subscriber)) in calls(subscribers, runs).enumerate() {
        if subscriber.before_private(bytes(run)).is_err() {
            take_back(calls(subscribers, runs).take(done));
            return Err(Error::Held { address: run.start * PAGE_SIZE });
        }
    }
    Ok(())
}

/// Gives back what these let go of, since it stays shared.
fn take_back<'a>(calls: impl Iterator<Item = (&'a Range<u64>, &'a Arc<dyn Subscriber>)>) {
    for (run, subscriber) in calls {
        if subscriber.after_shared(bytes(run)).is_err() {
            // Less is mapped than is shared: the guest's loss, and nobody's gain.
            tracing::error!(start = run.start * PAGE_SIZE, "shared pages not taken back");
        }
    }
}

/// Tells everyone that these pages are private.
fn reclaimed(subscribers: &[Arc<dyn Subscriber>], runs: &[Range<u64>]) {
    calls(subscribers, runs).for_each(|(run, subscriber)| subscriber.after_private(bytes(run)));
}

/// Every run with every subscriber.
fn calls<'a>(
    subscribers: &'a [Arc<dyn Subscriber>],
    runs: &'a [Range<u64>],
) -> impl Iterator<Item = (&'a Range<u64>, &'a Arc<dyn Subscriber>)> {
    runs.iter().flat_map(move |run| subscribers.iter().map(move |who| (run, who)))
}

/// The page numbers of a range that must be whole pages.
fn whole_pages(address: u64, length: u64) -> Result<Range<u64>, Error> {
    if length == 0 {
        return Err(Error::Empty { address });
    }
    if !address.is_multiple_of(PAGE_SIZE) || !length.is_multiple_of(PAGE_SIZE) {
        return Err(Error::Misaligned { address, length });
    }
    address.checked_add(length).ok_or(Error::Overflow { address, length })?;
    Ok(address / PAGE_SIZE..(address + length) / PAGE_SIZE)
}

fn bytes(pages: &Range<u64>) -> Range<u64> {
    pages.start * PAGE_SIZE..pages.end * PAGE_SIZE
}

#[cfg(test)]
mod tests;
