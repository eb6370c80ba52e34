//! The zero page: what a kernel is told at its 64-bit entry (`struct boot_params`).

use super::memory_map::MemoryMap;
use super::{Error, Protection, acpi};
use crate::boot::confidential;
use linux_loader::bootparam::{boot_e820_entry, boot_params, setup_header};
use std::ops::Range;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// Guest-physical address of the zero page.
pub const ADDRESS: u64 = 0x7000;
/// Guest-physical address of the command line.
pub const COMMAND_LINE: u64 = 0x9000;
/// Most bytes of a command line in front of its NUL, whatever the kernel says of itself.
pub const MAX_COMMAND_LINE: usize = 4095;

/// `type_of_loader` of loaders without a number.
const LOADER_UNDEFINED: u8 = 0xff;
/// `boot_flag`.
const BOOT_FLAG: u16 = 0xaa55;
/// `header`: "HdrS".
pub(super) const HEADER_MAGIC: u32 = 0x5372_6448;
/// `kernel_alignment` where the image does not say.
const ALIGNMENT: u32 = 16 << 20;

/// What a kernel is told.
pub(super) struct Told<'a> {
    /// Its address space.
    pub(super) map: &'a MemoryMap,
    /// Its command line.
    pub(super) command_line: &'a str,
    /// Where its initrd is; empty where there is none.
    pub(super) initrd: &'a Range<u64>,
}

impl Told<'_> {
    /// Writes the zero page, the command line and what goes with the protection. `header` is the image's
    /// own where it has one.
    pub(super) fn write(
        &self,
        memory: &GuestMemoryMmap,
        header: Option<setup_header>,
        protection: Protection,
    ) -> Result<(), Error> {
        memory.write_slice(self.command_line.as_bytes(), GuestAddress(COMMAND_LINE))?;
        memory.write_obj(0u8, GuestAddress(COMMAND_LINE + self.command_line.len() as u64))?;
        let mut params = self.build(header);
        if protection == Protection::Snp {
            confidential::write_blob(memory, &mut params.hdr)?;
        }
        Ok(memory.write_obj(params, GuestAddress(ADDRESS))?)
    }

    fn build(&self, header: Option<setup_header>) -> boot_params {
        let mut hdr = header.unwrap_or(setup_header {
            boot_flag: BOOT_FLAG,
            header: HEADER_MAGIC,
            kernel_alignment: ALIGNMENT,
            ..Default::default()
        });
        hdr.type_of_loader = LOADER_UNDEFINED;
        // All below 4 GiB: initrds are placed below the hole.
        hdr.cmd_line_ptr = COMMAND_LINE as u32;
        hdr.cmdline_size = self.command_line.len() as u32;
        hdr.ramdisk_image = self.initrd.start as u32;
        hdr.ramdisk_size = (self.initrd.end - self.initrd.start) as u32;
        let mut params = boot_params { hdr, acpi_rsdp_addr: acpi::ADDRESS, ..Default::default() };
        let mut count = 0;
        for (place, (range, kind)) in params.e820_table.iter_mut().zip(self.map.entries()) {
            let size = range.end - range.start;
            *place = boot_e820_entry { addr: range.start, size, r#type: *kind as u32 };
            count += 1;
        }
        params.e820_entries = count;
        params
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;

    #[test]
    fn the_kernel_finds_its_memory_its_initrd_its_words_and_the_tables() {
        let map = MemoryMap::new(&Layout::new(5 << 30, 1 << 39).unwrap(), Protection::Sev);
        let initrd = &(0x1000_0000..0x1000_0123);
        let params = Told { map: &map, command_line: "quiet", initrd }.build(None);
        let hdr = params.hdr;
        assert_eq!(({ hdr.header }, { hdr.boot_flag }), (HEADER_MAGIC, BOOT_FLAG));
        assert_eq!(({ hdr.ramdisk_image }, { hdr.ramdisk_size }), (0x1000_0000, 0x123));
        assert_eq!({ hdr.cmd_line_ptr }, COMMAND_LINE as u32);
        assert_eq!({ params.acpi_rsdp_addr }, acpi::ADDRESS);
        let table = params.e820_table;
        let found: Vec<_> = table[..usize::from(params.e820_entries)]
            .iter()
            .map(|entry| ({ entry.addr }, { entry.size }, { entry.r#type }))
            .collect();
        let expected: Vec<_> = map
            .entries()
            .iter()
            .map(|(range, kind)| (range.start, range.end - range.start, *kind as u32))
            .collect();
        assert_eq!(found, expected);
        assert_eq!(found.last(), Some(&(4 << 30, 2 << 30, 1)), "memory above the hole");
    }

    #[test]
    fn an_images_own_header_is_kept() {
        let map = MemoryMap::new(&Layout::new(256 << 20, 1 << 39).unwrap(), Protection::Sev);
        let own = setup_header { init_size: 77, version: 0x20f, ..Default::default() };
        let hdr = Told { map: &map, command_line: "", initrd: &(0..0) }.build(Some(own)).hdr;
        assert_eq!(({ hdr.init_size }, { hdr.version }, { hdr.ramdisk_size }), (77, 0x20f, 0));
        assert_eq!(hdr.type_of_loader, LOADER_UNDEFINED);
    }

    /// Offsets from `struct cc_blob_sev_info` and `struct setup_data` of Linux.
    #[test]
    fn an_snp_kernel_finds_its_secrets_and_its_cpuid_through_setup_data() {
        let layout = Layout::new(256 << 20, 1 << 39).unwrap();
        let map = MemoryMap::new(&layout, Protection::Snp);
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 1 << 20)]).unwrap();
        let told = Told { map: &map, command_line: "", initrd: &(0..0) };
        told.write(&memory, None, Protection::Snp).unwrap();
        let word = |at: u64| memory.read_obj::<u32>(GuestAddress(at)).unwrap();
        let data = u64::from(word(ADDRESS + 0x250));
        assert_eq!((word(data), word(data + 4)), (0, 0), "nothing follows");
        assert_eq!((word(data + 8), word(data + 12)), (7, 4));
        let blob = u64::from(word(data + 16));
        assert_eq!((word(blob), word(blob + 4)), (0x4544_4d41, 0));
        assert_eq!((word(blob + 8), word(blob + 16)), (0xb000, 4096));
        assert_eq!((word(blob + 24), word(blob + 32)), (0xc000, 4096));
        let pages = [data, blob, 0xb000, 0xc000];
        for page in pages {
            let inside = |range: &Range<u64>| range.contains(&page);
            let (_, kind) = map.entries().iter().find(|(range, _)| inside(range)).unwrap();
            assert_eq!(*kind, super::super::memory_map::Kind::Reserved, "{page:#x}");
        }
    }
}
