//! What a program needs before it can run: the loader of a dynamic one, nothing for a static one.

use std::path::PathBuf;

use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, elf};

/// What a file is to the kernel that is to execute it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// It runs as it is.
    Static,
    /// It runs where this loader and its libraries are.
    Dynamic {
        /// The loader that it asks for.
        loader: PathBuf,
    },
}

impl Program {
    /// Looks at the bytes of a file. `None` where it is no ELF program for x86-64.
    pub fn of(bytes: &[u8]) -> Option<Program> {
        let header = elf::FileHeader64::<Endianness>::parse(bytes).ok()?;
        let endian = header.endian().ok()?;
        if header.e_machine(endian) != elf::EM_X86_64
            || !matches!(header.e_type(endian), elf::ET_EXEC | elf::ET_DYN)
        {
            return None;
        }
        let segments = header.program_headers(endian, bytes).ok()?;
        for segment in segments {
            if let Some(path) = segment.interpreter(endian, bytes).ok()? {
                let loader = PathBuf::from(String::from_utf8_lossy(path).into_owned());
                return Some(Program::Dynamic { loader });
            }
        }
        Some(Program::Static)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_asks_for_a_loader_is_told_from_what_is_no_program() {
        let this = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(matches!(Program::of(&this), Some(Program::Dynamic { .. })));
        assert_eq!(Program::of(&this[..40]), None);
        assert_eq!(Program::of(b"#!/bin/sh\n"), None);
        assert_eq!(Program::of(&[]), None);
    }

    #[test]
    fn a_program_without_a_loader_is_static() {
        assert_eq!(Program::of(&smallest(62)), Some(Program::Static));
        assert_eq!(Program::of(&smallest(183)), None, "another processor's");
    }

    /// The header of an ELF file of this machine, and no segments.
    fn smallest(machine: u8) -> Vec<u8> {
        let mut file = vec![0; 64];
        file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        file[16] = 2;
        file[18] = machine;
        file[20] = 1;
        file[52] = 64;
        file[54] = 56;
        file
    }
}
