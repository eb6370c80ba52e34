use super::*;
use crate::layout::Layout;
use crate::memory::{Memory, Pages};
use linux_loader::bootparam::setup_header;
use linux_loader::elf::{Elf64_Ehdr, Elf64_Phdr};
use std::io::Write;
use vm_memory::ByteValued;

/// A file with these bytes.
fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// A bzImage that is nothing but its header and one page of code.
pub(crate) fn bzimage(change: impl FnOnce(&mut setup_header)) -> Vec<u8> {
    let mut header = setup_header {
        setup_sects: 1,
        boot_flag: 0xaa55,
        header: zero_page::HEADER_MAGIC,
        version: 0x20f,
        loadflags: 1,
        xloadflags: 1,
        cmdline_size: 2047,
        initrd_addr_max: 0x7fff_ffff,
        pref_address: 16 << 20,
        init_size: 32 << 20,
        ..Default::default()
    };
    change(&mut header);
    let mut bytes = vec![0; 0x1f1];
    bytes.extend_from_slice(header.as_slice());
    bytes.resize(2 * 512, 0);
    bytes.extend_from_slice(&[0x90; 4096]);
    bytes
}

pub(crate) fn open(kernel: &[u8], initrd: Option<&[u8]>, words: &str) -> Result<Linux, Error> {
    let (kernel, initrd) = (file(kernel), initrd.map(file));
    Linux::open(kernel.path(), initrd.as_ref().map(|file| file.path()), words)
}

#[test]
fn a_file_that_is_no_kernel_is_refused_whatever_it_is() {
    let text = [b' '; 2000];
    let mut half_an_elf = vec![0x7f, b'E', b'L', b'F', 2, 1];
    half_an_elf.resize(40, 0);
    let this_program = std::fs::read("/proc/self/exe").unwrap();
    for bytes in [&b""[..], b"#!/bin/sh\n", &text, &half_an_elf, &this_program] {
        let refused = open(bytes, None, "");
        assert!(matches!(refused, Err(Error::NotAKernel)), "{:?}", refused.map(|_| ()));
    }
    assert!(matches!(Linux::open(Path::new("/"), None, ""), Err(Error::NotAKernel)));
    assert!(matches!(Linux::open(Path::new("/absent"), None, ""), Err(Error::ReadKernel(..))));
}

#[test]
fn a_kernel_without_a_64_bit_entry_is_refused() {
    let old = bzimage(|header| header.version = 0x20b);
    let narrow = bzimage(|header| header.xloadflags = 0);
    for kernel in [old, narrow] {
        assert!(matches!(open(&kernel, None, ""), Err(Error::NoEntry(_))));
    }
}

#[test]
fn the_command_line_fits_the_kernels_buffer() {
    let kernel = bzimage(|header| header.cmdline_size = 20);
    assert!(open(&kernel, None, &"x".repeat(20)).is_ok());
    let refused = open(&kernel, None, &"x".repeat(21));
    assert!(matches!(refused, Err(Error::CommandLineTooLong { length: 21, most: 20 })));
    // A kernel that claims more has no more room here.
    let kernel = bzimage(|header| header.cmdline_size = u32::MAX);
    let refused = open(&kernel, None, &"x".repeat(4096));
    assert!(matches!(refused, Err(Error::CommandLineTooLong { most: 4095, .. })));
    assert!(matches!(open(&kernel, None, "a\0b"), Err(Error::CommandLineNul)));
}

#[test]
fn an_initrd_that_is_none_or_too_large_is_refused() {
    let kernel = bzimage(|_| ());
    assert!(matches!(open(&kernel, Some(b""), ""), Err(Error::EmptyInitrd)));
    let linux = open(&kernel, Some(&[0; 5000]), "").unwrap();
    assert!(linux.place(64 << 20).is_ok());
    assert!(matches!(linux.place(48 << 20), Err(Error::InitrdTooLarge { initrd: 5000, room: 0 })));
    assert!(matches!(linux.place(47 << 20), Err(Error::KernelTooLarge { .. })));
}

#[test]
fn a_kernel_longer_than_it_says_is_placed_by_its_length() {
    // The file is 3 MiB, and says that it needs nothing.
    let mut kernel = bzimage(|header| (header.pref_address, header.init_size) = (1 << 20, 0));
    kernel.resize((3 << 20) + 1024, 0x90);
    let linux = open(&kernel, Some(b"initrd"), "").unwrap();
    let placed = linux.place(64 << 20).unwrap();
    assert_eq!(placed.kernel, 1 << 20..4 << 20);
    assert!(matches!(linux.place(3 << 20), Err(Error::KernelTooLarge { .. })));
}

#[test]
fn a_segment_with_more_bytes_than_memory_is_refused() {
    let elf = |file_size: u64, memory_size: u64| {
        let header = Elf64_Ehdr {
            e_ident: [0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            e_machine: 62,
            e_entry: 1 << 20,
            e_phoff: 64,
            e_phentsize: 56,
            e_phnum: 1,
            ..Default::default()
        };
        let segment = Elf64_Phdr {
            p_type: 1,
            p_offset: 120,
            p_paddr: 1 << 20,
            p_filesz: file_size,
            p_memsz: memory_size,
            ..Default::default()
        };
        [header.as_slice(), segment.as_slice(), &[0x90; 4096]].concat()
    };
    assert!(open(&elf(4096, 8192), None, "").is_ok());
    for (file_size, memory_size) in [(4096, 4095), (4096, 0), (u64::MAX, 4096)] {
        let refused = open(&elf(file_size, memory_size), None, "");
        assert!(matches!(refused, Err(Error::NotAKernel)), "{file_size} in {memory_size}");
    }
}

#[test]
fn everything_is_loaded_to_where_the_kernel_is_told() {
    let layout = Layout::new(64 << 20, 1 << 39).unwrap();
    let memory = Memory::new(&layout.memory, false, Pages::Any).unwrap();
    let map = MemoryMap::new(&layout, Protection::Sev);
    let tables = acpi::Tables::new(&layout, 1);
    let linux = open(&bzimage(|_| ()), Some(b"initrd"), "console=ttyS0").unwrap();
    let entry = linux.load(memory.private(), &map, &tables, Protection::Sev).unwrap();
    assert_eq!(entry, Entry::LongMode { instruction: (1 << 20) + 0x200, argument: 0x7000 });
    let read = |address, length| {
        let mut bytes = vec![0; length];
        memory.private().read_slice(&mut bytes, GuestAddress(address)).unwrap();
        bytes
    };
    let number = |address| u32::from_le_bytes(read(address, 4).try_into().unwrap());
    assert_eq!(read(1 << 20, 4), [0x90; 4]);
    assert_eq!(read(number(0x7000 + 0x218).into(), 6), b"initrd");
    assert_eq!(number(0x7000 + 0x21c), 6, "its length");
    assert_eq!(read(number(0x7000 + 0x228).into(), 14), b"console=ttyS0\0");
    assert_eq!(read(number(0x7000 + 0x70).into(), 8), b"RSD PTR ");
}
