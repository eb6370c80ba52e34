//! Checks: what a verification asks, one by one, and what came of each.
//!
//! There is one verification for everyone. It makes its checks in order and hands each to a sink: a
//! guest's driver ignores them and takes the first refusal, a relying party writes them down. What
//! was compared is handed over as something that can be written, not as text, so a sink that does
//! not write costs nothing.

use crate::Code;
use crate::codes::codes;
use core::fmt;

codes! {
    /// A question that verification asks about a GPU.
    enum Check;
    CertificateRoot "certificate-root"
        "The chain begins with the pinned root";
    CertificateChain "certificate-chain"
        "Each certificate is signed by the one above it, up to the pinned root";
    CertificateProfile "certificate-profile"
        "Each certificate is what its place in the chain asks for, and the last one says what runs";
    CertificateTime "certificate-time"
        "Each certificate is valid at the time of judging";
    Clock "clock"
        "Times are held against a clock that the verifier trusts";
    ReferenceValuesTime "reference-values-time"
        "The maker's reference values are valid at the time of judging";
    RevocationList "revocation-list"
        "There is a current revocation list of the pinned root";
    ReferenceSignerRevocation "reference-signer-revocation"
        "The maker has not revoked the key that signed the reference values";
    IntermediateRevocation "intermediate-revocation"
        "The maker has not revoked an authority between the root and the device";
    IdentityRevocation "identity-revocation"
        "The maker has not revoked the device's identity";
    AttestationKeyRevocation "attestation-key-revocation"
        "The maker has not revoked the attestation key";
    ReportSignature "report-signature"
        "The attestation key signed the measurements, so nobody changed them since";
    MeasurementsFormat "measurements-format"
        "The measurements are those that the profile asks for, and no others";
    Nonce "nonce"
        "The measurements answer the nonce that was sent, in the session of the guest's own key";
    MeasuredBoot "measured-boot"
        "The measurements and the attestation certificate are of the same boot";
    Firmware "firmware"
        "The maker vouches for the firmware that the GPU measured";
    FirmwareMeasurement "firmware-measurement"
        "A component's measurement is the one that the maker published";
    FirmwareSvn "firmware-svn"
        "The security version that the GPU claims is the one that the maker gave the firmware";
    Mode "mode"
        "The GPU is in a mode that the policy accepts";
    Debug "debug"
        "The GPU's debug is closed, or the policy accepts it open";
    ProtectedRegion "protected-region"
        "The GPU's protected region is not empty";
    SvnFloor "svn"
        "The firmware's security version is not below the policy's floor";
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is as it must be.
    Passed,
    /// It is not, and this is what the GPU is refused for.
    Failed(Code),
    /// It could not be made, or would have failed, and the policy allows that.
    Waived,
}

/// A check that was made. One that does not appear was not reached: an earlier one failed that it
/// builds on.
pub struct Finding<'a> {
    /// What was asked.
    pub check: Check,
    /// Of which measurement index, where the check is made for each of several.
    pub index: Option<u8>,
    /// What came of it.
    pub outcome: Outcome,
    /// What was compared with what, for a person. No stable form.
    pub compared: fmt::Arguments<'a>,
}

/// A verification under way: where its findings go, and the first refusal.
pub(crate) struct Examination<'s, S> {
    sink: &'s mut S,
    refusal: Option<Code>,
}

impl<'s, S: FnMut(&Finding<'_>)> Examination<'s, S> {
    pub(crate) fn new(sink: &'s mut S) -> Examination<'s, S> {
        Examination { sink, refusal: None }
    }

    pub(crate) fn pass(&mut self, check: Check, compared: fmt::Arguments<'_>) {
        self.note(check, None, Outcome::Passed, compared);
    }

    /// Notes a failure. The code is for who cannot go on after it.
    pub(crate) fn fail(&mut self, check: Check, code: Code, compared: fmt::Arguments<'_>) -> Code {
        self.note(check, None, Outcome::Failed(code), compared);
        code
    }

    pub(crate) fn waive(&mut self, check: Check, compared: fmt::Arguments<'_>) {
        self.note(check, None, Outcome::Waived, compared);
    }

    /// Notes a check by its condition.
    pub(crate) fn judge(
        &mut self,
        check: Check,
        good: bool,
        code: Code,
        compared: fmt::Arguments<'_>,
    ) {
        self.judge_one(check, None, good, code, compared);
    }

    /// Notes one of a series of checks.
    pub(crate) fn judge_one(
        &mut self,
        check: Check,
        index: Option<u8>,
        good: bool,
        code: Code,
        compared: fmt::Arguments<'_>,
    ) {
        let outcome = if good { Outcome::Passed } else { Outcome::Failed(code) };
        self.note(check, index, outcome, compared);
    }

    fn note(
        &mut self,
        check: Check,
        index: Option<u8>,
        outcome: Outcome,
        compared: fmt::Arguments<'_>,
    ) {
        if let Outcome::Failed(code) = outcome {
            self.refusal.get_or_insert(code);
        }
        (self.sink)(&Finding { check, index, outcome, compared });
    }

    /// What came of it: the first refusal, if there was one, whatever could be found out since.
    pub(crate) fn conclude<T>(self, found: Result<T, Code>) -> Result<T, Code> {
        match self.refusal {
            Some(first) => Err(first),
            None => found,
        }
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}
