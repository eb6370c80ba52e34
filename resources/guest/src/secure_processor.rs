//! The AMD-SP, as the guest knows it: asks it for reports by guest message.
//!
//! The key comes from the secrets page, which is empty afterwards. Questions and answers are sealed and
//! opened in private memory; only sealed pages and the host's certificates are ever in shared memory.

use crate::call;
use crate::shared::{Arena, Piece};
use alloc::boxed::Box;
use alloc::vec;
use ravelin_driver::SharedMemory;
use ravelin_guest_message::Page;
use ravelin_guest_message::guest::{self, GuestChannel};
use ravelin_guest_message::report::{REPORT_DATA_SIZE, ReportRequest, ReportResponse, SigningKey};
use ravelin_guest_message::secrets::SecretsPage;
use ravelin_snp::ghcb::PAGE_SIZE;
use ravelin_snp::ghcb::certificate_table::{self, Guid};
use ravelin_snp::ghcb::guest_request::Status;
use ravelin_snp::report::report_data;
use ravelin_workload::witness::{self, Reporter, SignedReport};
use zeroize::Zeroize;

/// The guest runs at VMPL 0 and speaks under the key for it.
const VMPL: u8 = 0;
/// Pages for the host's certificates. AMD's three take two.
const CERTIFICATE_PAGES: usize = 4;
/// Question and answer.
const MESSAGE_PAGES: usize = 2;

/// Why there is no report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The host does not carry guest messages.
    #[error("the host does not carry messages to the AMD-SP")]
    Call(#[from] call::Error),
    /// The host, or the AMD-SP behind it, did not take the message.
    #[error("the message to the AMD-SP was not taken: {0:?}; the guest's key to it is wiped")]
    NotTaken(Status),
    /// The AMD-SP's answer.
    #[error(transparent)]
    Message(#[from] guest::Error),
    /// A report for somebody else.
    #[error("the AMD-SP's report is not the one that was asked for")]
    OtherReport,
    /// The host's certificates.
    #[error(transparent)]
    Certificates(#[from] certificate_table::Malformed),
}

/// The guest's conversation with the AMD-SP.
pub struct SecureProcessor {
    channel: GuestChannel,
    pages: Piece,
}

impl SecureProcessor {
    /// The AMD-SP that has filled this secrets page. `None` where none has, or shared memory is short.
    pub fn new(mut secrets: Page, arena: &mut Arena) -> Option<SecureProcessor> {
        let page = SecretsPage::from_bytes(secrets);
        secrets.zeroize();
        let key = page.ok()?.take_key(VMPL).ok()?;
        let pages = arena.take(PAGE_SIZE * (MESSAGE_PAGES + CERTIFICATE_PAGES))?;
        Some(SecureProcessor { channel: GuestChannel::new(key), pages })
    }

    /// A report that says `data`. After an error there are no more reports, unless the AMD-SP itself
    /// refused.
    ///
    /// # Errors
    /// There is none.
    pub fn report(&mut self, data: &[u8; REPORT_DATA_SIZE]) -> Result<SignedReport, Error> {
        let request =
            ReportRequest { report_data: *data, vmpl: VMPL.into(), signing_key: SigningKey::Any };
        let mut page = [0; PAGE_SIZE];
        self.channel.ask(&request, &mut page)?;
        self.pages.write(0, &page);
        let status = call::guest_request(self.pages.address(), CERTIFICATE_PAGES as u64);
        if status != Ok(Status::Done) {
            // Whether the AMD-SP has seen the question is only known from the host.
            self.channel.abandon();
            return Err(status.map_or_else(Error::Call, Error::NotTaken));
        }
        self.pages.read(PAGE_SIZE, &mut page);
        let ReportResponse { report } = self.channel.receive(&page)?;
        if report_data(&report) != *data {
            return Err(Error::OtherReport);
        }
        let mut table = vec![0; PAGE_SIZE * CERTIFICATE_PAGES];
        self.pages.read(PAGE_SIZE * MESSAGE_PAGES, &mut table);
        let certificate = |guid| {
            certificate_table::find(&table, guid).map(|der| der.unwrap_or_default().to_vec())
        };
        let certificates = [certificate(Guid::ASK)?, certificate(Guid::VCEK)?];
        Ok(SignedReport { report: report.to_vec(), certificates })
    }
}

impl Reporter for SecureProcessor {
    fn report(&mut self, data: &[u8; REPORT_DATA_SIZE]) -> Result<SignedReport, witness::Error> {
        SecureProcessor::report(self, data).map_err(|error| witness::Error(Box::new(error)))
    }
}
