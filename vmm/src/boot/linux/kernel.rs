//! A kernel file: what kind it is, what it says of itself, and loading it.
//!
//! Formats are linux-loader's. Here they are only recognised, so that a file that is no kernel is
//! refused before there is a guest.

use super::Error;
use super::zero_page::{HEADER_MAGIC, MAX_COMMAND_LINE};
use linux_loader::bootparam::{XLF_KERNEL_64, setup_header};
use linux_loader::elf::{Elf64_Ehdr, Elf64_Phdr, PT_LOAD};
use linux_loader::loader::{BzImage, Elf, KernelLoader, PvhBootCapability};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use vm_memory::{ByteValued, GuestAddress, GuestMemoryMmap};

/// Where a bzImage has its setup header.
const SETUP_HEADER: u64 = 0x1f1;
/// The boot protocol that says whether there is a 64-bit entry.
const PROTOCOL_WITH_FLAGS: u16 = 0x20c;
/// The 64-bit entry of a bzImage, behind its first byte.
const ENTRY_64: u64 = 0x200;
/// Bytes of a sector, in which a bzImage counts its setup code.
const SECTOR: u64 = 512;
/// Where a bzImage is loaded.
const BZIMAGE: u64 = 1 << 20;
/// Memory below it is the VMM's.
const LOWEST: u64 = 1 << 20;
/// The longest command line of an x86 kernel (`COMMAND_LINE_SIZE`), without its NUL.
const COMMAND_LINE_OF_ELF: usize = 2047;
/// Initrds stay below 2 GiB where the image does not say (`initrd_addr_max` of every x86-64 kernel).
const INITRD_LIMIT: u64 = 0x7fff_ffff;
/// ELF: `\x7fELF`, 64-bit, little-endian.
const ELF_MAGIC: [u8; 6] = [0x7f, b'E', b'L', b'F', 2, 1];
/// ELF: x86-64.
const MACHINE_X86_64: u16 = 62;
/// Most program headers that a kernel has.
const MAX_PROGRAM_HEADERS: u16 = 64;

/// An open kernel file.
#[derive(Debug)]
pub struct Kernel {
    file: File,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// A compressed kernel with its setup header; so many bytes of it are loaded.
    BzImage(Box<setup_header>, u64),
    /// An ELF image that goes to these addresses.
    Elf(Range<u64>),
}

/// A kernel in memory.
#[derive(Debug)]
pub struct Loaded {
    /// The 64-bit entry.
    pub entry: u64,
    /// PVH's 32-bit entry, where the image has one.
    pub pvh: Option<u64>,
    /// The setup header that the zero page begins with.
    pub header: Option<setup_header>,
}

impl Kernel {
    /// Recognises a kernel.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let unreadable = |error| Error::ReadKernel(path.into(), error);
        let file = super::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(Error::NotAKernel);
        }
        let kind = match read::<[u8; 6]>(&file, 0)? {
            ELF_MAGIC => Kind::Elf(elf_range(&file)?),
            _ => {
                let header = setup(&file)?;
                // Behind the setup code, which is loaded for nobody.
                let before = (u64::from(header.setup_sects) + 1) * SECTOR;
                let loaded = metadata.len().checked_sub(before).ok_or(Error::NotAKernel)?;
                Kind::BzImage(Box::new(header), loaded)
            }
        };
        Ok(Self { file, kind })
    }

    /// Most bytes of a command line, without its NUL.
    pub(super) fn longest_command_line(&self) -> usize {
        match &self.kind {
            Kind::BzImage(header, _) => (header.cmdline_size as usize).min(MAX_COMMAND_LINE),
            Kind::Elf(_) => COMMAND_LINE_OF_ELF,
        }
    }

    /// First address that an initrd may not have.
    pub(super) fn initrd_limit(&self) -> u64 {
        match &self.kind {
            Kind::BzImage(header, _) => u64::from(header.initrd_addr_max) + 1,
            Kind::Elf(_) => INITRD_LIMIT + 1,
        }
    }

    /// What the kernel takes before it looks at its memory map.
    pub(super) fn range(&self) -> Range<u64> {
        match &self.kind {
            Kind::BzImage(header, loaded) => {
                let unpacked = header.pref_address.saturating_add(header.init_size.into());
                BZIMAGE..unpacked.max(BZIMAGE.saturating_add(*loaded))
            }
            Kind::Elf(range) => range.clone(),
        }
    }

    /// Loads the kernel where it belongs.
    pub(super) fn load(&mut self, memory: &GuestMemoryMmap) -> Result<Loaded, Error> {
        match &self.kind {
            Kind::BzImage(..) => {
                let at = Some(GuestAddress(BZIMAGE));
                let loaded = BzImage::load(memory, at, &mut self.file, None);
                let loaded = loaded.map_err(Error::Load)?;
                let entry = loaded.kernel_load.0 + ENTRY_64;
                Ok(Loaded { entry, pvh: None, header: loaded.setup_header })
            }
            Kind::Elf(_) => {
                let loaded = Elf::load(memory, None, &mut self.file, Some(GuestAddress(LOWEST)));
                let loaded = loaded.map_err(Error::Load)?;
                let pvh = match loaded.pvh_boot_cap {
                    PvhBootCapability::PvhEntryPresent(address) => Some(address.0),
                    _ => None,
                };
                Ok(Loaded { entry: loaded.kernel_load.0, pvh, header: None })
            }
        }
    }
}

/// The setup header of a bzImage with a 64-bit entry.
fn setup(file: &File) -> Result<setup_header, Error> {
    let header: setup_header = read(file, SETUP_HEADER)?;
    if { header.header } != HEADER_MAGIC {
        return Err(Error::NotAKernel);
    }
    let version = header.version;
    if version < PROTOCOL_WITH_FLAGS || header.xloadflags & XLF_KERNEL_64 == 0 {
        return Err(Error::NoEntry(version));
    }
    Ok(header)
}

/// The addresses that an ELF image's segments take.
fn elf_range(file: &File) -> Result<Range<u64>, Error> {
    let header: Elf64_Ehdr = read(file, 0)?;
    if header.e_machine != MACHINE_X86_64 || header.e_phnum > MAX_PROGRAM_HEADERS {
        return Err(Error::NotAKernel);
    }
    let mut range: Option<Range<u64>> = None;
    for number in 0..u64::from(header.e_phnum) {
        let at = number
            .checked_mul(size_of::<Elf64_Phdr>() as u64)
            .and_then(|offset| header.e_phoff.checked_add(offset))
            .ok_or(Error::NotAKernel)?;
        let segment: Elf64_Phdr = read(file, at)?;
        if segment.p_type != PT_LOAD || (segment.p_memsz == 0 && segment.p_filesz == 0) {
            continue;
        }
        if segment.p_filesz > segment.p_memsz {
            return Err(Error::NotAKernel);
        }
        let end = segment.p_paddr.checked_add(segment.p_memsz).ok_or(Error::NotAKernel)?;
        let before = range.unwrap_or(segment.p_paddr..end);
        range = Some(before.start.min(segment.p_paddr)..before.end.max(end));
    }
    let range = range.ok_or(Error::NotAKernel)?;
    let sound = range.start >= LOWEST && range.contains(&header.e_entry);
    sound.then_some(range).ok_or(Error::NotAKernel)
}

/// Reads a structure; a file that does not give it is no kernel.
fn read<T: ByteValued>(file: &File, at: u64) -> Result<T, Error> {
    let mut value = T::zeroed();
    file.read_exact_at(value.as_mut_slice(), at).map_err(|_| Error::NotAKernel)?;
    Ok(value)
}
