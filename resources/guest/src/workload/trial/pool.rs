//! Memory that goes back and forth between private and shared, in large pages.

use super::{Failure, no_memory};
use crate::call::{self, LARGE_PAGE};
use crate::shared::Piece;
use alloc::vec;
use alloc::vec::Vec;
use ravelin_driver::memory::SharedMemory;

const LARGE: usize = LARGE_PAGE as usize;

/// Large pages with the state of each.
pub(super) struct Pool {
    memory: Piece,
    /// Of the first large page, in `memory`.
    first: usize,
    shared: Vec<bool>,
    /// How often each has been converted.
    conversions: Vec<u64>,
}

impl Pool {
    /// So many large pages, all of them private.
    pub(super) fn new(pages: usize) -> Result<Self, Failure> {
        // Never freed: the device has been told its addresses.
        let memory = Piece::unshared(vec![0; (pages + 1) * LARGE].leak()).ok_or_else(no_memory)?;
        let first = memory.address().next_multiple_of(LARGE_PAGE) - memory.address();
        let conversions = vec![0; pages];
        Ok(Self { memory, first: first as usize, shared: vec![false; pages], conversions })
    }

    pub(super) fn pages(&self) -> usize {
        self.shared.len()
    }

    pub(super) fn is_shared(&self, page: usize) -> bool {
        self.shared[page]
    }

    pub(super) fn conversions(&self, page: usize) -> u64 {
        self.conversions[page]
    }

    /// Guest-physical address of a page.
    pub(super) fn address(&self, page: usize) -> u64 {
        self.memory.address() + self.offset(page) as u64
    }

    /// Brings a page to the other side, where it is empty.
    pub(super) fn toggle(&mut self, page: usize) -> Result<(), Failure> {
        let shared = !self.shared[page];
        call::convert(self.address(page), LARGE_PAGE, shared)
            .map_err(|error| Failure::new("conversion", &error))?;
        self.shared[page] = shared;
        self.conversions[page] += 1;
        Ok(())
    }

    /// Fills the start of a page.
    pub(super) fn fill(&self, page: usize, byte: u8) {
        self.memory.write(self.offset(page), &[byte; super::TRANSFER]);
    }

    /// Whether the start of a page is all `byte`.
    pub(super) fn is(&self, page: usize, byte: u8) -> bool {
        super::is_all(&self.memory, self.offset(page), byte)
    }

    fn offset(&self, page: usize) -> usize {
        self.first + page * LARGE
    }
}
