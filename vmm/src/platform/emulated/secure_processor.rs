//! Guest messages between a guest and the emulated AMD-SP (GHCB standard, SNP Guest Request): the VMM
//! carries sealed pages there and back, and adds the certificates.
//!
//! The pages are named by the guest, and must be shared: each is copied out once, and what is written
//! goes to the shared side only.

use crate::memory::Memory;
use ravelin_devices::page_state::PAGE_SIZE;
use ravelin_snp::ghcb;
use ravelin_snp::ghcb::certificate_table::{self, Guid};
use ravelin_snp::ghcb::guest_request::Status;
use ravelin_snp::ghcb::page::{Field, Ghcb, Malformed};
use ravelin_sp_model::Guest;
use std::sync::OnceLock;
use vm_memory::{Bytes, GuestAddress};

/// No certificate could be made; an error of the hypervisor's own.
const NO_CERTIFICATES: u32 = 3;

/// The emulated AMD-SP, for one guest.
pub(crate) struct SecureProcessor {
    guest: Guest,
    /// The table of its certificates, in whole pages. Made when it is first asked for.
    certificates: OnceLock<Option<Vec<u8>>>,
}

/// What goes back to the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: Status,
    /// RBX: how many pages the certificates take, where there were too few.
    pub(super) pages: Option<u64>,
}

impl SecureProcessor {
    pub(crate) fn new(guest: Guest) -> SecureProcessor {
        SecureProcessor { guest, certificates: OnceLock::new() }
    }

    /// An SNP Guest Request.
    pub(super) fn request(&self, memory: &Memory, ghcb: &Ghcb) -> Result<Reply, Malformed> {
        let (question, answer) = (page(ghcb, Field::ExitInfo1)?, page(ghcb, Field::ExitInfo2)?);
        let status = self.carry(memory, question, answer)?;
        Ok(Reply { status, pages: None })
    }

    /// An SNP Extended Guest Request. Where there are too few pages for the certificates, the AMD-SP
    /// is not asked.
    pub(super) fn extended_request(
        &self,
        memory: &Memory,
        ghcb: &Ghcb,
    ) -> Result<Reply, Malformed> {
        let (question, answer) = (page(ghcb, Field::ExitInfo1)?, page(ghcb, Field::ExitInfo2)?);
        let place = page(ghcb, Field::Rax)?;
        let pages = ghcb.get(Field::Rbx).ok_or(Malformed::MissingInput)?;
        let Some(table) = self.certificates.get_or_init(|| table(&self.guest)) else {
            return Ok(Reply { status: Status::Hypervisor(NO_CERTIFICATES), pages: None });
        };
        let needed = table.len() as u64 / PAGE_SIZE;
        if pages < needed {
            return Ok(Reply { status: Status::TooFewPages, pages: Some(needed) });
        }
        write(memory, place, table)?;
        let status = self.carry(memory, question, answer)?;
        Ok(Reply { status, pages: None })
    }

    /// Takes the message at `question` to the AMD-SP and its answer to `answer`.
    fn carry(&self, memory: &Memory, question: u64, answer: u64) -> Result<Status, Malformed> {
        let mut page = [0; ghcb::PAGE_SIZE];
        {
            let _shared =
                memory.pages().shared(question, PAGE_SIZE).map_err(|_| Malformed::InvalidInput)?;
            let copied = memory.shared().read_slice(&mut page, GuestAddress(question));
            copied.map_err(|_| Malformed::InvalidInput)?;
        }
        // A question has one answer: that there is a place for it is known first.
        drop(memory.pages().shared(answer, PAGE_SIZE).map_err(|_| Malformed::InvalidInput)?);
        match self.guest.request(&page) {
            Ok(sealed) => write(memory, answer, &sealed).map(|()| Status::Done),
            Err(status) => Ok(Status::Firmware(status)),
        }
    }
}

/// The table of certificates, filled up to whole pages.
fn table(guest: &Guest) -> Option<Vec<u8>> {
    let chain = guest.certificates().ok()?;
    let entries: [(Guid, &[u8]); 3] =
        [(Guid::VCEK, &chain.vcek), (Guid::ASK, &chain.ask), (Guid::ARK, &chain.ark)];
    let mut pages = vec![0; certificate_table::length(&entries).next_multiple_of(ghcb::PAGE_SIZE)];
    certificate_table::write(&entries, &mut pages)?;
    Some(pages)
}

/// The page's address in a field.
fn page(ghcb: &Ghcb, field: Field) -> Result<u64, Malformed> {
    let address = ghcb.get(field).ok_or(Malformed::MissingInput)?;
    if address.is_multiple_of(PAGE_SIZE) { Ok(address) } else { Err(Malformed::InvalidInput) }
}

/// Writes to pages that are shared, all of them, while they are.
fn write(memory: &Memory, address: u64, bytes: &[u8]) -> Result<(), Malformed> {
    let _shared =
        memory.pages().shared(address, bytes.len() as u64).map_err(|_| Malformed::InvalidInput)?;
    memory.shared().write_slice(bytes, GuestAddress(address)).map_err(|_| Malformed::InvalidInput)
}

#[cfg(test)]
mod tests;
