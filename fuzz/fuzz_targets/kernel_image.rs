//! Kernel files, bzImage and ELF, as a user gives them: refused before there is a guest, or loaded
//! where they were placed and nowhere else.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use ravelin::boot::linux::memory_map::MemoryMap;
use ravelin::boot::linux::{Linux, Protection};
use ravelin::boot::{Entry, acpi};
use ravelin::layout::Layout;
use ravelin_fuzz::folder::folder;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// Bytes of guest memory.
const MEMORY: u64 = 64 << 20;
/// Longest file.
const LONGEST: usize = 64 << 10;
/// Below it is the VMM's.
const LOWEST: u64 = 1 << 20;
const INITRD: &[u8] = b"an initrd";

fuzz_target!(|data: &[u8]| {
    if data.len() > LONGEST {
        return;
    }
    let (kernel, initrd) = (folder().join("kernel"), folder().join("initrd"));
    fs::write(&kernel, data).unwrap();
    fs::write(&initrd, INITRD).unwrap();
    let layout = Layout::new(MEMORY, 1 << 46).unwrap();
    let protection = [Protection::None, Protection::Sev, Protection::Snp][data.len() % 3];
    let map = MemoryMap::new(&layout, protection);
    let Ok(linux) = Linux::open(&kernel, Some(&initrd), "quiet") else { return };
    let Ok(placement) = linux.place(map.low()) else { return };
    let tables = acpi::Tables::new(&layout, 1);
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY as usize)]).unwrap();
    let Ok(entry) = linux.load(&memory, &map, &tables, protection) else { return };
    let (Entry::LongMode { instruction, .. } | Entry::ProtectedMode { instruction, .. }) = entry;
    assert!(instruction >= LOWEST || data.starts_with(b"\x7fELF"), "it begins at {instruction:#x}");
    let mut bytes = [0; 9];
    memory.read_slice(&mut bytes, GuestAddress(placement.initrd.start)).unwrap();
    assert_eq!(bytes, INITRD, "the initrd is not where it was placed");
    assert!(placement.kernel.start >= LOWEST && placement.kernel.end <= placement.initrd.start);
    // Nothing between the kernel and what was placed behind it.
    let mut gap = vec![0; (placement.initrd.start - placement.kernel.end).min(4096) as usize];
    memory.read_slice(&mut gap, GuestAddress(placement.kernel.end)).unwrap();
    assert!(gap.iter().all(|byte| *byte == 0), "the kernel is longer than it was said to be");
});
