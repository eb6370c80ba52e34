//! The certificates of the key that signs a guest's reports, for guests that ask for them with a
//! report (GHCB standard, SNP Extended Guest Request).
//!
//! They are files of the operator's, in DER: `vcek.der` or `vlek.der`, `ask.der`, `ark.der`. They prove
//! themselves, so that a wrong one is a guest's refusal and nothing worse. Kernels before Linux 7.0
//! cannot ask for them: their guests get reports without, and a verifier has to have the certificates.

use crate::memory::Memory;
use ravelin_devices::page_state::PAGE_SIZE;
use ravelin_snp::ghcb::certificate_table::{self, Guid};
use std::io;
use std::path::{Path, PathBuf};
use vm_memory::{Bytes, GuestAddress};

/// The files, and what each is in the table.
const FILES: [(&str, Guid); 4] = [
    ("vcek.der", Guid::VCEK),
    ("vlek.der", Guid::VLEK),
    ("ask.der", Guid::ASK),
    ("ark.der", Guid::ARK),
];

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is there and cannot be read.
    #[error("cannot read {}: check its permissions", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// No file is there.
    #[error(
        "{} has none of vcek.der, vlek.der, ask.der and ark.der: write them there (`snphost fetch`)",
        .0.display()
    )]
    None(PathBuf),
    /// They are more than a table holds.
    #[error("the certificates in {} are too large for a table", .0.display())]
    TooLarge(PathBuf),
}

/// A table of certificates in whole pages.
#[derive(Debug, Default)]
pub struct Certificates(Vec<u8>);

/// What becomes of a guest's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The table is in the guest's pages.
    Given,
    /// It takes so many.
    TooFewPages(u64),
    /// The pages are not the guest's, or private.
    Failed,
}

impl Certificates {
    /// Those in a directory.
    ///
    /// # Errors
    /// There are none, or one cannot be read.
    pub fn in_directory(directory: &Path) -> Result<Certificates, Error> {
        let mut found: Vec<(Guid, Vec<u8>)> = Vec::new();
        for (name, guid) in FILES {
            let path = directory.join(name);
            match std::fs::read(&path) {
                Ok(bytes) => found.push((guid, bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::Read(path, error)),
            }
        }
        if found.is_empty() {
            return Err(Error::None(directory.into()));
        }
        let entries: Vec<_> = found.iter().map(|(guid, bytes)| (*guid, bytes.as_slice())).collect();
        let length = certificate_table::length(&entries);
        let mut pages = vec![0; length.next_multiple_of(PAGE_SIZE as usize)];
        certificate_table::write(&entries, &mut pages)
            .ok_or_else(|| Error::TooLarge(directory.into()))?;
        Ok(Certificates(pages))
    }

    /// Writes the table to pages that are shared, all of them, while they are. Without certificates it
    /// is an empty one.
    pub(crate) fn give(&self, memory: &Memory, address: u64, pages: u64) -> Answer {
        const EMPTY: [u8; PAGE_SIZE as usize] = [0; PAGE_SIZE as usize];
        let table = if self.0.is_empty() { &EMPTY } else { self.0.as_slice() };
        let needed = table.len() as u64 / PAGE_SIZE;
        if pages < needed {
            return Answer::TooFewPages(needed);
        }
        let Ok(_shared) = memory.pages().shared(address, table.len() as u64) else {
            return Answer::Failed;
        };
        match memory.shared().write_slice(table, GuestAddress(address)) {
            Ok(()) => Answer::Given,
            Err(_) => Answer::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Pages;
    use ravelin_devices::page_state::PageState;

    #[allow(clippy::single_range_in_vec_init, reason = "one range of memory")]
    fn memory() -> Memory {
        Memory::new(&[0..4 << 20], true, Pages::Any).unwrap()
    }

    #[test]
    fn a_guest_gets_what_is_in_the_directory_and_only_into_shared_pages() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("vcek.der"), [1; 5000]).unwrap();
        std::fs::write(directory.path().join("ark.der"), [2; 3]).unwrap();
        let certificates = Certificates::in_directory(directory.path()).unwrap();
        let memory = memory();
        assert_eq!(certificates.give(&memory, 0x3000, 1), Answer::TooFewPages(2));
        assert_eq!(certificates.give(&memory, 0x3000, 2), Answer::Failed, "private pages");
        memory.pages().convert(0x3000, PAGE_SIZE, PageState::Shared).unwrap();
        assert_eq!(certificates.give(&memory, 0x3000, 2), Answer::Failed, "one private page");
        memory.pages().convert(0x3000, 2 * PAGE_SIZE, PageState::Shared).unwrap();
        assert_eq!(certificates.give(&memory, 0x3000, 9), Answer::Given);
        let mut pages = [0; 2 * PAGE_SIZE as usize];
        memory.shared().read_slice(&mut pages, GuestAddress(0x3000)).unwrap();
        assert_eq!(certificate_table::find(&pages, Guid::VCEK), Ok(Some(&[1; 5000][..])));
        assert_eq!(certificate_table::find(&pages, Guid::ARK), Ok(Some(&[2; 3][..])));
        assert_eq!(certificate_table::find(&pages, Guid::ASK), Ok(None));
    }

    #[test]
    fn a_directory_without_certificates_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(Certificates::in_directory(directory.path()), Err(Error::None(_))));
    }
}
