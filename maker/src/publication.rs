//! The files that a verifier needs from the maker; for the development maker, those committed in
//! `resources/reference-values`.

use crate::{Error, Maker, reference_values};

/// A file of the publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name.
    pub name: &'static str,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// Name of the root's certificate, DER.
pub const ROOT: &str = "root.der";
/// Name of the reference values, a signed CoRIM.
pub const REFERENCE_VALUES: &str = "reference-values.corim";
/// Name of the revocation list, an X.509 CRL.
pub const REVOCATION_LIST: &str = "revocation-list.crl";

/// Everything that this maker publishes. Nothing is revoked yet.
///
/// # Errors
/// None in practice.
pub fn publication(maker: &Maker) -> Result<[File; 3], Error> {
    let references = maker.sign_reference_values(&reference_values::manifest())?;
    let revocation = maker.revoke([], 1, reference_values::VALIDITY)?;
    Ok([
        File { name: ROOT, bytes: maker.root().certificate().to_vec() },
        File { name: REFERENCE_VALUES, bytes: references },
        File { name: REVOCATION_LIST, bytes: revocation },
    ])
}
