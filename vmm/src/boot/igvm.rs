//! An image that somebody has made, as an IGVM file: what of it the emulated platform can honour goes into
//! private memory, the rest is refused by name.
//!
//! Its pages stand where they say, its first vCPU begins in its state. That state must have paging on:
//! without page tables there is no C-bit, and on this platform the C-bit is what makes memory private. And
//! it must have the C-bit where the platform has it.

use crate::layout::Layout;
use ravelin_launch::{Image, Page, PageType};
use ravelin_snp::ghcb::PAGE_SIZE;
use ravelin_snp::vmsa::Vmsa;
use std::ops::Range;
use vm_memory::{Bytes, GuestAddress, GuestMemoryError, GuestMemoryMmap};

const CR0_PG: u64 = 1 << 31;
/// CR3: where the page table's address begins.
const ADDRESS: u64 = !0xfff;
/// No machine has a C-bit below this one.
const LOWEST_C_BIT: u32 = 32;

/// Why an image is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The platform has no private memory.
    #[error("an image wants private memory: say --platform emulated or snp")]
    NothingPrivate,
    /// A page outside memory.
    #[error(
        "the image has a page at {0:#x}, where this guest has no memory: give it more --memory"
    )]
    NoMemory(u64),
    /// Memory of another size.
    #[error(
        "the image is for memory up to {end:#x}, and this guest's ends at {here:#x}: give it the --memory \
         that the image was built with"
    )]
    OtherMemory {
        /// Where the image's memory ends.
        end: u64,
        /// Where this guest's ends.
        here: u64,
    },
    /// No paging.
    #[error(
        "the image begins without paging, as firmware does, and the emulated platform keeps memory private \
         by page tables only: boot a kernel directly (`ravelin image build`)"
    )]
    NoPaging,
    /// Another C-bit.
    #[error(
        "the image has its C-bit at {image}, and here it is bit {here}: build it with --platform emulated \
         --c-bit {here}"
    )]
    OtherCBit {
        /// The image's.
        image: u32,
        /// The platform's.
        here: u8,
    },
    /// CR3 without a C-bit.
    #[error("the image's first page table is in shared memory: its CR3 has no C-bit")]
    SharedTables,
    /// A state that KVM cannot be told.
    #[error("the image's vCPU {0} begins in a state that Ravelin cannot give one")]
    State(usize),
    /// Guest memory is not where the layout says.
    #[error("guest memory cannot be written")]
    Memory(#[from] GuestMemoryError),
}

/// Loads the image into private memory. The first vCPU's state.
///
/// # Errors
/// Something in it cannot be honoured here.
pub fn load(
    image: &Image,
    memory: &GuestMemoryMmap,
    layout: &Layout,
    c_bit: Option<u8>,
) -> Result<Vmsa, Error> {
    let c_bit = c_bit.ok_or(Error::NothingPrivate)?;
    let state = state(image, layout, c_bit)?;
    check_memory(image, &layout.memory)?;
    for Page { kind, address, contents } in &image.pages {
        if let (Some(contents), PageType::Normal | PageType::Unmeasured) = (contents, kind) {
            memory.write_slice(contents.as_slice(), GuestAddress(*address))?;
        }
    }
    Ok(state)
}

/// Every page and all memory that the image counts on must be there, and no more memory: what a guest is
/// told of its machine is in the image.
fn check_memory(image: &Image, memory: &[Range<u64>]) -> Result<(), Error> {
    if !image.required_memory.is_empty() && image.required_memory != memory {
        let end = |ranges: &[Range<u64>]| ranges.iter().map(|range| range.end).max().unwrap_or(0);
        return Err(Error::OtherMemory { end: end(&image.required_memory), here: end(memory) });
    }
    let there = |address: u64| {
        let last = address.checked_add(PAGE_SIZE as u64 - 1);
        last.is_some_and(|last| {
            memory.iter().any(|one| one.contains(&address) && one.contains(&last))
        })
    };
    match image.pages.iter().find(|page| !there(page.address)) {
        Some(page) => Err(Error::NoMemory(page.address)),
        None => Ok(()),
    }
}

/// The first vCPU's state, if this platform can begin there.
fn state(image: &Image, layout: &Layout, c_bit: u8) -> Result<Vmsa, Error> {
    let first = image.vcpus.first().and_then(|page| Vmsa::decode(page));
    let state = first.filter(super::state::can_be_set).ok_or(Error::State(0))?;
    if state.cr0 & CR0_PG == 0 {
        return Err(Error::NoPaging);
    }
    let table = state.cr3 & ADDRESS;
    let is_memory = |address: u64| layout.memory.iter().any(|range| range.contains(&address));
    if is_memory(table ^ 1 << c_bit) {
        return Ok(state);
    }
    let highest = 63 - table.leading_zeros().min(63);
    if highest >= LOWEST_C_BIT && !is_memory(table) {
        return Err(Error::OtherCBit { image: highest, here: c_bit });
    }
    Err(Error::SharedTables)
}

#[cfg(test)]
mod tests {
    use super::super::{Entry, state};
    use super::*;

    fn layout() -> Layout {
        Layout::new(64 << 20, 1 << 47).unwrap()
    }

    fn image(c_bit: u8) -> Image {
        let entry = Entry::LongMode { instruction: 0x20_0000, argument: 0x8000 };
        let page = |kind, address| Page { kind, address, contents: Some(Box::new([7; 4096])) };
        Image {
            pages: vec![page(PageType::Normal, 0x20_0000), page(PageType::Unmeasured, 0xa000)],
            vcpus: vec![Box::new(state::first(entry, Some(c_bit)).encode())],
            required_memory: layout().memory,
            ..Image::default()
        }
    }

    fn load(image: &Image) -> Result<(Vmsa, GuestMemoryMmap), Error> {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 64 << 20)]).unwrap();
        super::load(image, &memory, &layout(), Some(47)).map(|state| (state, memory))
    }

    #[test]
    fn pages_stand_where_they_say_and_the_first_vcpu_begins_in_its_state() {
        let (state, memory) = load(&image(47)).unwrap();
        assert_eq!((state.rip, state.cr3), (0x20_0000, 1 << 47 | 0x2000));
        for address in [0x20_0fff, 0xa000] {
            assert_eq!(memory.read_obj::<u8>(GuestAddress(address)).unwrap(), 7);
        }
    }

    #[test]
    fn an_image_that_cannot_run_here_is_refused_with_the_reason() {
        assert!(matches!(load(&image(51)), Err(Error::OtherCBit { image: 51, here: 47 })));
        let mut other = image(47);
        other.pages[0].address = 64 << 20;
        assert!(matches!(load(&other), Err(Error::NoMemory(0x400_0000))));
        other = image(47);
        other.pages[0].address = !0xfff;
        assert!(matches!(load(&other), Err(Error::NoMemory(_))));
        other = image(47);
        other.required_memory = std::iter::once(0..128 << 20).collect();
        assert!(matches!(load(&other), Err(Error::OtherMemory { end: 0x800_0000, .. })));
        let with = |change: fn(&mut Vmsa)| {
            let mut other = image(47);
            let mut state = Vmsa::decode(&other.vcpus[0]).unwrap();
            change(&mut state);
            *other.vcpus[0] = state.encode();
            load(&other)
        };
        assert!(matches!(with(|state| state.cr0 = 0x10), Err(Error::NoPaging)));
        assert!(matches!(with(|state| state.cr3 = 0x2000), Err(Error::SharedTables)));
        assert!(matches!(with(|state| state.dr7 = 0x401), Err(Error::State(0))));
        assert!(matches!(load(&Image { vcpus: vec![], ..image(47) }), Err(Error::State(0))));
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 64 << 20)]).unwrap();
        let nothing = super::load(&image(47), &memory, &layout(), None);
        assert!(matches!(nothing, Err(Error::NothingPrivate)));
    }
}
