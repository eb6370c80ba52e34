//! IGVM files: an image in Microsoft's format, for SEV-SNP.
//!
//! Reading takes what a launch on KVM can honour and refuses the rest by name. What a page becomes is
//! QEMU's: a measured page without data is a page of type zero, parameter areas are unmeasured, CPUID
//! pages are CPUID pages. Writing gives the same bytes for the same image.
//!
//! The structures are the `igvm` crate's, which checks them but trusts a file's lengths; what it would
//! stumble over is checked here first.

mod signed;

use crate::{DEFAULT_POLICY, Image, Page, PageBytes, PageType};
use igvm::snp_defs::SevVmsa;
use igvm::{
    IgvmDirectiveHeader as Directive, IgvmFile, IgvmInitializationHeader, IgvmPlatformHeader,
    IgvmRevision, IsolationType,
};
use igvm_defs::{
    IGVM_SEV_SNP_PLATFORM_VERSION, IGVM_VHS_PARAMETER_INSERT, IGVM_VHS_SUPPORTED_PLATFORM,
    IgvmPageDataFlags, IgvmPageDataType, IgvmPlatformType,
};
use ravelin_snp::ghcb::PAGE_SIZE;
use ravelin_snp::vmsa;
use std::collections::HashMap;
use std::ops::Range;
use zerocopy::{FromBytes, IntoBytes};

/// "IGVM", how each file begins.
pub const MAGIC: [u8; 4] = *b"IGVM";
/// The one platform of a file of ours.
const MASK: u32 = 1;
/// Most bytes of a parameter area, far above any.
const LARGEST_AREA: u64 = 16 << 20;

/// Most bytes of one statement of required memory.
const LARGEST_RANGE: u64 = 2 << 30;

/// Why a file is no image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file's lengths do not fit the file.
    #[error("the file is no IGVM file, or not all of one")]
    NotIgvm,
    /// The crate's judgement.
    #[error("the IGVM file is broken")]
    Broken(#[source] igvm::Error),
    /// The file is for other platforms.
    #[error("the IGVM file is not for SEV-SNP: give one that lists platform SEV_SNP")]
    OtherPlatform,
    /// Something that a launch here cannot honour.
    #[error("the IGVM file asks for {0}, which Ravelin does not do")]
    NotSupported(&'static str),
    /// vCPU states with a gap.
    #[error("the IGVM file has no state for vCPU {0}")]
    MissingVcpu(usize),
    /// A parameter area that is not there.
    #[error("the IGVM file inserts parameter area {0}, which it does not have")]
    MissingArea(u32),
    /// Part of the id block.
    #[error("the IGVM file's id block is none")]
    IdBlock,
    /// An image that the format cannot say.
    #[error("the image cannot be written as IGVM: {0}")]
    Unwritable(&'static str),
}

/// The image in a file.
///
/// # Errors
/// The bytes are no IGVM file for SNP, or ask for what cannot be done here.
pub fn read(file: &[u8]) -> Result<Image, Error> {
    check_lengths(file)?;
    let file = IgvmFile::new_from_binary(file, Some(IsolationType::Snp)).map_err(Error::Broken)?;
    let snp = file.platforms().iter().map(|IgvmPlatformHeader::SupportedPlatform(one)| one);
    let snp = snp.into_iter().find(|one| one.platform_type == IgvmPlatformType::SEV_SNP);
    let snp = snp.ok_or(Error::OtherPlatform)?;
    if snp.shared_gpa_boundary != 0 {
        return Err(Error::NotSupported("a virtual top of memory"));
    }
    let mut reader = Reader::default();
    for header in file.initializations() {
        match header {
            IgvmInitializationHeader::GuestPolicy { policy, .. } => reader.policy = Some(*policy),
            _ => return Err(Error::NotSupported("relocation")),
        }
    }
    file.directives().iter().try_for_each(|directive| reader.take(directive))?;
    reader.finish()
}

/// The fixed header's lengths, which the crate adds up without a look (IGVM_FIXED_HEADER).
fn check_lengths(file: &[u8]) -> Result<(), Error> {
    let word = |at: usize| {
        let bytes = file.get(at..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes) as usize)
    };
    let fits = file.starts_with(&MAGIC)
        && word(8)
            .zip(word(12))
            .and_then(|(offset, length)| offset.checked_add(length))
            .is_some_and(|end| end < file.len() && u32::try_from(end).is_ok());
    if fits { Ok(()) } else { Err(Error::NotIgvm) }
}

/// A file on its way to an image.
#[derive(Default)]
struct Reader {
    policy: Option<u64>,
    pages: Vec<Page>,
    vcpus: Vec<Option<Box<PageBytes>>>,
    areas: HashMap<u32, Vec<u8>>,
    required: Vec<Range<u64>>,
    id_block: Option<Directive>,
}

impl Reader {
    fn take(&mut self, directive: &Directive) -> Result<(), Error> {
        match directive {
            Directive::PageData { gpa, flags, data_type, data, .. } => {
                self.page(*gpa, *flags, *data_type, data)?;
            }
            Directive::SnpVpContext { vp_index, vmsa, .. } => self.vcpu(*vp_index, vmsa)?,
            Directive::ParameterArea { number_of_bytes, parameter_area_index, initial_data } => {
                if *number_of_bytes > LARGEST_AREA {
                    return Err(Error::NotSupported("a parameter area of more than 16 MiB"));
                }
                let mut area = initial_data.clone();
                area.resize(*number_of_bytes as usize, 0);
                self.areas.insert(*parameter_area_index, area);
            }
            Directive::ParameterInsert(insert) => self.insert(insert)?,
            Directive::RequiredMemory { gpa, number_of_bytes, .. } => {
                let end = gpa.checked_add(u64::from(*number_of_bytes));
                let end = end.ok_or(Error::NotSupported("memory beyond all addresses"))?;
                match self.required.last_mut() {
                    Some(last) if last.end == *gpa => last.end = end,
                    _ => self.required.push(*gpa..end),
                }
            }
            Directive::SnpIdBlock { .. } => self.id_block = Some(directive.clone()),
            // Where a loader would tell the guest of its machine. The guests of Ravelin's images have
            // it in measured pages.
            Directive::VpCount(_)
            | Directive::EnvironmentInfo(_)
            | Directive::Srat(_)
            | Directive::Madt(_)
            | Directive::Slit(_)
            | Directive::Pptt(_)
            | Directive::MmioRanges(_)
            | Directive::MemoryMap(_)
            | Directive::CommandLine(_)
            | Directive::DeviceTree(_) => {
                return Err(Error::NotSupported("a parameter of the machine (memory map, tables)"));
            }
            Directive::ErrorRange { .. } => return Err(Error::NotSupported("an error range")),
            _ => return Err(Error::NotSupported("vCPU states of other platforms")),
        }
        Ok(())
    }

    fn page(
        &mut self,
        address: u64,
        flags: IgvmPageDataFlags,
        data_type: IgvmPageDataType,
        data: &[u8],
    ) -> Result<(), Error> {
        if flags.is_2mb_page() {
            return Err(Error::NotSupported("pages of 2 MiB"));
        }
        if flags.shared() {
            return Err(Error::NotSupported("pages that the host sees"));
        }
        let contents = (!data.is_empty()).then(|| padded(data));
        let kind = match data_type {
            IgvmPageDataType::NORMAL if flags.unmeasured() => PageType::Unmeasured,
            IgvmPageDataType::NORMAL if contents.is_none() => PageType::Zero,
            IgvmPageDataType::NORMAL => PageType::Normal,
            IgvmPageDataType::SECRETS => PageType::Secrets,
            IgvmPageDataType::CPUID_DATA | IgvmPageDataType::CPUID_XF => PageType::Cpuid,
            _ => return Err(Error::NotSupported("a page of an unknown type")),
        };
        // What these pages hold is made at the launch.
        let made = matches!(kind, PageType::Secrets | PageType::Cpuid);
        self.pages.push(Page { kind, address, contents: contents.filter(|_| !made) });
        Ok(())
    }

    fn vcpu(&mut self, index: u16, vmsa: &SevVmsa) -> Result<(), Error> {
        let index = usize::from(index);
        if self.vcpus.len() <= index {
            self.vcpus.resize(index + 1, None);
        }
        match self.vcpus.get_mut(index) {
            Some(place @ None) => *place = Some(vmsa_bytes(vmsa)),
            _ => return Err(Error::NotSupported("two states of one vCPU")),
        }
        Ok(())
    }

    fn insert(&mut self, insert: &IGVM_VHS_PARAMETER_INSERT) -> Result<(), Error> {
        let index = insert.parameter_area_index;
        let area = self.areas.remove(&index).ok_or(Error::MissingArea(index))?;
        for (address, bytes) in (insert.gpa..).step_by(PAGE_SIZE).zip(area.chunks(PAGE_SIZE)) {
            let contents = Some(padded(bytes));
            self.pages.push(Page { kind: PageType::Unmeasured, address, contents });
        }
        Ok(())
    }

    fn finish(self) -> Result<Image, Error> {
        let vcpus = self.vcpus.into_iter().enumerate();
        let vcpus = vcpus.map(|(index, vcpu)| vcpu.ok_or(Error::MissingVcpu(index)));
        let policy = self.policy.unwrap_or(DEFAULT_POLICY);
        let id_block = self.id_block.map(|block| signed::from_directive(&block, policy));
        let image = Image {
            policy,
            pages: self.pages,
            vcpus: vcpus.collect::<Result<_, _>>()?,
            required_memory: self.required,
            id_block: id_block.transpose()?.map(Box::new),
        };
        if image.vcpus.is_empty() {
            return Err(Error::MissingVcpu(0));
        }
        Ok(image)
    }
}

/// The file of an image: the same bytes for the same image.
///
/// # Errors
/// The format cannot say it.
pub fn write(image: &Image) -> Result<Vec<u8>, Error> {
    let platform = IGVM_VHS_SUPPORTED_PLATFORM {
        compatibility_mask: MASK,
        highest_vtl: 0,
        platform_type: IgvmPlatformType::SEV_SNP,
        platform_version: IGVM_SEV_SNP_PLATFORM_VERSION,
        shared_gpa_boundary: 0,
    };
    let policy =
        IgvmInitializationHeader::GuestPolicy { policy: image.policy, compatibility_mask: MASK };
    let mut directives = Vec::with_capacity(image.pages.len() + image.vcpus.len() + 3);
    for range in &image.required_memory {
        // Whole ranges of less than 4 GiB: the length has 32 bits.
        for gpa in range.clone().step_by(LARGEST_RANGE as usize) {
            directives.push(Directive::RequiredMemory {
                gpa,
                compatibility_mask: MASK,
                number_of_bytes: (range.end - gpa).min(LARGEST_RANGE) as u32,
                vtl2_protectable: false,
            });
        }
    }
    for page in &image.pages {
        directives.push(page_directive(page)?);
    }
    for (index, vcpu) in (0..).zip(&image.vcpus) {
        let vmsa = SevVmsa::read_from_bytes(vcpu.as_slice())
            .map_err(|_| Error::Unwritable("a vCPU's state is no page"))?;
        directives.push(Directive::SnpVpContext {
            gpa: vmsa::ADDRESS,
            compatibility_mask: MASK,
            vp_index: index,
            vmsa: Box::new(vmsa),
        });
    }
    directives.extend(image.id_block.as_deref().map(signed::to_directive));
    let platforms = vec![IgvmPlatformHeader::SupportedPlatform(platform)];
    let file = IgvmFile::new(IgvmRevision::V1, platforms, vec![policy], directives);
    let mut bytes = Vec::new();
    file.and_then(|file| file.serialize(&mut bytes)).map_err(Error::Broken)?;
    Ok(bytes)
}

fn page_directive(page: &Page) -> Result<Directive, Error> {
    let (data_type, unmeasured) = match page.kind {
        PageType::Normal | PageType::Zero => (IgvmPageDataType::NORMAL, false),
        PageType::Unmeasured => (IgvmPageDataType::NORMAL, true),
        PageType::Secrets => (IgvmPageDataType::SECRETS, false),
        PageType::Cpuid => (IgvmPageDataType::CPUID_DATA, false),
        PageType::Vmsa => return Err(Error::Unwritable("a VMSA among the pages")),
    };
    let data = match (page.kind, &page.contents) {
        (PageType::Normal, None) => {
            return Err(Error::Unwritable("a normal page without contents"));
        }
        (PageType::Zero, Some(_)) => return Err(Error::Unwritable("a zero page with contents")),
        (_, Some(contents)) => contents.to_vec(),
        (_, None) => Vec::new(),
    };
    Ok(Directive::PageData {
        gpa: page.address,
        compatibility_mask: MASK,
        flags: IgvmPageDataFlags::new().with_unmeasured(unmeasured),
        data_type,
        data,
    })
}

/// At most a page of bytes, filled up with zeros.
fn padded(data: &[u8]) -> Box<PageBytes> {
    let mut page = Box::new([0; PAGE_SIZE]);
    page.iter_mut().zip(data).for_each(|(place, byte)| *place = *byte);
    page
}

fn vmsa_bytes(vmsa: &SevVmsa) -> Box<PageBytes> {
    padded(vmsa.as_bytes())
}
