//! Evidence of Ravelin's own GPU model, and the judgement on it.
//!
//! The judge is `ravelin-attestation`, the same code that the guest's driver runs; here it has what
//! a guest lacks, a clock. This room reads saved evidence ([`evidence`]), hands it over and writes
//! each check down as it is made. A failed one has the refusal's code, which `ravelin-attestation`
//! keeps stable, as its reason.

pub mod evidence;

use der::DateTime;
use ravelin_attestation::{
    self as attestation, Clock, Finding, Freshness, ReferenceValues, RevocationList, TrustAnchor,
    UnixTime, Verdict, examine,
};

use crate::policy::{self, Policy, Revoked};
use crate::result::{Check, Checks, Device, EVIDENCE_FORMAT, Outcome};
use evidence::Gpu;

/// Root, reference values and revocation list of the development maker, for the model as it comes.
pub mod development {
    /// Its root certificate, DER.
    pub const ROOT: &[u8] = include_bytes!("../../resources/reference-values/root.der");
    /// Its reference values, a signed CoRIM.
    pub const REFERENCE_VALUES: &[u8] =
        include_bytes!("../../resources/reference-values/reference-values.corim");
    /// Its revocation list, DER.
    pub const REVOCATION_LIST: &[u8] =
        include_bytes!("../../resources/reference-values/revocation-list.crl");
}

/// What the relying party brings, besides the policy.
pub struct References {
    /// The maker's reference values, with its root.
    pub values: ReferenceValues,
    /// The maker's revocation list.
    pub revocation: RevocationList,
    /// The nonce that the relying party had the guest use.
    pub nonce: Option<[u8; 32]>,
    /// The time to judge at.
    pub at: DateTime,
}

/// Why what the relying party brings is unusable.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a root certificate.
    #[error("the maker's root: {0}")]
    Root(String),
    /// Not reference values by that root.
    #[error("the reference values: {0}")]
    Values(String),
    /// Not a revocation list by that root.
    #[error("the revocation list: {0}")]
    Revocation(String),
}

impl References {
    /// What these documents say, once they are the root's.
    pub fn verify(
        root: &[u8],
        values: &[u8],
        list: &[u8],
        nonce: Option<[u8; 32]>,
        at: DateTime,
    ) -> Result<References, Error> {
        let anchor = || TrustAnchor::new(root).map_err(|error| Error::Root(error.to_string()));
        let revocation = RevocationList::verify(list, &anchor()?)
            .map_err(|error| Error::Revocation(error.to_string()))?;
        let values = ReferenceValues::verify(values, anchor()?)
            .map_err(|error| Error::Values(error.to_string()))?;
        Ok(References { values, revocation, nonce, at })
    }
}

/// Whose nonce it is.
const NONCE_SOURCE: &str = "nonce-source";

/// The checks that every GPU must have had: those of this room, and all that `ravelin-attestation`
/// makes.
fn expected() -> Vec<&'static str> {
    let core = attestation::Check::ALL.iter().map(|check| check.as_str());
    [EVIDENCE_FORMAT, NONCE_SOURCE].into_iter().chain(core).collect()
}

/// The verdict on one GPU. `Err` in place of evidence is what made it unreadable.
pub fn judge(gpu: &Result<Gpu, String>, references: &References, policy: &Policy) -> Device {
    let mut checks = Checks::new();
    let identity = match gpu {
        Ok(gpu) => judge_readable(gpu, references, policy, &mut checks),
        Err(why) => {
            checks.fail(EVIDENCE_FORMAT, why.clone());
            None
        }
    };
    checks.conclude("apm", identity, &expected())
}

/// The verdicts on several GPUs.
pub fn judge_all(
    gpus: &[Result<Gpu, String>],
    references: &References,
    policy: &Policy,
) -> crate::result::Verdict {
    crate::result::Verdict::new(gpus.iter().map(|gpu| judge(gpu, references, policy)).collect())
}

fn judge_readable(
    gpu: &Gpu,
    references: &References,
    policy: &Policy,
    checks: &mut Checks,
) -> Option<String> {
    checks.pass(
        EVIDENCE_FORMAT,
        format!("{} certificates and signed measurements", gpu.evidence.certificates.len()),
    );
    judge_freshness(gpu, references, policy, checks);
    let nonce = references.nonce.unwrap_or(gpu.nonce);
    let expected = match Freshness::new(&nonce, &gpu.exchange_key) {
        Ok(expected) => expected,
        Err(error) => {
            checks.fail("nonce", error.to_string());
            return None;
        }
    };
    let now = Clock::At(UnixTime(references.at.unix_duration().as_secs()));
    let verdict = examine(
        &gpu.evidence,
        &guest_policy(policy),
        &references.values,
        &references.revocation,
        now,
        &expected,
        &mut |finding| checks.note(written(finding)),
    );
    if let Verdict::Trusted { model, serial, firmware, svn, .. } = &verdict {
        checks.claim("model", model.as_str());
        checks.claim("serial", serial.as_str());
        checks.claim("firmware_id", hex::encode(firmware));
        checks.claim("svn", *svn);
    }
    verdict.identity().map(hex::encode)
}

/// The part of the policy that `ravelin-attestation` holds evidence to.
fn guest_policy(policy: &Policy) -> attestation::Policy {
    attestation::Policy {
        mode_off_allowed: policy.apm.mode_off_allowed,
        debug_allowed: policy.apm.debug_allowed,
        stale_revocation_allowed: policy.revocation == Revoked::AllowUnknown,
        ..attestation::Policy::strict(policy.apm.minimum_svn)
    }
}

/// Whose nonce it is. That the measurements answer it is a check of its own.
fn judge_freshness(gpu: &Gpu, references: &References, policy: &Policy, checks: &mut Checks) {
    let recorded = hex::encode(gpu.nonce);
    match (references.nonce, policy.freshness) {
        (Some(_), _) => checks.pass(NONCE_SOURCE, "the nonce that was given (--nonce)"),
        (None, policy::Freshness::Recorded) => checks.pass(
            NONCE_SOURCE,
            format!("{recorded}, as the evidence's file says; who chose it is not known"),
        ),
        (None, freshness) => checks.unmade(
            NONCE_SOURCE,
            freshness == policy::Freshness::Unchecked,
            "freshness not checked: no nonce was given (--nonce)",
        ),
    }
}

/// A check, written down.
fn written(finding: &Finding<'_>) -> Check {
    let (result, reason) = match finding.outcome {
        attestation::Outcome::Passed => (Outcome::Pass, None),
        attestation::Outcome::Failed(code) => (Outcome::Fail, Some(code.as_str())),
        attestation::Outcome::Waived => (Outcome::Skipped, None),
    };
    let (code, index) = (finding.check.as_str(), finding.index);
    Check { code, index, result, reason, detail: finding.compared.to_string() }
}
