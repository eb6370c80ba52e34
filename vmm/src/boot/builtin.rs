//! The built-in guest and what it is given.

use super::linux::memory_map::Kind;
use super::pages::Plan;
use super::start_info::{self, StartInfo};
use super::{Entry, Error, confidential, image};
use crate::layout::Layout;
use ravelin_launch::{Page, PageType};
use std::fmt;
use vm_memory::GuestMemoryMmap;

/// The built-in guest and what it is given.
pub struct Builtin {
    /// The guest, an ELF file; [`image::BUILTIN`] unless you have another.
    pub image: &'static [u8],
    /// What follows `platform=` and `ecam=` on the guest's command line, which is measured:
    /// space-separated `key=value`.
    pub parameters: String,
    /// What follows `tsc_khz=` in the guest's hints, which are not: the same.
    pub hints: String,
    /// HOST_DATA of the guest's reports.
    pub host_data: [u8; 32],
    /// The workload's payload.
    pub payload: Vec<u8>,
}

/// How hints begin: the rate of the time-stamp counter.
const CLOCK: &str = "tsc_khz=";

impl Builtin {
    /// Puts the guest, its payload and what it is told into memory. Where it begins, and where all of
    /// it ends.
    ///
    /// # Errors
    /// It does not fit.
    pub fn load(
        &self,
        platform: impl fmt::Display,
        layout: &Layout,
        memory: &GuestMemoryMmap,
        tsc_khz: u32,
    ) -> Result<(Entry, u64), Error> {
        let loaded = image::load(memory, self.image, &self.payload)?;
        let end = loaded.payload + self.payload.len() as u64;
        let (ecam, parameters) = (layout.ecam, &self.parameters);
        let ranges: Vec<_> = layout.memory.iter().map(|range| (range.clone(), Kind::Ram)).collect();
        let info = StartInfo {
            ranges: &ranges,
            command_line: &format!("platform={platform} ecam={ecam:#x} {parameters}"),
            hints: Some(&format!("{CLOCK}{tsc_khz} {}", self.hints)),
            module: loaded.payload..end,
            rsdp: 0,
        };
        info.write(memory)?;
        let (instruction, argument) = (loaded.entry, start_info::ADDRESS);
        Ok((Entry::LongMode { instruction, argument }, end))
    }
}

/// Pages of a type of their own on SNP.
pub const SPECIAL_ON_SNP: [(u64, PageType); 3] = [
    (start_info::HINTS, PageType::Unmeasured),
    (confidential::SECRETS, PageType::Secrets),
    (confidential::CPUID, PageType::Cpuid),
];

/// Tells a built-in guest that came as an image how fast the clock goes here. Its hints are not measured,
/// so they are the host's to write; other guests have no such page.
///
/// # Errors
/// Memory is not there.
pub fn renew_hints(pages: &[Page], memory: &GuestMemoryMmap, tsc_khz: u32) -> Result<(), Error> {
    let hints = pages.iter().find(|page| page.address == start_info::HINTS);
    let hints = hints.filter(|page| page.kind == PageType::Unmeasured);
    match hints.and_then(|page| page.contents.as_deref()) {
        Some(text) if text.starts_with(CLOCK.as_bytes()) => {
            start_info::write_text(memory, &format!("{CLOCK}{tsc_khz} "), start_info::HINTS)
        }
        _ => Ok(()),
    }
}

/// The pages of a loaded guest, all below `end`. Measured is everything but the page of hints, which may
/// differ at each start and decides nothing.
///
/// # Errors
/// Memory is not there.
pub fn pages(memory: &GuestMemoryMmap, end: u64) -> Result<Vec<Page>, Error> {
    let special =
        [(start_info::HINTS, PageType::Unmeasured), (start_info::SECRETS, PageType::Secrets)];
    let all = 0..end;
    let all = std::slice::from_ref(&all);
    Ok(Plan { loaded: all, special: &special, every: all }.collect(memory)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_memory::{Bytes, GuestAddress};

    #[test]
    fn an_image_is_told_the_clock_where_it_has_hints_and_nowhere_else() {
        let told = |kind, text: &[u8]| {
            let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 1 << 20)]).unwrap();
            let mut contents = Box::new([0; 4096]);
            contents[..text.len()].copy_from_slice(text);
            let page = Page { kind, address: start_info::HINTS, contents: Some(contents) };
            renew_hints(&[page], &memory, 77).unwrap();
            memory.read_obj::<[u8; 10]>(GuestAddress(start_info::HINTS)).unwrap()
        };
        assert_eq!(told(PageType::Unmeasured, b"tsc_khz=0 "), *b"tsc_khz=77");
        assert_eq!(told(PageType::Unmeasured, b"something "), [0; 10]);
        assert_eq!(told(PageType::Normal, b"tsc_khz=0 "), [0; 10], "that is measured");
    }
}
