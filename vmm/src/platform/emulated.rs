//! The hypervisor's side of the GHCB protocol, for the emulated platform.
//!
//! The guest's `wrmsr` to the GHCB MSR comes here by KVM's MSR filter; what it reads back is the
//! response. Everything asked is checked against the page-state map and answered with the
//! standard's error codes; nothing the guest writes is believed, and the GHCB page is copied out of
//! shared memory once before anything is looked at.
//!
//! [`launch`] takes the guest through the emulated AMD-SP, [`secure_processor`] carries its messages
//! there.

pub(crate) mod launch;
pub(crate) mod secure_processor;

use super::cpuid::GuestCpuid;
use crate::memory::Memory;
use ravelin_devices::page_state::{PAGE_SIZE, PageState};
use ravelin_snp::ghcb::page::{Field, Ghcb, Malformed, SHARED_BUFFER, exit_code};
use ravelin_snp::ghcb::page_state::{Operation, Status};
use ravelin_snp::ghcb::protocol::{Features, Request, Response};
use ravelin_snp::{ghcb, msr};
use secure_processor::{Reply, SecureProcessor};
use std::sync::{Arc, OnceLock};
use vm_memory::{Bytes, GuestAddress};

/// Lowest protocol version: the MSR protocol's page-state change came with 2.
const MINIMUM_VERSION: u16 = ghcb::VERSION;
/// The error of a page-state change by MSR; the standard wants it to be other than 0.
const REFUSED: u32 = 1;

/// What a vCPU does after an access to an MSR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MsrOutcome {
    /// It carries on.
    Done,
    /// It gets #GP: there is no such MSR, or not for writing.
    Fault,
    /// The guest has given up: set of reason codes, and reason.
    Terminated(u8, u8),
}

/// What became of a request in the GHCB page that was sound as such.
enum Done {
    PageStates(Status),
    GuestRequest(Reply),
}

/// One vCPU's conversation with the hypervisor.
pub(crate) struct GhcbProtocol {
    memory: Arc<Memory>,
    cpuid: Arc<GuestCpuid>,
    /// Empty for a guest that was not launched through it.
    secure_processor: Arc<OnceLock<SecureProcessor>>,
    /// What the guest reads next.
    value: u64,
    /// Guest-physical address of the GHCB, once registered.
    registered: Option<u64>,
}

impl GhcbProtocol {
    pub(crate) fn new(
        memory: Arc<Memory>,
        cpuid: Arc<GuestCpuid>,
        secure_processor: Arc<OnceLock<SecureProcessor>>,
    ) -> GhcbProtocol {
        GhcbProtocol { memory, cpuid, secure_processor, value: 0, registered: None }
    }

    /// The guest reads an MSR; `None` for #GP.
    pub(crate) fn read(&self, index: u32) -> Option<u64> {
        match index {
            msr::GHCB => Some(self.value),
            msr::SEV_STATUS => Some(msr::SEV_STATUS_SEV),
            _ => None,
        }
    }

    /// The guest writes an MSR.
    pub(crate) fn write(&mut self, index: u32, value: u64) -> MsrOutcome {
        if index != msr::GHCB {
            return MsrOutcome::Fault;
        }
        let response = match Request::decode(value) {
            Some(Request::Terminate { set, reason }) => return MsrOutcome::Terminated(set, reason),
            Some(Request::Ghcb(address)) => {
                self.value = value;
                self.exit(address);
                return MsrOutcome::Done;
            }
            Some(request) => self.answer(request),
            None => {
                // No response, so the guest reads back its own request and knows.
                self.value = value;
                return MsrOutcome::Done;
            }
        };
        self.value = response.map_or(value, Response::encode);
        MsrOutcome::Done
    }

    fn answer(&mut self, request: Request) -> Option<Response> {
        Some(match request {
            Request::SevInformation => Response::SevInformation {
                maximum: ghcb::VERSION,
                minimum: MINIMUM_VERSION,
                c_bit: self.cpuid.c_bit?,
            },
            Request::Cpuid { function, register } => {
                let value = self.cpuid.leaf(function)[register as usize];
                Response::Cpuid { value, register }
            }
            Request::PreferredGhcb => Response::PreferredGhcb(None),
            Request::RegisterGhcb(gfn) => Response::RegisteredGhcb(self.register(gfn)),
            Request::PageStateChange { gfn, operation } => {
                let changed = self.change(gfn, 1, operation);
                Response::PageStateChange(if changed { 0 } else { REFUSED })
            }
            Request::Features => Response::Features(Features::SNP),
            Request::Ghcb(_) | Request::Terminate { .. } => return None,
        })
    }

    /// Remembers where the GHCB is. It must be guest memory; whether it is shared is looked at
    /// with each use.
    fn register(&mut self, gfn: u64) -> Option<u64> {
        let address = gfn.checked_mul(PAGE_SIZE)?;
        self.memory.pages().state(address)?;
        self.registered = Some(address);
        Some(gfn)
    }

    /// The guest's GHCB has a request. An address that was not registered, or is private, gets no
    /// answer there: the guest finds its page unchanged.
    fn exit(&mut self, address: u64) {
        if self.registered != Some(address) {
            tracing::debug!(address, "GHCB that was not registered");
            return;
        }
        let mut bytes = [0; ghcb::PAGE_SIZE];
        if !self.on_shared(address, |memory, at| memory.read_slice(&mut bytes, at)) {
            return;
        }
        let mut page = Ghcb::from_bytes(bytes);
        let result = self.perform(&mut page, address);
        page.clear_valid();
        let (information1, information2) = match result {
            Ok(Done::PageStates(status)) => (0, status.encode()),
            Ok(Done::GuestRequest(Reply { status, pages })) => {
                if let Some(pages) = pages {
                    page.set(Field::Rbx, pages);
                }
                (0, status.encode())
            }
            Err(malformed) => (2, malformed as u64),
        };
        page.set(Field::ExitInfo1, information1);
        page.set(Field::ExitInfo2, information2);
        // The guest may have made its own GHCB private in this very request; then it learns nothing.
        self.on_shared(address, |memory, at| memory.write_slice(page.as_bytes(), at));
    }

    fn perform(&self, page: &mut Ghcb, address: u64) -> Result<Done, Malformed> {
        if page.usage() != 0 {
            return Err(Malformed::Usage);
        }
        match page.get(Field::ExitCode).ok_or(Malformed::MissingInput)? {
            exit_code::PAGE_STATE_CHANGE => {
                let scratch = page.get(Field::Scratch).ok_or(Malformed::MissingInput)?;
                // The structure fills the shared buffer, so there is one place for it.
                if Some(scratch) != address.checked_add(SHARED_BUFFER as u64) {
                    return Err(Malformed::Scratch);
                }
                Ok(Done::PageStates(self.change_pages(page)))
            }
            exit_code::GUEST_REQUEST => {
                self.secure_processor()?.request(&self.memory, page).map(Done::GuestRequest)
            }
            exit_code::EXTENDED_GUEST_REQUEST => self
                .secure_processor()?
                .extended_request(&self.memory, page)
                .map(Done::GuestRequest),
            _ => Err(Malformed::UnknownEvent),
        }
    }

    fn secure_processor(&self) -> Result<&SecureProcessor, Malformed> {
        self.secure_processor.get().ok_or(Malformed::UnknownEvent)
    }

    /// Works off a Page State Change structure and leaves in it how far it came.
    fn change_pages(&self, page: &mut Ghcb) -> Status {
        let Some(mut header) = page.page_state_header() else { return Status::InvalidHeader };
        if header.current > header.end {
            return Status::InvalidHeader;
        }
        while header.current <= header.end {
            let Some(mut entry) = page.page_state_entry(header.current) else {
                return Status::InvalidEntry;
            };
            let done = u64::from(entry.current_page);
            let left = entry.size.pages() - done;
            if left > 0 && !self.change(entry.gfn + done, left, entry.operation) {
                return Status::InvalidEntry;
            }
            entry.current_page = entry.size.pages() as u16;
            page.set_page_state_entry(header.current, entry);
            header.current += 1;
            page.set_page_state_header(header);
        }
        Status::Complete
    }

    fn change(&self, gfn: u64, pages: u64, operation: Operation) -> bool {
        let to = match operation {
            Operation::Private => PageState::Private,
            Operation::Shared => PageState::Shared,
        };
        let (Some(address), Some(length)) =
            (gfn.checked_mul(PAGE_SIZE), pages.checked_mul(PAGE_SIZE))
        else {
            return false;
        };
        let changed = self.memory.pages().convert(address, length, to);
        changed.inspect_err(|error| tracing::debug!(%error, "conversion refused")).is_ok()
    }

    /// Runs a copy on shared memory while the page at `address` stays shared.
    fn on_shared(
        &self,
        address: u64,
        copy: impl FnOnce(
            &vm_memory::GuestMemoryMmap,
            GuestAddress,
        ) -> Result<(), vm_memory::GuestMemoryError>,
    ) -> bool {
        let Ok(_guard) = self.memory.pages().shared(address, PAGE_SIZE) else {
            tracing::debug!(address, "GHCB in private memory");
            return false;
        };
        copy(self.memory.shared(), GuestAddress(address)).is_ok()
    }
}

#[cfg(test)]
mod tests;
