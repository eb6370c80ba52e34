//! Whose key is it, and does the maker stand by it? The questions that a chain alone answers:
//! before there are measurements, and again with them.

use crate::check::{Check, Examination, Finding, Hex};
use crate::{Code, Policy, ReferenceValues, RevocationList};
use ravelin_dice::certificate::Error as ChainError;
use ravelin_dice::time::OutOfTime;
use ravelin_dice::{CertificateId, Chain, Clock, Leaf};

/// The chain leads from the pinned root to an attestation key, by signatures, profile and time.
pub(super) fn genuine<S: FnMut(&Finding<'_>)>(
    examination: &mut Examination<'_, S>,
    certificates: &[&[u8]],
    references: &ReferenceValues,
    clock: Clock,
) -> Result<Leaf, Code> {
    let root = references.root();
    let authentic = Chain::authenticate(certificates, root);
    if authentic.as_ref().err() == Some(&ChainError::UnknownRoot) {
        let compared = format_args!("the chain begins with another root than {}", root.name());
        return Err(examination.fail(Check::CertificateRoot, Code::UnknownRoot, compared));
    }
    examination.pass(Check::CertificateRoot, format_args!("the pinned root, {}", root.name()));
    let leaf = authentic.map_err(|error| {
        let (check, code) = chain_code(&error);
        examination.fail(check, code, format_args!("{error}"))
    })?;
    let count = certificates.len();
    examination.pass(Check::CertificateChain, format_args!("{count} certificates, to the root"));
    examination.pass(
        Check::CertificateProfile,
        format_args!("{}, firmware {}", leaf.device.text(), Hex(&leaf.tcb.firmware_id)),
    );
    match leaf.check_time(clock) {
        Ok(()) => examination.pass(Check::CertificateTime, format_args!("at {}", Now(clock))),
        // The time of a certificate that is genuine: all else can still be asked.
        Err(error @ ChainError::Time { source, .. }) => {
            let compared = format_args!("{error} at {}: {source}", Now(clock));
            examination.fail(Check::CertificateTime, time_code(source), compared);
        }
        Err(error) => {
            let (check, code) = chain_code(&error);
            examination.fail(check, code, format_args!("{error}"));
        }
    }
    Ok(leaf)
}

fn chain_code(error: &ChainError) -> (Check, Code) {
    match *error {
        ChainError::Malformed { .. } => (Check::CertificateChain, Code::MalformedEvidence),
        ChainError::UnknownRoot => (Check::CertificateRoot, Code::UnknownRoot),
        ChainError::BadSignature { .. } => (Check::CertificateChain, Code::BadSignature),
        ChainError::Time { source, .. } => (Check::CertificateTime, time_code(source)),
        ChainError::WrongProfile { .. } => (Check::CertificateProfile, Code::CertificateProfile),
        ChainError::TcbInfoMissing => (Check::CertificateProfile, Code::TcbInfoMissing),
    }
}

fn time_code(out: OutOfTime) -> Code {
    match out {
        OutOfTime::Expired(_) => Code::CertificateExpired,
        OutOfTime::NotYetValid(_) => Code::CertificateNotYetValid,
    }
}

/// The maker's documents are of one root and in date, and nothing that is relied on is revoked.
pub(super) fn standing<S: FnMut(&Finding<'_>)>(
    examination: &mut Examination<'_, S>,
    leaf: &Leaf,
    policy: &Policy,
    references: &ReferenceValues,
    revocation: &RevocationList,
    clock: Clock,
) {
    match clock {
        Clock::At(now) => examination.pass(Check::Clock, format_args!("{now}")),
        Clock::NoEarlierThan(_) if policy.clock_optional => examination.waive(
            Check::Clock,
            format_args!("none: {}; who has a clock must judge again", Now(clock)),
        ),
        Clock::NoEarlierThan(_) => {
            let compared = format_args!("none: {}", Now(clock));
            examination.fail(Check::Clock, Code::ClockRequired, compared);
        }
    }
    match references.validity().check(clock) {
        Ok(()) => {
            let compared = format_args!("{}, at {}", references.manifest().id, Now(clock));
            examination.pass(Check::ReferenceValuesTime, compared);
        }
        Err(out) => {
            let code = Code::ReferenceValuesExpired;
            examination.fail(Check::ReferenceValuesTime, code, format_args!("{out}"));
        }
    }
    if !revocation.is_of(references.root()) {
        let compared = format_args!("the list is not that of {}", references.root().name());
        examination.fail(Check::RevocationList, Code::RevocationUnknown, compared);
        return;
    }
    match revocation.validity().check(clock) {
        Ok(()) => {
            let next = revocation.validity().not_after;
            examination.pass(Check::RevocationList, format_args!("the next one is due at {next}"));
        }
        Err(out @ OutOfTime::Expired(_)) if policy.stale_revocation_allowed => {
            let compared = format_args!("stale, which the policy allows: {out}");
            examination.waive(Check::RevocationList, compared);
        }
        Err(out) => {
            let compared = format_args!("{out}: get the maker's current list");
            examination.fail(Check::RevocationList, Code::RevocationStale, compared);
        }
    }
    not_revoked(examination, leaf, references.signer(), revocation);
}

/// From the root down: a revoked authority says more than a revoked key under it.
fn not_revoked<S: FnMut(&Finding<'_>)>(
    examination: &mut Examination<'_, S>,
    leaf: &Leaf,
    signer: &CertificateId,
    revocation: &RevocationList,
) {
    let signers = (Check::ReferenceSignerRevocation, Code::ReferenceSignerRevoked);
    ask(examination, revocation, signers, signer);
    let lowest = [
        (Check::IdentityRevocation, Code::IdentityRevoked),
        (Check::AttestationKeyRevocation, Code::AttestationKeyRevoked),
    ];
    let intermediates = leaf.path.len().saturating_sub(lowest.len());
    for certificate in leaf.path.iter().take(intermediates) {
        let intermediate = (Check::IntermediateRevocation, Code::IntermediateRevoked);
        ask(examination, revocation, intermediate, certificate);
    }
    if intermediates == 0 {
        let compared = format_args!("the root itself issued the device's identity");
        examination.pass(Check::IntermediateRevocation, compared);
    }
    for (certificate, place) in leaf.path.iter().skip(intermediates).zip(lowest) {
        ask(examination, revocation, place, certificate);
    }
}

/// Whether the list has this certificate.
fn ask<S: FnMut(&Finding<'_>)>(
    examination: &mut Examination<'_, S>,
    revocation: &RevocationList,
    (check, code): (Check, Code),
    certificate: &CertificateId,
) {
    let revoked = revocation.contains(certificate);
    let says = if revoked { "revoked" } else { "not revoked" };
    let compared = format_args!("serial number {}: {says}", Hex(&certificate.serial));
    examination.judge(check, !revoked, code, compared);
}

/// What is known of the present, for a person.
struct Now(Clock);

impl core::fmt::Display for Now {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Clock::At(now) => write!(formatter, "{now}"),
            Clock::NoEarlierThan(known) => write!(formatter, "no earlier than {known}"),
        }
    }
}
