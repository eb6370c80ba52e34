//! What a guest is told: PVH's `hvm_start_info` with command line, memory map and modules.
//!
//! The built-in guest's command line is part of what a launch measures, so it says what the guest is
//! for. Its hints, a second module, may differ at each start (how fast the clock goes, a nonce) and
//! decide nothing. Behind them is the place of the secrets page, which the AMD-SP fills where there is
//! one.

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
/// Guest-physical address of the hints; a page.
pub const HINTS: u64 = 0xa000;
/// Guest-physical address of the secrets page. The built-in guest knows it.
pub const SECRETS: u64 = 0xb000;

/// Most bytes of a command line, and of the hints.
pub const MAX_COMMAND_LINE: usize = 4095;

const MODULE_SIZE: usize = size_of::<hvm_modlist_entry>();

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
    /// The built-in guest's hints.
    pub hints: Option<&'a str>,
    /// The module: the built-in guest's payload, or an initrd; empty where there is none.
    pub module: Range<u64>,
    /// Address of ACPI's root pointer; 0 where there is none.
    pub rsdp: u64,
}

impl StartInfo<'_> {
    /// Writes everything; the address is [`ADDRESS`].
    ///
    /// # Errors
    /// The command line or the hints are too long or have a NUL, or memory is not there.
    pub fn write(&self, memory: &GuestMemoryMmap) -> Result<(), Error> {
        write_text(memory, self.command_line, COMMAND_LINE)?;
        let mut modules = vec![self.module.clone()];
        if let Some(hints) = self.hints {
            write_text(memory, hints, HINTS)?;
            // Of no length that depends on them: the list is measured.
            modules.push(HINTS..HINTS + MAX_COMMAND_LINE as u64 + 1);
        }
        for (module, at) in modules.iter().zip((MODULES..).step_by(MODULE_SIZE)) {
            let entry = hvm_modlist_entry {
                paddr: module.start,
                size: module.end - module.start,
                ..Default::default()
            };
            memory.write_obj(entry, GuestAddress(at))?;
        }
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
            nr_modules: modules.len() as u32,
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

/// Writes a text and its NUL.
pub(super) fn write_text(memory: &GuestMemoryMmap, text: &str, address: u64) -> Result<(), Error> {
    let length = text.len();
    if length > MAX_COMMAND_LINE || text.contains('\0') {
        return Err(Error::CommandLine(length));
    }
    memory.write_slice(text.as_bytes(), GuestAddress(address))?;
    Ok(memory.write_obj(0u8, GuestAddress(address + length as u64))?)
}
