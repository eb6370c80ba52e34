//! OVMF as a VMM launches it (edk2, OvmfPkg/ResetVector): the firmware below 4 GiB, what it wants to have
//! in memory, and the hashes of a kernel, an initrd and a command line that the host will hand it.
//!
//! A table at the end of the file says where everything is, entry by entry from its end. [`Firmware`]
//! reads it, [`Firmware::image`] puts the pages in the order of QEMU; [`kernel_hashes`] is the one page
//! that depends on the kernel.

pub mod kernel_hashes;
mod table;

use crate::vcpu::{Signature, Vmm};
use crate::{DEFAULT_POLICY, Image, Page, PageBytes, PageType};
use kernel_hashes::KernelHashes;
use ravelin_snp::ghcb::PAGE_SIZE;
use table::{Section, SectionKind, Table};

/// The firmware ends here.
const END: u64 = 4 << 30;
/// Most bytes of a firmware, far above any.
const LARGEST: u64 = 64 << 20;
const PAGE: u64 = PAGE_SIZE as u64;

/// Why a file cannot be launched as OVMF.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The length.
    #[error("a firmware of {0} bytes: it must be whole pages of 4 KiB, and at most 64 MiB")]
    Length(usize),
    /// The table of GUIDs.
    #[error(
        "the firmware has no table of GUIDs at its end: give a whole OVMF.fd (OVMF.amdsev.fd for kernels)"
    )]
    NoTable,
    /// The table.
    #[error("the firmware's table is broken: {0}")]
    Table(&'static str),
    /// Where other vCPUs begin.
    #[error(
        "the firmware does not say where further vCPUs begin (SEV-ES reset block): it is no SEV build"
    )]
    NoResetBlock,
    /// The SEV metadata.
    #[error("a section of the firmware's SEV metadata has type {0:#x}, which is not known")]
    SectionType(u32),
    /// A kernel for a firmware that cannot check one.
    #[error(
        "this firmware has no place for the hashes of a kernel: give OVMF.amdsev.fd (Debian's package ovmf, \
         from trixie on), or leave --kernel away"
    )]
    NoKernelHashes,
}

/// An OVMF file that has been understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firmware<'a> {
    bytes: &'a [u8],
    table: Table,
}

/// What a firmware is launched with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Number of vCPUs.
    pub vcpus: u32,
    /// Their processor.
    pub signature: Signature,
    /// SEV_FEATURES of each.
    pub sev_features: u64,
    /// By whom.
    pub vmm: Vmm,
    /// With which kernel, if with one.
    pub kernel: Option<KernelHashes>,
}

impl<'a> Firmware<'a> {
    /// Reads a file.
    ///
    /// # Errors
    /// It is no OVMF.
    pub fn parse(bytes: &'a [u8]) -> Result<Firmware<'a>, Error> {
        let length = bytes.len() as u64;
        if length == 0 || length > LARGEST || !length.is_multiple_of(PAGE) {
            return Err(Error::Length(bytes.len()));
        }
        Ok(Firmware { bytes, table: Table::parse(bytes)? })
    }

    /// What is put into a guest, in QEMU's order: the firmware, its sections, the vCPUs.
    ///
    /// # Errors
    /// The firmware lacks something that the launch needs.
    pub fn image(&self, launch: &Launch) -> Result<Image, Error> {
        let others = self.table.reset_address.ok_or(Error::NoResetBlock)?;
        let mut image = Image { policy: DEFAULT_POLICY, ..Image::default() };
        let start = END - self.bytes.len() as u64;
        let (pages, _) = self.bytes.as_chunks::<PAGE_SIZE>();
        image.pages.extend((start..).step_by(PAGE_SIZE).zip(pages).map(|(address, page)| Page {
            kind: PageType::Normal,
            address,
            contents: Some(Box::new(*page)),
        }));
        let mut hashed = false;
        for section in &self.table.sections {
            hashed |= section.kind == SectionKind::KernelHashes;
            self.put(&mut image, section, launch)?;
        }
        if launch.kernel.is_some() && !hashed {
            return Err(Error::NoKernelHashes);
        }
        if launch.vmm == Vmm::Ec2 {
            // Its CPUID page comes last.
            for section in self.table.sections.iter().filter(|one| one.kind == SectionKind::Cpuid) {
                image.push_empty(PageType::Cpuid, section.address, 1);
            }
        }
        let Launch { vcpus, signature, sev_features, vmm, .. } = *launch;
        image.vcpus = vmm.vcpus(vcpus, others, signature, sev_features);
        Ok(image)
    }

    fn put(&self, image: &mut Image, section: &Section, launch: &Launch) -> Result<(), Error> {
        let Section { kind, address, pages } = *section;
        match kind {
            SectionKind::Memory if launch.vmm == Vmm::Gce => {
                image.push_empty(PageType::Unmeasured, address, pages);
            }
            SectionKind::Memory | SectionKind::CallingArea => {
                image.push_empty(PageType::Zero, address, pages);
            }
            SectionKind::Secrets => image.push_empty(PageType::Secrets, address, 1),
            SectionKind::Cpuid if launch.vmm == Vmm::Ec2 => {}
            SectionKind::Cpuid => image.push_empty(PageType::Cpuid, address, 1),
            SectionKind::KernelHashes => match &launch.kernel {
                None => image.push_empty(PageType::Zero, address, pages),
                Some(hashes) => {
                    let contents = Some(Box::new(self.hashes_page(section, hashes)?));
                    image.pages.push(Page { kind: PageType::Normal, address, contents });
                }
            },
        }
        Ok(())
    }

    /// The page with the table of hashes where the firmware looks for it.
    fn hashes_page(&self, section: &Section, hashes: &KernelHashes) -> Result<PageBytes, Error> {
        let table = hashes.table();
        let place = self.table.hashes_address.map(|address| address as usize % PAGE_SIZE);
        let place = place.ok_or(Error::NoKernelHashes)?;
        let mut page = [0; PAGE_SIZE];
        let broken = Error::Table("the kernel's hashes do not fit their one page");
        match page.get_mut(place..place + table.len()) {
            Some(bytes) if section.pages == 1 => bytes.copy_from_slice(&table),
            _ => return Err(broken),
        }
        Ok(page)
    }
}
