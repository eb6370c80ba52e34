//! What a guest judges its GPUs by: the maker's documents, pinned in the guest's image, and its
//! policy.

use ravelin_attestation::{
    Clock, Policy, ReferenceValues, RevocationList, TrustAnchor, reference_values, revocation,
};
use ravelin_driver::attest::Trust;

/// What the image pins: part of what a launch measures.
const ROOT: &[u8] = include_bytes!("../../reference-values/root.der");
const REFERENCES: &[u8] = include_bytes!("../../reference-values/reference-values.corim");
const REVOCATIONS: &[u8] = include_bytes!("../../reference-values/revocation-list.crl");

/// The release before this security version was superseded for a weakness.
const SVN_FLOOR: u32 = 2;

/// Why the image's own documents cannot be used: it was built from bad ones.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The root.
    #[error("the pinned root is none")]
    Root(#[from] ravelin_dice::Error),
    /// The reference values.
    #[error("the pinned reference values are none")]
    References(#[from] reference_values::Error),
    /// The revocation list.
    #[error("the pinned revocation list is none")]
    Revocations(#[from] revocation::Error),
}

impl Error {
    /// The stable code that the guest's last report gives as its result.
    pub const CODE: &str = "bad-reference-values";
}

/// What GPUs are judged by.
pub struct Documents {
    policy: Policy,
    references: ReferenceValues,
    revocations: RevocationList,
}

impl Documents {
    /// The image's own. Where nothing is protected anyway, on platform `none`, neither need the
    /// GPU be.
    ///
    /// # Errors
    /// The image was built from bad documents.
    pub fn pinned(nothing_is_protected: bool) -> Result<Documents, Error> {
        let root = TrustAnchor::new(ROOT)?;
        let revocations = RevocationList::verify(REVOCATIONS, &root)?;
        let references = ReferenceValues::verify(REFERENCES, root)?;
        let policy = Policy { mode_off_allowed: nothing_is_protected, ..Policy::guest(SVN_FLOOR) };
        Ok(Documents { policy, references, revocations })
    }

    /// As the driver takes them.
    pub fn trust(&self) -> Trust<'_> {
        Trust {
            policy: &self.policy,
            references: &self.references,
            revocations: &self.revocations,
            // Every clock of a guest is the host's.
            time: Clock::UNKNOWN,
        }
    }
}
