//! The launch of a guest (ABI, SNP_LAUNCH_START, _UPDATE and _FINISH): pages are put in one by one, each
//! moves the launch digest on, and what comes out in the end is a guest whose digest is final.
//!
//! The state of the vCPUs is measured as on hardware, but by the VMM's word: it puts in the VMSAs that it then
//! sets registers by, where on hardware the processor starts from the page that was measured.

use crate::{Error, Guest, chip};
use ravelin_guest_message::secrets::SecretsPage;
use ravelin_guest_message::{Page, VMPCKS, Vmpck};
use ravelin_snp::launch_digest::{LaunchDigest, PageType};
use zeroize::Zeroizing;

/// A launch that has begun and not ended.
pub struct Launch {
    policy: u64,
    digest: LaunchDigest,
    /// For the guest, and for its secrets page.
    keys: [[Vmpck; VMPCKS]; 2],
}

impl Launch {
    /// Begins a launch: the guest gets new keys.
    ///
    /// # Errors
    /// The machine gives no randomness.
    pub fn start(policy: u64) -> Result<Launch, Error> {
        let mut secrets = Zeroizing::new([0_u8; 32 * VMPCKS]);
        getrandom::fill(secrets.as_mut_slice())?;
        // All zeros, the one key that is none, has a chance of one in 2^256.
        let keys = || split(&secrets).ok_or(Error::Randomness(getrandom::Error::UNEXPECTED));
        Ok(Launch { policy, digest: LaunchDigest::new(), keys: [keys()?, keys()?] })
    }

    /// Puts a page in that the VMM has written.
    pub fn update(&mut self, kind: PageType, address: u64, page: &Page) {
        self.digest.update(kind, address, page);
    }

    /// Puts the secrets page in: `insert` writes it to guest memory, where only the guest may read it
    /// and, on this platform, the VMM can.
    ///
    /// # Errors
    /// Those of `insert`.
    pub fn insert_secrets<E>(
        &mut self,
        address: u64,
        insert: impl FnOnce(&Page) -> Result<(), E>,
    ) -> Result<(), E> {
        let [keys, _] = &self.keys;
        let page = SecretsPage::new(chip::FMS, keys);
        self.digest.update(PageType::Secrets, address, page.as_bytes());
        insert(page.as_bytes())
    }

    /// Ends the launch: from here on the digest is what it is. `host_data` is whatever the host wants
    /// to be in each report.
    ///
    /// # Errors
    /// The machine gives no randomness.
    pub fn finish(self, host_data: [u8; 32]) -> Result<Guest, Error> {
        let mut report_id = [0; 32];
        getrandom::fill(&mut report_id)?;
        let [_, keys] = self.keys;
        Ok(Guest::new(keys, self.policy, self.digest.value(), host_data, report_id))
    }
}

/// The four keys in these bytes.
fn split(secrets: &[u8; 32 * VMPCKS]) -> Option<[Vmpck; VMPCKS]> {
    let (secrets, _) = secrets.as_chunks::<32>();
    let keys: Option<Vec<Vmpck>> =
        (0..).zip(secrets).map(|(number, key)| Vmpck::new(number, *key)).collect();
    keys?.try_into().ok()
}
