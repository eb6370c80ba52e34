//! Evidence of an NVIDIA GPU in confidential mode, and the judgement on it.
//!
//! The rooms: [`report`] is the signed SPDM exchange, [`opaque`] NVIDIA's fields in it, [`chain`]
//! the five certificates, [`manifest`] the signed reference values, [`compare`] measurement against
//! reference value, [`version`] the order of version numbers, [`evidence`] the files. This file
//! only asks them in order and writes down each answer.

pub mod chain;
pub mod compare;
pub mod evidence;
pub mod manifest;
pub mod opaque;
pub mod report;
pub mod version;

use der::DateTime;

use crate::policy::{Freshness, Policy, Presence};
use crate::result::{Checks, Device, EVIDENCE_FORMAT};
use crate::x509::crl::RevocationList;
use crate::x509::{Certificate, Printable};
use evidence::Evidence;
use manifest::{Kind, Manifest};
use report::Report;

/// What the relying party brings, besides the policy.
pub struct References {
    /// NVIDIA's device root, or another one to pin instead.
    pub device_root: Certificate,
    /// NVIDIA's root for manifests, or another one to pin instead.
    pub manifest_root: Certificate,
    /// The reference manifests at hand, of any kind, device and version.
    pub manifests: Vec<Manifest>,
    /// Revocation lists at hand.
    pub revocation_lists: Vec<RevocationList>,
    /// The nonce that the relying party sent.
    pub nonce: Option<[u8; 32]>,
    /// The time to judge at.
    pub at: DateTime,
}

/// The checks that every GPU must have had.
const EXPECTED: [&str; 10] = [
    EVIDENCE_FORMAT,
    "certificate-chain",
    "certificate-time",
    "certificate-revocation",
    "firmware-id",
    "report-signature",
    "nonce",
    "mode",
    "driver-manifest",
    "vbios-manifest",
];

/// The verdict on one GPU. `Err` in place of evidence is what made it unreadable.
pub fn judge(
    evidence: &Result<Evidence, String>,
    references: &References,
    policy: &Policy,
) -> Device {
    let mut checks = Checks::new();
    let identity = match evidence {
        Ok(evidence) => judge_readable(evidence, references, policy, &mut checks),
        Err(why) => {
            checks.fail(EVIDENCE_FORMAT, why.clone());
            None
        }
    };
    checks.conclude("nvidia", identity, &EXPECTED)
}

/// The verdicts on several GPUs.
pub fn judge_all(
    evidence: &[Result<Evidence, String>],
    references: &References,
    policy: &Policy,
) -> crate::result::Verdict {
    crate::result::Verdict::new(
        evidence.iter().map(|evidence| judge(evidence, references, policy)).collect(),
    )
}

fn judge_readable(
    evidence: &Evidence,
    references: &References,
    policy: &Policy,
    checks: &mut Checks,
) -> Option<String> {
    let report = match Report::decode(&evidence.report) {
        Ok(report) => report,
        Err(error) => {
            checks.fail(EVIDENCE_FORMAT, error.to_string());
            return None;
        }
    };
    checks.pass(
        EVIDENCE_FORMAT,
        format!("SPDM 1.1 report of {} bytes, {} blocks", evidence.report.len(), report.blocks()),
    );

    let device = chain::judge(&evidence.certificates, references, policy, checks);
    chain::judge_firmware_id(&evidence.certificates, &report, policy, checks);
    judge_signature(&evidence.certificates, &report, checks);
    judge_nonce(evidence, &report, references, policy, checks);
    judge_mode(&report, policy, checks);

    let driver_version = report.opaque.driver_version();
    let vbios_version = report.opaque.vbios_version();
    checks.claim("driver_version", driver_version.clone());
    checks.claim("vbios_version", vbios_version.clone());
    checks.claim("mode", report.opaque.mode());
    judge_floor(
        "driver-version-floor",
        &driver_version,
        &policy.nvidia.minimum_driver_version,
        10,
        checks,
    );
    judge_floor(
        "vbios-version-floor",
        &vbios_version,
        &policy.nvidia.minimum_vbios_version,
        16,
        checks,
    );

    let driver = judge_manifest(
        Kind::Driver,
        &driver_version,
        policy.driver_manifest,
        references,
        policy,
        checks,
    );
    let vbios = judge_manifest(
        Kind::Vbios,
        &vbios_version,
        policy.vbios_manifest,
        references,
        policy,
        checks,
    );
    compare::judge(&report, driver, vbios, policy, checks);
    device
}

fn judge_signature(certificates: &[Certificate], report: &Report, checks: &mut Checks) {
    const CODE: &str = "report-signature";
    let Some(signer) = certificates.first() else {
        return checks.fail(CODE, "there is no attestation certificate");
    };
    match report.verify(signer) {
        Ok(()) => checks.pass(
            CODE,
            format!("ECDSA P-384 over SHA-384, by the attestation key of {}", signer.subject()),
        ),
        Err(error) => checks.fail(CODE, error.to_string()),
    }
}

fn judge_nonce(
    evidence: &Evidence,
    report: &Report,
    references: &References,
    policy: &Policy,
    checks: &mut Checks,
) {
    const CODE: &str = "nonce";
    let signed = hex::encode(report.nonce);
    if evidence.nonce.is_some_and(|recorded| recorded != report.nonce) {
        return checks.fail(CODE, format!("the report answers {signed}, its file says another"));
    }
    match (references.nonce, evidence.nonce, policy.freshness) {
        (Some(sent), _, _) if sent == report.nonce => {
            checks.pass(CODE, format!("the report answers {signed}, as was asked"));
        }
        (Some(sent), _, _) => checks
            .fail(CODE, format!("asked with {}, the report answers {signed}", hex::encode(sent))),
        (None, Some(_), Freshness::Recorded) => checks.pass(
            CODE,
            format!("the report answers {signed}, as its file says; who chose it is not known"),
        ),
        (None, _, freshness) => checks.unmade(
            CODE,
            freshness == Freshness::Unchecked,
            "freshness not checked: no nonce was given (--nonce)",
        ),
    }
}

fn judge_mode(report: &Report, policy: &Policy, checks: &mut Checks) {
    const CODE: &str = "mode";
    match report.opaque.mode() {
        Some(mode) => checks.judge(
            CODE,
            policy.nvidia.modes.is_empty() || policy.nvidia.modes.iter().any(|m| m == mode),
            format!("the report says {mode}; accepted: {}", list(&policy.nvidia.modes)),
        ),
        None => checks.unmade(
            CODE,
            policy.nvidia.modes.is_empty(),
            format!("the report names no mode; accepted: {}", list(&policy.nvidia.modes)),
        ),
    }
}

fn list(accepted: &[String]) -> String {
    if accepted.is_empty() { "any".into() } else { accepted.join(", ") }
}

fn judge_floor(
    code: &'static str,
    version: &Option<String>,
    floor: &Option<String>,
    radix: u32,
    checks: &mut Checks,
) {
    match (version, floor) {
        (_, None) => checks.unmade(code, true, "the policy sets no floor"),
        (None, Some(_)) => checks.fail(code, "the report names no version"),
        (Some(version), Some(floor)) => checks.judge(
            code,
            version::at_least(version, floor, radix),
            format!("{} against the floor {floor}", Printable(version.clone())),
        ),
    }
}

/// Finds the manifest for a device of this version and judges it. What it says is compared even
/// when it is not trusted, so that a report shows every difference; the failure stands.
fn judge_manifest<'a>(
    kind: Kind,
    version: &Option<String>,
    presence: Presence,
    references: &'a References,
    policy: &Policy,
    checks: &mut Checks,
) -> Option<&'a Manifest> {
    let version = version.as_deref().unwrap_or_default();
    let candidates = || references.manifests.iter().filter(|m| m.kind == kind);
    let found = candidates().find(|m| m.is_for(version)).or_else(|| candidates().next());
    let codes = kind.codes();
    let Some(manifest) = found else {
        checks.unmade(
            codes.manifest,
            presence == Presence::Optional,
            format!(
                "no {kind} manifest was given (--rim) for version {}",
                Printable(version.into())
            ),
        );
        return None;
    };
    checks.pass(codes.manifest, format!("tag {}", manifest.tag));
    checks.judge(
        codes.version,
        manifest.is_for(version),
        format!("the report says {}, the manifest {}", Printable(version.into()), manifest.version),
    );
    manifest.judge(references, policy, checks);
    Some(manifest)
}
