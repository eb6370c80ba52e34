//! A hostile guest's requests by script, for fuzzing: hypercalls and the GHCB, on memory of which every
//! private page has something in it.
//!
//! What a hypercall may do is held against a model that counts pages one by one; and whatever is asked
//! by either way, nothing private comes to the shared side.

use super::Platform;
use super::conversions::{ALWAYS_PRIVATE, ConversionLog, convert};
use super::cpuid::GuestCpuid;
use super::emulated::GhcbProtocol;
use crate::memory::{Memory, Pages};
use kvm_bindings::{CpuId, kvm_cpuid_entry2};
use ravelin_devices::page_state::{PAGE_SIZE, PageState};
use ravelin_snp::ghcb::page::{Field, Ghcb, SHARED_BUFFER};
use ravelin_snp::ghcb::protocol::Request;
use ravelin_snp::msr;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use vm_memory::{Bytes, GuestAddress};

/// Pages of each piece of memory.
const PAGES: u64 = 12;
const LENGTH: u64 = PAGES * PAGE_SIZE;
/// Two pieces: around the address below which all is private, and far above.
const RANGES: [Range<u64>; 2] =
    [ALWAYS_PRIVATE - LENGTH / 2..ALWAYS_PRIVATE + LENGTH / 2, 4 << 30..(4 << 30) + LENGTH];
/// Where the guest has its GHCB.
const GHCB: u64 = ALWAYS_PRIVATE;
/// What private pages are full of.
const SECRET: [u8; PAGE_SIZE as usize] = [0xa5; PAGE_SIZE as usize];
const BLANK: [u8; PAGE_SIZE as usize] = [0; PAGE_SIZE as usize];

/// A guest, and what it says.
struct Guest<'a> {
    memory: Arc<Memory>,
    script: &'a [u8],
}

/// Lets a script make hypercalls.
///
/// # Panics
/// A request was answered otherwise than by the model: a finding.
pub fn hypercalls(script: &[u8]) {
    let (mut guest, log) = (Guest::new(script), ConversionLog::default());
    let mut model: BTreeMap<u64, PageState> =
        pages().map(|page| (page, PageState::Private)).collect();
    while let Some(how) = guest.byte() {
        let address = guest.address(how);
        let count = match how & 3 {
            0 => guest.number(),
            more => u64::from(guest.byte().unwrap_or(0)) % (u64::from(more) * PAGES),
        };
        let to = if how & 4 == 0 { PageState::Shared } else { PageState::Private };
        let legal = legal(&model, address, count, to);
        let done = convert(&guest.memory, ALWAYS_PRIVATE, address, count, to);
        assert_eq!(done.is_some(), legal.is_some(), "{count} pages at {address:#x} to {to:?}");
        if let (Some((range, changed)), Some(pages)) = (done, legal) {
            let before = pages.iter().filter(|page| model[page] != to).count();
            assert_eq!(changed, before as u64);
            model.extend(pages.into_iter().map(|page| (page, to)));
            log.done(range, to, changed);
        }
    }
    for (page, state) in &model {
        assert_eq!(guest.memory.pages().state(page * PAGE_SIZE), Some(*state));
    }
    assert_eq!(log.replay(&RANGES), Some(guest.memory.pages().shared_ranges()));
    guest.check();
}

/// The pages of a request that is to be granted.
fn legal(
    model: &BTreeMap<u64, PageState>,
    address: u64,
    count: u64,
    to: PageState,
) -> Option<Vec<u64>> {
    let low = to == PageState::Shared && address < ALWAYS_PRIVATE;
    if count == 0 || count > 2 * PAGES || !address.is_multiple_of(PAGE_SIZE) || low {
        return None;
    }
    let first = address / PAGE_SIZE;
    let pages: Vec<u64> = (first..first + count).collect();
    pages.iter().all(|page| model.contains_key(page)).then_some(pages)
}

/// Lets a script speak the GHCB protocol.
///
/// # Panics
/// Something private has come out, or a large conversion was not done as a whole: a finding.
pub fn ghcb(script: &[u8]) {
    let mut guest = Guest::new(script);
    let width = kvm_cpuid_entry2 { function: 0x8000_0008, eax: 48, ..Default::default() };
    let table = CpuId::from_entries(&[width]).ok();
    let cpuid = table.and_then(|table| GuestCpuid::from_supported(table, Platform::Emulated).ok());
    let Some(cpuid) = cpuid else { return };
    let memory = guest.memory.clone();
    let mut protocol = GhcbProtocol::new(memory, Arc::new(cpuid), Arc::new(OnceLock::new()));
    while let Some(how) = guest.byte() {
        match how % 8 {
            0 => drop(protocol.write(msr::GHCB, guest.number())),
            1 => drop(protocol.read(msr::GHCB + u32::from(how >> 3 & 3))),
            // As a guest begins: its GHCB is shared, and registered.
            2 => {
                let pages = guest.memory.pages();
                let _ = pages.convert(GHCB, PAGE_SIZE, PageState::Shared);
                let register = Request::RegisterGhcb(GHCB / PAGE_SIZE);
                protocol.write(msr::GHCB, register.encode());
            }
            3 => {
                let address = guest.address(how);
                let length = guest.byte().unwrap_or(0);
                let bytes = guest.bytes(length.into());
                guest.write(address, bytes);
            }
            _ => {
                let page = guest.request(how);
                guest.write(GHCB, page.as_bytes());
                protocol.write(msr::GHCB, Request::Ghcb(GHCB).encode());
            }
        }
        guest.check();
    }
}

impl<'a> Guest<'a> {
    fn new(script: &'a [u8]) -> Self {
        let memory = Memory::new(&RANGES, true, Pages::Any).expect("a little memory");
        for page in pages() {
            let at = GuestAddress(page * PAGE_SIZE);
            memory.private().write_slice(&SECRET, at).expect("there is memory");
        }
        Self { memory: Arc::new(memory), script }
    }

    /// A GHCB page that asks for something: by a known code or any, with a structure of page states or
    /// whatever the script has for it.
    fn request(&mut self, how: u8) -> Ghcb {
        let mut page = Ghcb::new();
        let code = match how >> 3 & 7 {
            0 => self.number(),
            other => 0x8000_0010 + u64::from(other % 3),
        };
        page.set(Field::ExitCode, code);
        for field in [Field::ExitInfo1, Field::ExitInfo2, Field::Rax, Field::Rbx] {
            let value = self.address(how);
            page.set(field, value);
        }
        if how & 0xc0 != 0xc0 {
            page.set(Field::Scratch, GHCB + SHARED_BUFFER as u64);
        }
        let mut bytes = *page.as_bytes();
        let length = self.byte().unwrap_or(0);
        let structure = self.bytes(length.into());
        bytes[SHARED_BUFFER..][..structure.len()].copy_from_slice(structure);
        Ghcb::from_bytes(bytes)
    }

    /// An address in its memory, or, as the script has it, anywhere.
    fn address(&mut self, how: u8) -> u64 {
        match self.byte().unwrap_or(0) {
            0xff => self.number(),
            0xfe => RANGES[0].start + self.number() % (2 * LENGTH),
            page => RANGES[usize::from(how >> 5 & 1)].start + u64::from(page) % PAGES * PAGE_SIZE,
        }
    }

    /// The script's hand reaches what is shared.
    fn write(&self, address: u64, bytes: &[u8]) {
        let memory = &self.memory;
        if memory.pages().shared(address, bytes.len() as u64).is_ok() {
            memory.shared().write_slice(bytes, GuestAddress(address)).expect("there is memory");
        }
    }

    /// A private page has what it had, or nothing once it was shared; and is blank on the other side.
    fn check(&self) {
        for page in pages() {
            let (address, mut bytes) = (page * PAGE_SIZE, BLANK);
            let mut read = |memory: &vm_memory::GuestMemoryMmap| {
                memory.read_slice(&mut bytes, GuestAddress(address)).expect("there is memory");
                bytes
            };
            let (private, shared) = (read(self.memory.private()), read(self.memory.shared()));
            match self.memory.pages().state(address) {
                Some(PageState::Private) => {
                    assert!(private == SECRET || private == BLANK, "{address:#x} was written");
                    assert!(shared == BLANK, "{address:#x} has left something behind");
                }
                _ => assert!(private == BLANK, "{address:#x} has left its secret behind"),
            }
            assert!(shared != SECRET, "a secret at {address:#x}");
        }
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.script.split_first()?;
        self.script = rest;
        Some(*first)
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.script.split_at(self.script.len().min(count));
        self.script = rest;
        bytes
    }

    fn number(&mut self) -> u64 {
        let mut number = [0; 8];
        number.iter_mut().zip(self.bytes(8)).for_each(|(place, byte)| *place = *byte);
        u64::from_le_bytes(number)
    }
}

fn pages() -> impl Iterator<Item = u64> {
    RANGES.into_iter().flat_map(|range| range.start / PAGE_SIZE..range.end / PAGE_SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn no_request_brings_out_what_is_private(
            script in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            hypercalls(&script);
            ghcb(&script);
        }
    }
}
