//! Evidence of an AMD SEV-SNP guest, and the judgement on it.
//!
//! The rooms: [`report`] is the attestation report and its signature, [`chain`] the certificates
//! from the chip's (or the provider's) key to AMD's root, [`tcb`] the version numbers that the key
//! is bound to, [`policy`] the guest's and platform's bits against the relying party's policy. This
//! file only asks them in order.

pub mod chain;
pub mod policy;
pub mod report;
pub mod tcb;

use der::DateTime;

use crate::policy::{Freshness, Policy};
use crate::result::{Checks, Device, EVIDENCE_FORMAT};
use crate::x509::Certificate;
use crate::x509::crl::RevocationList;
use chain::Chain;
use report::Report;

/// Evidence of one guest, as read; not yet believed.
pub struct Evidence {
    /// The report, 1,184 bytes.
    pub report: Vec<u8>,
    /// Certificates in any order: the VCEK or VLEK, and what is not built in.
    pub certificates: Vec<Certificate>,
}

/// What the relying party brings, besides the policy.
pub struct References {
    /// A root to pin instead of AMD's.
    pub root: Option<Certificate>,
    /// Revocation lists at hand.
    pub revocation_lists: Vec<RevocationList>,
    /// What REPORT_DATA must be.
    pub report_data: Option<[u8; 64]>,
    /// Whether a report of the emulated AMD-SP will do.
    pub accept_emulated: bool,
    /// The time to judge at.
    pub at: DateTime,
}

/// The checks that every guest must have had.
const EXPECTED: [&str; 19] = [
    EVIDENCE_FORMAT,
    "signing-key",
    "emulated-platform",
    "certificate-chain",
    "certificate-time",
    "certificate-revocation",
    "report-signature",
    "certificate-product",
    "certificate-chip",
    "certificate-tcb",
    "tcb-order",
    "tcb-floor",
    "report-data",
    "launch-measurement",
    "vmpl",
    "guest-svn",
    "guest-policy-debug",
    "guest-policy-migration-agent",
    "guest-policy-smt",
];

/// The verdict on one guest.
pub fn judge(evidence: &Evidence, references: &References, policy: &Policy) -> Device {
    let mut checks = Checks::new();
    let identity = match Report::decode(&evidence.report) {
        Ok(report) => {
            let detail =
                format!("SNP report, version {}, {}", report.fields().version, report.product());
            checks.pass(EVIDENCE_FORMAT, detail);
            judge_readable(&report, evidence, references, policy, &mut checks)
        }
        Err(error) => {
            checks.fail(EVIDENCE_FORMAT, error.to_string());
            None
        }
    };
    checks.conclude("snp", identity, &EXPECTED)
}

fn judge_readable(
    report: &Report,
    evidence: &Evidence,
    references: &References,
    policy: &Policy,
    checks: &mut Checks,
) -> Option<String> {
    note_claims(report, checks);
    let chain = Chain::build(report, &evidence.certificates, references, checks)?;
    chain.judge(report, references, policy, checks);
    tcb::judge(report, &chain, policy, checks);
    judge_report_data(report, references, policy, checks);
    policy::judge(report, policy, checks);
    Some(hex::encode(report.fields().chip_id))
}

fn note_claims(report: &Report, checks: &mut Checks) {
    let fields = report.fields();
    checks.claim("product", report.product().to_string());
    checks.claim("measurement", hex::encode(fields.measurement));
    checks.claim("report_data", hex::encode(fields.report_data));
    checks.claim("host_data", hex::encode(fields.host_data));
    checks.claim("vmpl", fields.vmpl);
    checks.claim("guest_svn", fields.guest_svn);
}

fn judge_report_data(
    report: &Report,
    references: &References,
    policy: &Policy,
    checks: &mut Checks,
) {
    const CODE: &str = "report-data";
    let reported = report.fields().report_data;
    match references.report_data {
        Some(expected) => checks.judge(
            CODE,
            expected == reported,
            format!("report {}, expected {}", hex::encode(reported), hex::encode(expected)),
        ),
        None => checks.unmade(
            CODE,
            policy.freshness == Freshness::Unchecked,
            format!(
                "freshness not checked: no value was given (--report-data); the report has {}",
                hex::encode(reported)
            ),
        ),
    }
}
