//! A guest's memory under a script: some of it private and full of one secret, the rest shared, with a
//! share for each of a device's queues.
//!
//! The memory is mapped once for a thread and used again by the next guest; to map it anew costs more
//! than most scripts.

use super::Script;
use crate::dma_gate::DmaGate;
use crate::page_state::{PAGE_SIZE, PageState, PageStateMap};
use std::cell::RefCell;
use std::sync::Arc;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// Bytes of a queue's share of memory, and what is where in it: a page each for table, available
/// ring and used ring, then buffers.
pub const SHARE: u64 = 8 * PAGE_SIZE;
/// Available ring, in a share.
pub const AVAILABLE: u64 = PAGE_SIZE;
/// Used ring, in a share.
pub const USED: u64 = 2 * PAGE_SIZE;
/// Buffers, in a share.
pub const BUFFERS: u64 = 3 * PAGE_SIZE;
/// Bytes from one buffer to the next.
pub const BUFFER: u64 = 0x400;
/// Most queues that have a share.
pub const QUEUES: u64 = 3;
/// The last share is nobody's queue, and private at first.
pub const PRIVATE: u64 = QUEUES * SHARE;
/// Bytes of memory.
pub const MEMORY: u64 = PRIVATE + SHARE;
/// What private memory is full of, and nothing that a script writes has in it.
pub const SECRET: u8 = 0xa5;

const SECRET_PAGE: [u8; PAGE_SIZE as usize] = [SECRET; PAGE_SIZE as usize];
const BLANK_PAGE: [u8; PAGE_SIZE as usize] = [0; PAGE_SIZE as usize];
/// So many bytes in a row are the secret, and no chance.
const SECRET_RUN: usize = 16;

thread_local! {
    static SPARE: RefCell<Option<GuestMemoryMmap>> = const { RefCell::new(None) };
}

/// A guest.
pub struct Guest {
    memory: GuestMemoryMmap,
    pages: Arc<PageStateMap>,
}

impl Guest {
    /// A guest whose memory is zeros, but for what is private.
    ///
    /// # Panics
    /// The kernel has no memory.
    pub fn new() -> Self {
        let fresh = || {
            let range = (GuestAddress(0), MEMORY as usize);
            GuestMemoryMmap::from_ranges(&[range]).expect("a little memory")
        };
        let memory = SPARE.with_borrow_mut(Option::take).unwrap_or_else(fresh);
        let all = std::iter::once(0..MEMORY);
        let pages = PageStateMap::new(all, PageState::Shared).expect("whole pages");
        let guest = Self { memory, pages: Arc::new(pages) };
        guest.blank();
        guest
    }

    /// Who may see which page.
    pub fn pages(&self) -> &Arc<PageStateMap> {
        &self.pages
    }

    /// All of its memory, past every gate.
    pub fn memory(&self) -> &GuestMemoryMmap {
        &self.memory
    }

    /// A gate to its memory.
    pub fn gate(&self) -> Arc<DmaGate> {
        Arc::new(DmaGate::new("driven", self.pages.clone(), self.memory.clone()))
    }

    /// The script's hand: it reaches shared memory alone, so that private memory has one content,
    /// and the secret is not in it.
    pub fn write(&self, address: u64, bytes: &[u8]) {
        if self.pages.shared(address, bytes.len() as u64).is_ok() {
            let bytes = without_secret(bytes);
            self.put(address, &bytes);
        }
    }

    /// The same for bytes that have nothing of the script's.
    pub fn write_plain(&self, address: u64, bytes: &[u8]) {
        if self.pages.shared(address, bytes.len() as u64).is_ok() {
            self.put(address, bytes);
        }
    }

    /// Converts pages as a guest does that takes care: what it gives away is blank.
    pub fn convert(&self, page: u64, count: u64, to: PageState) {
        let last = (page + count).min(MEMORY / PAGE_SIZE);
        for page in page..last {
            let address = page * PAGE_SIZE;
            match (self.pages.state(address), to) {
                (Some(PageState::Private), PageState::Shared) => {
                    self.check_page(page);
                    self.fill(page, &BLANK_PAGE);
                    self.change(address, to);
                }
                (Some(PageState::Shared), PageState::Private) => {
                    self.change(address, to);
                    assert_no_secret(&self.page(page));
                    self.fill(page, &SECRET_PAGE);
                }
                _ => {}
            }
        }
    }

    /// Converts pages by a script: which, how many, and to what.
    pub fn convert_some(&self, how: u8, script: &mut Script<'_>) {
        let page = u64::from(script.or_zero()) % (MEMORY / PAGE_SIZE);
        let to = if how & 8 == 0 { PageState::Private } else { PageState::Shared };
        self.convert(page, 1 + u64::from(how & 7), to);
    }

    /// Shares everything.
    pub fn share_all(&self) {
        self.convert(0, MEMORY / PAGE_SIZE, PageState::Shared);
    }

    /// Makes it what it was at first.
    pub fn blank(&self) {
        self.share_all();
        for page in 0..MEMORY / PAGE_SIZE {
            self.fill(page, &BLANK_PAGE);
        }
        self.convert(PRIVATE / PAGE_SIZE, SHARE / PAGE_SIZE, PageState::Private);
    }

    /// Checks that nothing has been written where nobody may.
    ///
    /// # Panics
    /// It has: a finding.
    pub fn check(&self) {
        self.pages_in(PageState::Private).for_each(|page| self.check_page(page));
    }

    /// Checks that nothing private has come to where others look.
    ///
    /// # Panics
    /// It has: a finding.
    pub fn check_shared(&self) {
        self.pages_in(PageState::Shared).for_each(|page| assert_no_secret(&self.page(page)));
    }

    fn pages_in(&self, state: PageState) -> impl Iterator<Item = u64> {
        let all = 0..MEMORY / PAGE_SIZE;
        all.filter(move |page| self.pages.state(page * PAGE_SIZE) == Some(state))
    }

    fn check_page(&self, page: u64) {
        let intact = self.page(page) == SECRET_PAGE;
        assert!(intact, "private memory at {:#x} was written", page * PAGE_SIZE);
    }

    fn change(&self, address: u64, to: PageState) {
        let changed = self.pages.convert(address, PAGE_SIZE, to);
        assert_eq!(changed, Ok(1), "a page at {address:#x} does not become {to:?}");
    }

    fn page(&self, page: u64) -> [u8; PAGE_SIZE as usize] {
        let mut bytes = BLANK_PAGE;
        let read = self.memory.read_slice(&mut bytes, GuestAddress(page * PAGE_SIZE));
        read.expect("there is memory");
        bytes
    }

    fn fill(&self, page: u64, bytes: &[u8; PAGE_SIZE as usize]) {
        self.put(page * PAGE_SIZE, bytes);
    }

    fn put(&self, address: u64, bytes: &[u8]) {
        self.memory.write_slice(bytes, GuestAddress(address)).expect("there is memory");
    }
}

impl Default for Guest {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        SPARE.with_borrow_mut(|spare| *spare = Some(self.memory.clone()));
    }
}

/// A script's bytes, with nothing in them that looks like the secret.
pub fn without_secret(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| if *byte == SECRET { 0 } else { *byte }).collect()
}

/// Checks bytes that others see.
///
/// # Panics
/// They have come from private memory: a finding.
pub fn assert_no_secret(bytes: &[u8]) {
    let suspicious = bytes.contains(&SECRET);
    let leaked = suspicious && bytes.windows(SECRET_RUN).any(|run| run == [SECRET; SECRET_RUN]);
    assert!(!leaked, "private memory has come out");
}

/// The driver's hand on the queues, one share each.
pub struct Driver {
    /// Entries of each queue.
    pub sizes: Vec<u16>,
    offered: Vec<u16>,
}

impl Driver {
    /// A driver of queues with so many entries.
    pub fn new(sizes: Vec<u16>) -> Self {
        let offered = vec![0; sizes.len()];
        Self { sizes, offered }
    }

    /// Makes the rings zeros, as far as they are shared.
    pub fn clear(&mut self, guest: &Guest) {
        self.offered.fill(0);
        for queue in 0..self.sizes.len() as u64 {
            for page in 0..BUFFERS / PAGE_SIZE {
                guest.write_plain(queue * SHARE + page * PAGE_SIZE, &BLANK_PAGE);
            }
        }
    }

    /// Puts something into memory by a script: anything, anywhere in the queue's share, or anything
    /// into a buffer.
    pub fn scribble(&self, guest: &Guest, queue: usize, how: u8, script: &mut Script<'_>) {
        let place = queue as u64 * SHARE + script.little_endian(2) % SHARE;
        guest.write(place, script.bytes(how));
    }

    /// Fills one of a queue's buffers.
    pub fn fill(&self, guest: &Guest, queue: usize, buffer: u8, script: &mut Script<'_>) {
        let place = queue as u64 * SHARE + BUFFERS + u64::from(buffer) * BUFFER;
        let length = script.or_zero();
        guest.write(place, script.bytes(length));
    }

    /// A chain that could be one: its descriptors follow each other, and its head is in the ring.
    pub fn offer(&mut self, guest: &Guest, queue: usize, descriptors: u8, script: &mut Script<'_>) {
        let (share, size) = (queue as u64 * SHARE, self.sizes[queue]);
        let count = u16::from(descriptors % 8) + 1;
        let first = self.offered[queue].wrapping_mul(5) % size;
        for place in 0..count {
            let kind = script.or_zero();
            let address = match kind >> 4 {
                // Also beyond everything, and where it wraps.
                0 => script.number() | u64::from(kind) << 56,
                1 => PRIVATE + u64::from(kind) * 16,
                other => share + BUFFERS + u64::from(other) * BUFFER,
            };
            let length = match kind & 3 {
                0 => script.number() as u32,
                _ => script.or_zero().into(),
            };
            let more = u16::from(place + 1 < count || kind == 0xff);
            // Write-only for the later ones, as it should be; indirect where the script insists.
            let flags = more | u16::from(kind & 4 != 0) << 1 | u16::from(kind & 15 == 15) << 2;
            let mut bytes = address.to_le_bytes().to_vec();
            bytes.extend(length.to_le_bytes());
            bytes.extend(flags.to_le_bytes());
            bytes.extend(((first + place + 1) % size).to_le_bytes());
            guest.write(share + 16 * u64::from((first + place) % size), &bytes);
        }
        let slot = u64::from(self.offered[queue] % size);
        guest.write_plain(share + AVAILABLE + 4 + 2 * slot, &first.to_le_bytes());
        self.offered[queue] = self.offered[queue].wrapping_add(1);
        guest.write_plain(share + AVAILABLE + 2, &self.offered[queue].to_le_bytes());
    }
}
