//! Images of guests that boot without firmware, made away from any KVM: what a launch puts in is loaded
//! into memory of no guest, by the code that loads a real one, and collected from there.
//!
//! On SNP each page of memory is part of the launch, zeros too: a kernel that boots without firmware has
//! nobody who validates memory for it. On `emulated` memory needs no validation, and only what is not
//! zeros is put in.

use super::builtin::{self, Builtin};
use super::linux::memory_map::MemoryMap;
use super::linux::{Linux, Protection};
use super::pages::Plan;
use super::{Entry, Error, acpi, confidential, long_mode, reset_vector, state};
use crate::layout::{self, Layout};
use ravelin_launch::vcpu::{RESET_VECTOR, Signature, Vmm};
use ravelin_launch::{Image, Page, PageType};
use std::fmt;
use std::ops::Range;
use vm_memory::mmap::FromRangesError;
use vm_memory::{GuestAddress, GuestMemoryMmap};

/// The platform that an image is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// SEV-SNP.
    #[default]
    Snp,
    /// The emulated platform.
    Emulated,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Target::Snp => "snp",
            Target::Emulated => "emulated",
        })
    }
}

/// The machine that an image is for: all of it is measured.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// The platform.
    pub target: Target,
    /// Which bit of a page-table entry selects private memory.
    pub c_bit: u8,
    /// Bytes of memory.
    pub memory: u64,
    /// Number of vCPUs.
    pub cpus: u8,
    /// Their processor.
    pub signature: Signature,
    /// SEV_FEATURES of each.
    pub sev_features: u64,
    /// The guest's policy.
    pub policy: u64,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// No such address space.
    #[error(transparent)]
    Layout(#[from] layout::Error),
    /// The guest cannot be loaded.
    #[error(transparent)]
    Boot(#[from] Error),
    /// No memory to load it into.
    #[error("no memory to make the image in")]
    Memory(#[source] FromRangesError),
}

impl Machine {
    /// The image of a Linux guest.
    ///
    /// # Errors
    /// It does not fit, or a file is not what it seemed.
    pub fn linux(&self, linux: Linux) -> Result<Image, ImageError> {
        let (layout, memory) = self.memory()?;
        let map = MemoryMap::new(&layout, self.protection());
        let placement = linux.place(map.low()).map_err(Error::from)?;
        let tables = acpi::Tables::new(&layout, self.cpus);
        let entry = linux.load(&memory, &map, &tables, self.protection()).map_err(Error::from)?;
        let loaded = linux_loaded(&placement.kernel, &placement.initrd);
        let pages = self.pages(&memory, &layout, &loaded, &confidential::SPECIAL)?;
        Ok(self.image(entry, &layout, pages))
    }

    /// The image of the built-in guest.
    ///
    /// # Errors
    /// It does not fit.
    pub fn builtin(&self, guest: &Builtin) -> Result<Image, ImageError> {
        let (layout, memory) = self.memory()?;
        // How fast the clock goes is for the machine to say that it runs on.
        let (entry, end) = guest.load(self.target, &layout, &memory, 0)?;
        let pages = match self.target {
            Target::Emulated => builtin::pages(&memory, end)?,
            Target::Snp => {
                let loaded = 0..end;
                let loaded = std::slice::from_ref(&loaded);
                self.pages(&memory, &layout, loaded, &builtin::SPECIAL_ON_SNP)?
            }
        };
        Ok(self.image(entry, &layout, pages))
    }

    fn protection(&self) -> Protection {
        match self.target {
            Target::Snp => Protection::Snp,
            Target::Emulated => Protection::Sev,
        }
    }

    /// Memory with page tables and nothing else.
    fn memory(&self) -> Result<(Layout, GuestMemoryMmap), ImageError> {
        let limit = match self.target {
            Target::Snp => layout::SNP_LIMIT,
            Target::Emulated => 1 << self.c_bit,
        };
        let layout = Layout::new(self.memory, limit)?;
        let ranges = layout.memory.iter();
        let ranges: Vec<_> = ranges
            .map(|range| (GuestAddress(range.start), (range.end - range.start) as usize))
            .collect();
        let memory = GuestMemoryMmap::from_ranges(&ranges).map_err(ImageError::Memory)?;
        long_mode::write_tables(&memory, Some(self.c_bit))?;
        Ok((layout, memory))
    }

    fn pages(
        &self,
        memory: &GuestMemoryMmap,
        layout: &Layout,
        loaded: &[Range<u64>],
        special: &[(u64, PageType)],
    ) -> Result<Vec<Page>, Error> {
        let plan = match self.target {
            Target::Snp => Plan { loaded, special, every: &layout.memory },
            Target::Emulated => Plan { loaded, special: &[], every: &[] },
        };
        Ok(plan.collect(memory)?)
    }

    fn image(&self, entry: Entry, layout: &Layout, pages: Vec<Page>) -> Image {
        let mut first = state::first(entry, Some(self.c_bit));
        first.sev_features = self.sev_features;
        let cpus = u32::from(self.cpus);
        let mut vcpus = Vmm::Qemu.vcpus(cpus, RESET_VECTOR, self.signature, self.sev_features);
        if let Some(place) = vcpus.first_mut() {
            **place = first.encode();
        }
        Image {
            policy: self.policy,
            pages,
            vcpus,
            required_memory: layout.memory.clone(),
            id_block: None,
        }
    }
}

/// Where loading Linux writes: below the first MiB, the kernel, the initrd.
pub fn linux_loaded(kernel: &Range<u64>, initrd: &Range<u64>) -> [Range<u64>; 3] {
    [0..reset_vector::PAGE.end, kernel.clone(), initrd.clone()]
}

#[cfg(test)]
mod tests;
