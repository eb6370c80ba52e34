//! What a guest is told: PVH's `hvm_start_info` with command line, memory map and one module.

use super::Error;
use super::linux::memory_map::Kind;
use linux_loader::loader::elf::start_info::{
    hvm_memmap_table_entry, hvm_modlist_entry, hvm_start_info,
};
use std::ops::Range;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// Guest-physical address of `hvm_start_info`.
pub const ADDRESS: u64 = 0x8000;
const MODULES: u64 = 0x8100;
const MEMORY_MAP: u64 = 0x8200;
const COMMAND_LINE: u64 = 0x9000;

/// Most bytes of a command line.
pub const MAX_COMMAND_LINE: usize = 4095;

/// "xEn3" (Xen public headers, `XEN_HVM_START_MAGIC_VALUE`).
const MAGIC: u32 = 0x336e_c578;
/// The version that has a memory map.
const VERSION: u32 = 1;

/// What a guest is told.
#[derive(Clone, Debug)]
pub struct StartInfo<'a> {
    /// Its address space.
    pub ranges: &'a [(Range<u64>, Kind)],
    /// Its command line.
    pub command_line: &'a str,
    /// The module: the built-in guest's payload, or an initrd; empty where there is none.
    pub module: Range<u64>,
    /// Address of ACPI's root pointer; 0 where there is none.
    pub rsdp: u64,
}

impl StartInfo<'_> {
    /// Writes everything; the address is [`ADDRESS`].
    ///
    /// # Errors
    /// The command line is too long or has a NUL, or memory is not there.
    pub fn write(&self, memory: &GuestMemoryMmap) -> Result<(), Error> {
        let length = self.command_line.len();
        if length > MAX_COMMAND_LINE || self.command_line.contains('\0') {
            return Err(Error::CommandLine(length));
        }
        memory.write_slice(self.command_line.as_bytes(), GuestAddress(COMMAND_LINE))?;
        memory.write_obj(0u8, GuestAddress(COMMAND_LINE + length as u64))?;
        let module = hvm_modlist_entry {
            paddr: self.module.start,
            size: self.module.end - self.module.start,
            ..Default::default()
        };
        memory.write_obj(module, GuestAddress(MODULES))?;
        let mut at = MEMORY_MAP;
        for (range, kind) in self.ranges {
            let entry = hvm_memmap_table_entry {
                addr: range.start,
                size: range.end - range.start,
                // The numbers are e820's.
                type_: *kind as u32,
                reserved: 0,
            };
            memory.write_obj(entry, GuestAddress(at))?;
            at += size_of::<hvm_memmap_table_entry>() as u64;
        }
        let start_info = hvm_start_info {
            magic: MAGIC,
            version: VERSION,
            nr_modules: 1,
            modlist_paddr: MODULES,
            cmdline_paddr: COMMAND_LINE,
            rsdp_paddr: self.rsdp,
            memmap_paddr: MEMORY_MAP,
            memmap_entries: self.ranges.len() as u32,
            ..Default::default()
        };
        Ok(memory.write_obj(start_info, GuestAddress(ADDRESS))?)
    }
}
