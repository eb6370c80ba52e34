//! A guest in the memory of a VM that has not begun: loaded, and on platforms that measure also as the
//! image that a launch puts in.
//!
//! `ravelin image build` and `measure` make the same image without a VM
//! ([`direct`](crate::boot::direct)). The two must agree, or no digest that was published beforehand would
//! ever be reported: the tests launch what is loaded here on a recording kernel and compare.

use super::Guest;
use crate::boot::builtin::{self, Builtin};
use crate::boot::direct::linux_loaded;
use crate::boot::linux::memory_map::MemoryMap;
use crate::boot::linux::{Linux, Protection};
use crate::boot::pages::Plan;
use crate::boot::{self, Entry, acpi, confidential, igvm, long_mode, state};
use crate::layout::Layout;
use crate::platform::Platform;
use ravelin_launch::vcpu::{RESET_VECTOR, Signature, Vmm};
use ravelin_launch::{DEFAULT_POLICY, Image, Page};
use ravelin_snp::vmsa::{SNP_ACTIVE, Vmsa};
use vm_memory::GuestMemoryMmap;

/// The machine that a guest is loaded into.
pub(super) struct Place<'a> {
    pub(super) platform: Platform,
    pub(super) layout: &'a Layout,
    /// Where a guest begins: private memory, where there is such a thing.
    pub(super) memory: &'a GuestMemoryMmap,
    pub(super) c_bit: Option<u8>,
    pub(super) cpus: u8,
    /// The vCPUs' processor, in EDX of those that begin at the reset vector.
    pub(super) processor: Signature,
    /// Rate of the time-stamp counter in kHz, for guests that are told.
    pub(super) tsc_khz: u32,
}

/// A guest that has been loaded.
pub(super) struct Loaded {
    /// Where the first vCPU begins.
    pub(super) first: Vmsa,
    /// All that a launch puts in; `None` where nothing is measured.
    pub(super) image: Option<Image>,
    /// HOST_DATA of the guest's reports.
    pub(super) host_data: [u8; 32],
}

impl Place<'_> {
    /// Loads a guest.
    ///
    /// # Errors
    /// It does not fit, or a file is not what it seemed.
    pub(super) fn load(&self, guest: Guest) -> Result<Loaded, boot::Error> {
        long_mode::write_tables(self.memory, self.c_bit)?;
        match guest {
            Guest::Builtin(guest) => self.builtin(&guest),
            Guest::Linux(guest) => self.linux(*guest),
            Guest::Image(image) => self.image(*image),
        }
    }

    fn builtin(&self, guest: &Builtin) -> Result<Loaded, boot::Error> {
        let Place { platform, layout, memory, .. } = *self;
        let (entry, end) = guest.load(platform, layout, memory, self.tsc_khz)?;
        let loaded = self.launched(entry, || match platform {
            Platform::Snp => {
                let loaded = 0..end;
                let loaded = std::slice::from_ref(&loaded);
                let special = &builtin::SPECIAL_ON_SNP;
                Ok(Plan { loaded, special, every: &layout.memory }.collect(memory)?)
            }
            _ => builtin::pages(memory, end),
        })?;
        Ok(Loaded { host_data: guest.host_data, ..loaded })
    }

    fn linux(&self, guest: Linux) -> Result<Loaded, boot::Error> {
        let Place { layout, memory, .. } = *self;
        let protection = match self.platform {
            Platform::None => Protection::None,
            Platform::Emulated => Protection::Sev,
            Platform::Snp => Protection::Snp,
        };
        let map = MemoryMap::new(layout, protection);
        let tables = acpi::Tables::new(layout, self.cpus);
        let placement = guest.place(map.low())?;
        let entry = guest.load(memory, &map, &tables, protection)?;
        let loaded = &linux_loaded(&placement.kernel, &placement.initrd);
        let plan = match self.platform {
            Platform::Snp => {
                Plan { loaded, special: &confidential::SPECIAL, every: &layout.memory }
            }
            _ => Plan { loaded, special: &[], every: &[] },
        };
        self.launched(entry, || Ok(plan.collect(memory)?))
    }

    fn image(&self, image: Image) -> Result<Loaded, boot::Error> {
        let first = igvm::load(&image, self.memory, self.layout, self.c_bit)?;
        builtin::renew_hints(&image.pages, self.memory, self.tsc_khz)?;
        Ok(Loaded { first, image: Some(image), host_data: [0; 32] })
    }

    /// What begins at this entry, with these pages where the platform measures any.
    fn launched(
        &self,
        entry: Entry,
        pages: impl FnOnce() -> Result<Vec<Page>, boot::Error>,
    ) -> Result<Loaded, boot::Error> {
        let first = state::first(entry, self.c_bit);
        let pages = self.platform.splits_memory().then(pages).transpose()?;
        let image = pages.map(|pages| Image {
            policy: DEFAULT_POLICY,
            pages,
            vcpus: self.vcpus(&first),
            ..Image::default()
        });
        Ok(Loaded { first, image, host_data: [0; 32] })
    }

    /// The state of each vCPU where the first has this one and the others wait.
    fn vcpus(&self, first: &Vmsa) -> Vec<Box<ravelin_launch::PageBytes>> {
        let cpus = self.cpus.into();
        let mut states = Vmm::Qemu.vcpus(cpus, RESET_VECTOR, self.processor, SNP_ACTIVE);
        if let Some(state) = states.first_mut() {
            **state = first.encode();
        }
        states
    }
}

#[cfg(test)]
mod tests;
