//! Verdicts, and the codes of refusals.
//!
//! The codes are an interface: scripts branch on them and logs are searched for them, so a code
//! never changes its text or its meaning.

use crate::codes::codes;
use alloc::string::String;
use core::fmt;
use core::ops::Range;
use ravelin_dice::Digest;

/// What a relying party concludes about one GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every check passed.
    Trusted {
        /// SHA-384 of the device identity's public key.
        identity: Digest,
        /// Model name.
        model: String,
        /// Serial number.
        serial: String,
        /// Firmware id.
        firmware: Digest,
        /// Security version number.
        svn: u32,
        /// The protected region of HBM, bytes.
        protected: Range<u64>,
        /// Whether times were held against a clock. Without, see
        /// [`Clock`](ravelin_dice::Clock): expiry is left to a verifier that has one.
        clock: bool,
    },
    /// A check failed.
    Refused {
        /// The first one that did.
        code: Code,
        /// The device, where the chain proved which one it is.
        identity: Option<Digest>,
    },
}

impl Verdict {
    /// Whether to trust.
    pub fn is_trusted(&self) -> bool {
        matches!(self, Verdict::Trusted { .. })
    }

    /// "trusted", or the refusal's code.
    pub fn code(&self) -> &'static str {
        match self {
            Verdict::Trusted { .. } => "trusted",
            Verdict::Refused { code, .. } => code.as_str(),
        }
    }

    /// The device that the verdict is about, where it is known.
    pub fn identity(&self) -> Option<&Digest> {
        match self {
            Verdict::Trusted { identity, .. } => Some(identity),
            Verdict::Refused { identity, .. } => identity.as_ref(),
        }
    }
}

codes! {
    /// Why a GPU is refused.
    enum Code;
    MalformedEvidence "malformed-evidence"
        "The evidence cannot be read, or lacks a part";
    UnknownRoot "unknown-root"
        "The certificate chain does not begin with the pinned root";
    BadSignature "bad-signature"
        "A signature in the evidence is wrong: on a certificate or on the measurements";
    CertificateProfile "certificate-profile"
        "A certificate is genuine but not of the kind that its place asks for";
    TcbInfoMissing "tcb-info-missing"
        "The attestation certificate does not say what runs on the device";
    CertificateExpired "certificate-expired"
        "A certificate's time is over";
    CertificateNotYetValid "certificate-not-yet-valid"
        "A certificate's time has not begun";
    ClockRequired "clock-required"
        "The policy asks for a clock and the verifier has none";
    ReferenceValuesExpired "reference-values-expired"
        "The time of the reference values is over, or has not begun";
    ReferenceSignerRevoked "reference-signer-revoked"
        "The maker revoked the key that signed the reference values";
    RevocationUnknown "revocation-unknown"
        "The revocation list is another root's, so nothing is known about this one's devices";
    RevocationStale "revocation-stale"
        "The next revocation list is overdue, or this one's time has not begun";
    IntermediateRevoked "intermediate-revoked"
        "The maker revoked an authority between the root and the device";
    IdentityRevoked "identity-revoked"
        "The maker revoked the device's identity";
    AttestationKeyRevoked "attestation-key-revoked"
        "The maker revoked this attestation key";
    NonceMismatch "nonce-mismatch"
        "The measurements answer another challenge: they are old, or another guest's";
    MeasurementMismatch "measurement-mismatch"
        "The measurements and the attestation certificate, or the reference values, contradict one another";
    FirmwareUnknown "firmware-unknown"
        "The maker does not vouch for this firmware";
    ModeOff "mode-off"
        "The GPU is not in confidential mode";
    DebugEnabled "debug-enabled"
        "The GPU's debug is open, or it is in devtools mode";
    NothingProtected "nothing-protected"
        "The GPU is in confidential mode but its protected region is empty";
    SvnBelowFloor "svn-below-floor"
        "The firmware's security version is below the policy's floor";
    IdentityRepeated "identity-repeated"
        "The same device is presented more than once";
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn codes_are_distinct_and_fit_for_scripts() {
        let texts: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for text in texts {
            assert!(text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{text}");
            assert_ne!(text, "trusted");
        }
    }
}
