//! Signing revocation lists: what the maker no longer stands for.

use crate::{Error, Maker};
use ravelin_dice::CertificateId;
use ravelin_dice::issue::revocation_list;
use ravelin_dice::time::Validity;
use std::collections::BTreeSet;

impl Maker {
    /// Revokes certificates: the root's own (device identities, signers) and its devices'
    /// (attestation keys). `number` grows with each list; `validity` is from this list to the next.
    ///
    /// # Errors
    /// If one of them cannot be written in DER.
    pub fn revoke(
        &self,
        certificates: impl IntoIterator<Item = CertificateId>,
        number: u64,
        validity: Validity,
    ) -> Result<Vec<u8>, Error> {
        let revoked: BTreeSet<CertificateId> = certificates.into_iter().collect();
        Ok(revocation_list(self.root(), &revoked, number, validity)?)
    }
}
