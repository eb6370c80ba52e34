//! Composite evidence: a guest's report that binds the guest's key and all its GPUs, and the evidence of
//! these GPUs.
//!
//! The parts are judged by their own rooms, [`snp`](crate::snp) and [`model`](crate::model). What is
//! judged here is that they belong together: REPORT_DATA is the digest of the guest's statement
//! ([`statement`]), and the statement names exactly this evidence, in this order, for this policy and
//! this key. What the statement says alone is worth nothing; the report makes it the guest's word.
//!
//! Each part that can be confused has a check of its own, so that a relying party sees what was tried:
//! `report-data` (the statement is not the report's), `guest-nonce`, `guest-key`, `policy-digest`,
//! `device-set` (GPUs dropped or added), `evidence-bound` (another GPU's evidence, or places changed)
//! and `distinct-device`.

pub mod statement;

use ravelin_attestation::composite::evidence_digest;

use crate::model::evidence::Gpu;
use crate::policy::{Freshness, Policy, Presence};
use crate::result::{Device, Outcome, Verdict};
use crate::{model, snp};
use statement::Statement;

/// Evidence of a guest and its GPUs, as read; not yet believed.
pub struct Evidence {
    /// The guest's report, with certificates.
    pub guest: snp::Evidence,
    /// What the guest says that its report binds.
    pub statement: Statement,
    /// What its GPUs have presented. `Err` is what made one unreadable.
    pub gpus: Vec<Result<Gpu, String>>,
}

/// What the relying party brings, besides the policy.
pub struct References {
    /// For the guest. REPORT_DATA follows from the statement and is set here.
    pub guest: snp::References,
    /// For the GPUs; its nonce is the one that the relying party had the guest use.
    pub gpus: model::References,
    /// The guest key that something is to be released to.
    pub guest_key: Option<Vec<u8>>,
    /// SHA-384 of the policy's file.
    pub policy_digest: Option<[u8; 48]>,
}

/// Check that the guest answers the relying party's nonce.
const GUEST_NONCE: &str = "guest-nonce";
/// Check that the report is for the key that was expected.
const GUEST_KEY: &str = "guest-key";
/// Check that the report is for the policy by which it is judged.
const POLICY_DIGEST: &str = "policy-digest";
/// Check that there is evidence for as many GPUs as the guest has named.
const DEVICE_SET: &str = "device-set";
/// Check that a GPU's evidence is what the guest has named at its place.
const EVIDENCE_BOUND: &str = "evidence-bound";
/// Check that a GPU is the one that the policy expects at its place.
const GPU_IDENTITY: &str = "gpu-identity";

/// The verdicts: the guest's first, then one for each GPU.
pub fn judge(evidence: &Evidence, mut references: References, policy: &Policy) -> Verdict {
    references.guest.report_data = Some(evidence.statement.report_data());
    let mut guest = snp::judge(&evidence.guest, &references.guest, policy);
    judge_nonce(&mut guest, evidence, &references, policy);
    judge_key(&mut guest, evidence, &references);
    judge_policy(&mut guest, evidence, &references, policy);
    judge_set(&mut guest, evidence, policy);
    let mut devices = vec![guest];
    for (place, gpu) in evidence.gpus.iter().enumerate() {
        let mut device = model::judge(gpu, &references.gpus, policy);
        judge_bound(&mut device, place, gpu, &evidence.statement);
        judge_identity(&mut device, place, policy);
        devices.push(device);
    }
    Verdict::new(devices)
}

fn judge_nonce(guest: &mut Device, evidence: &Evidence, references: &References, policy: &Policy) {
    let said = hex::encode(evidence.statement.nonce);
    let (result, detail) = match (references.gpus.nonce, policy.freshness) {
        (Some(asked), _) if asked == evidence.statement.nonce => {
            (Outcome::Pass, format!("the guest answers {said}, as was asked (--nonce)"))
        }
        (Some(asked), _) => {
            (Outcome::Fail, format!("the guest answers {said}, asked was {}", hex::encode(asked)))
        }
        (None, Freshness::Recorded) => {
            (Outcome::Pass, format!("{said}, as the guest says; who chose it is not known"))
        }
        (None, freshness) => (
            unmade(freshness == Freshness::Unchecked),
            "freshness not checked: no nonce was given (--nonce)".into(),
        ),
    };
    guest.add(GUEST_NONCE, result, detail);
}

/// The key is not a matter of trust but of whom it is for: without an expectation it is told.
fn judge_key(guest: &mut Device, evidence: &Evidence, references: &References) {
    let said = hex::encode(evidence.statement.key);
    match &references.guest_key {
        Some(expected) => {
            let good = evidence.statement.key.as_slice() == expected.as_slice();
            let detail = format!("the report is for {said}, expected {}", hex::encode(expected));
            guest.add(GUEST_KEY, passed(good), detail);
        }
        None => {
            let detail = format!("no key was expected (--guest-key); the report is for {said}");
            guest.add(GUEST_KEY, Outcome::Skipped, detail);
        }
    }
}

fn judge_policy(guest: &mut Device, evidence: &Evidence, references: &References, policy: &Policy) {
    let (result, detail) = match (evidence.statement.policy, references.policy_digest) {
        (Some(bound), Some(used)) => (
            passed(bound == used),
            format!("the report is for {}, used is {}", hex::encode(bound), hex::encode(used)),
        ),
        (Some(bound), None) => (
            Outcome::Fail,
            format!("the report is for {}, and no policy was given (--policy)", hex::encode(bound)),
        ),
        (None, _) => (
            unmade(policy.composite.policy_binding == Presence::Optional),
            "the report is for no policy in particular (`ravelin run --policy`)".into(),
        ),
    };
    guest.add(POLICY_DIGEST, result, detail);
}

fn judge_set(guest: &mut Device, evidence: &Evidence, policy: &Policy) {
    let (named, shown) = (evidence.statement.gpus.len(), evidence.gpus.len());
    let wanted = policy.composite.gpus.as_ref().map(Vec::len);
    let good = named == shown && shown > 0 && wanted.is_none_or(|wanted| wanted == shown);
    let wanted = wanted.map_or(String::new(), |wanted| format!(", the policy asks for {wanted}"));
    let detail = format!("the guest has named {named} GPUs, there is evidence of {shown}{wanted}");
    guest.add(DEVICE_SET, passed(good), detail);
}

fn judge_bound(
    device: &mut Device,
    place: usize,
    gpu: &Result<Gpu, String>,
    statement: &Statement,
) {
    let Ok(gpu) = gpu else {
        let detail = "not reached: the evidence cannot be read".into();
        return device.add(EVIDENCE_BOUND, Outcome::Skipped, detail);
    };
    let digest = evidence_digest(&gpu.evidence, &gpu.nonce, &gpu.exchange_key);
    let named = statement.gpus.iter().position(|named| *named == digest);
    let here = statement.gpus.get(place) == Some(&digest);
    let detail = match named {
        _ if here && gpu.nonce != statement.nonce => {
            "it answers another nonce than the guest".into()
        }
        _ if here => format!("the guest has named it at place {}", place + 1),
        Some(other) => {
            format!("here at place {}, but the guest has named it at {}", place + 1, other + 1)
        }
        None => {
            "the guest has not named this evidence: it is another guest's or of another time".into()
        }
    };
    device.add(EVIDENCE_BOUND, passed(here && gpu.nonce == statement.nonce), detail);
}

fn judge_identity(device: &mut Device, place: usize, policy: &Policy) {
    let Some(accepted) = &policy.composite.gpus else { return };
    let wanted = accepted.get(place).map(|identity| hex::encode(identity.0));
    let good = !device.identity.is_empty() && wanted.as_ref() == Some(&device.identity);
    let wanted = wanted.unwrap_or_else(|| "none".into());
    device.add(GPU_IDENTITY, passed(good), format!("the policy asks for {wanted} here"));
}

fn passed(good: bool) -> Outcome {
    if good { Outcome::Pass } else { Outcome::Fail }
}

fn unmade(allowed: bool) -> Outcome {
    if allowed { Outcome::Skipped } else { Outcome::Fail }
}
