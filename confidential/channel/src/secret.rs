//! The secret that SPDM's key exchange leaves to the application, and nothing else.
//!
//! It wipes itself, cannot be copied or printed, and is compared in constant time.

use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The export master secret of an SPDM session (DSP0277, "export master secret"): 48 bytes.
#[derive(ZeroizeOnDrop)]
pub struct ExportMasterSecret([u8; 48]);

impl ExportMasterSecret {
    /// Takes over a secret. The caller's own copy is the caller's to wipe.
    pub fn new(mut bytes: [u8; 48]) -> ExportMasterSecret {
        let secret = ExportMasterSecret(bytes);
        bytes.zeroize();
        secret
    }

    pub(crate) fn bytes(&self) -> &[u8; 48] {
        &self.0
    }
}

impl ConstantTimeEq for ExportMasterSecret {
    fn ct_eq(&self, other: &ExportMasterSecret) -> Choice {
        self.0.ct_eq(&other.0)
    }
}
