//! The verification: one GPU, and several.
//!
//! In this order, and the first failure is the verdict:
//!
//! 1. *Is it genuine?* The chain leads from the pinned root to the attestation key, by signatures,
//!    profile and time ([`ravelin_dice::chain`]).
//! 2. *Is the maker's word in date, and does it still stand?* Reference values and revocation list
//!    are of the same root and of the present; neither their signer nor anything in the chain is
//!    revoked.
//! 3. *Did this GPU say it, to us, now?* The attestation key signed the measurements, and the nonce
//!    in them is ours ([`Freshness`]).
//! 4. *Does it say one thing?* The measurements are complete, and agree with the attestation
//!    certificate.
//! 5. *Does the maker know this firmware?* The reference values have it, digest by digest.
//! 6. *Is it good enough?* Mode, debug, protected region and security version, by policy.
//!
//! Signatures are checked before what they sign is looked at.

use crate::evidence::{Claims, Evidence, Freshness};
use crate::{Code, Policy, ReferenceValues, RevocationList, Verdict};
use alloc::string::ToString;
use alloc::vec::Vec;
use ravelin_dice::certificate::Error as ChainError;
use ravelin_dice::time::OutOfTime;
use ravelin_dice::{Chain, Clock, Digest, Leaf, Mode, firmware_id};

/// Judges one GPU's evidence. The root is the one that the reference values were verified against.
///
/// Without a clock ([`Clock::NoEarlierThan`]) the maker's documents help: it cannot be earlier than
/// they were signed. What expired before that is still refused.
pub fn verify(
    evidence: &Evidence,
    policy: &Policy,
    references: &ReferenceValues,
    revocation: &RevocationList,
    now: Clock,
    expected: &Freshness,
) -> Verdict {
    let certificates: Vec<&[u8]> = evidence.certificates.iter().map(Vec::as_slice).collect();
    let clock = informed(now, references, revocation);
    let leaf = match chain(&certificates, references, clock) {
        Ok(leaf) => leaf,
        Err(code) => return Verdict::Refused { code, identity: None },
    };
    let judged = standing(&leaf, policy, references, revocation, clock)
        .and_then(|()| evidence.claims(&leaf.public_key))
        .and_then(|claims| {
            fresh(&claims, expected)?;
            consistent(&claims, &leaf)?;
            known(&claims, &leaf, references)?;
            good_enough(&claims, policy)?;
            Ok(claims)
        });
    match judged {
        Ok(claims) => Verdict::Trusted {
            identity: leaf.identity,
            model: leaf.device.product.to_string(),
            serial: leaf.device.serial.to_string(),
            firmware: leaf.tcb.firmware_id,
            svn: claims.security.svn,
            protected: claims.security.protected_base..claims.security.protected_end,
            clock: matches!(now, Clock::At(_)),
        },
        Err(code) => Verdict::Refused { code, identity: Some(leaf.identity) },
    }
}

/// The first two questions alone: whose key is this? For the key exchange, which comes before there
/// are measurements; [`verify`] asks everything again. Certificates are DER, root first.
///
/// # Errors
/// The code of the refusal.
pub fn verify_chain(
    certificates: &[&[u8]],
    policy: &Policy,
    references: &ReferenceValues,
    revocation: &RevocationList,
    now: Clock,
) -> Result<Leaf, Code> {
    let clock = informed(now, references, revocation);
    let leaf = chain(certificates, references, clock)?;
    standing(&leaf, policy, references, revocation, clock)?;
    Ok(leaf)
}

/// Judges several GPUs that will work together: a verdict for each, in the order given. Where the
/// same device is presented more than once, every one of its places is refused, since nobody can
/// tell which of them is the device and which the relay.
///
/// The whole is trusted only by [`all_trusted`].
pub fn verify_all(
    devices: &[(&Evidence, &Freshness)],
    policy: &Policy,
    references: &ReferenceValues,
    revocation: &RevocationList,
    now: Clock,
) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = devices
        .iter()
        .map(|(evidence, expected)| verify(evidence, policy, references, revocation, now, expected))
        .collect();
    let identities: Vec<Option<Digest>> =
        verdicts.iter().map(|verdict| verdict.identity().copied()).collect();
    for (verdict, identity) in verdicts.iter_mut().zip(&identities) {
        let times = identities.iter().filter(|other| *other == identity).count();
        if verdict.is_trusted() && times > 1 {
            *verdict = Verdict::Refused { code: Code::IdentityRepeated, identity: *identity };
        }
    }
    verdicts
}

/// Whether the devices as a whole are trusted: there is one, and each one is.
pub fn all_trusted(verdicts: &[Verdict]) -> bool {
    !verdicts.is_empty() && verdicts.iter().all(Verdict::is_trusted)
}

/// What is known of the present, with what the maker's documents add.
fn informed(now: Clock, references: &ReferenceValues, revocation: &RevocationList) -> Clock {
    now.at_least(references.manifest().validity.not_before)
        .at_least(revocation.validity().not_before)
}

fn chain(certificates: &[&[u8]], references: &ReferenceValues, clock: Clock) -> Result<Leaf, Code> {
    Chain::verify(certificates, references.root(), clock).map_err(chain_code)
}

fn chain_code(error: ChainError) -> Code {
    match error {
        ChainError::Malformed { .. } => Code::MalformedEvidence,
        ChainError::UnknownRoot => Code::UnknownRoot,
        ChainError::BadSignature { .. } => Code::BadSignature,
        ChainError::Time { source: OutOfTime::Expired(_), .. } => Code::CertificateExpired,
        ChainError::Time { source: OutOfTime::NotYetValid(_), .. } => Code::CertificateNotYetValid,
        ChainError::WrongProfile { .. } => Code::CertificateProfile,
        ChainError::TcbInfoMissing => Code::TcbInfoMissing,
    }
}

/// The maker's documents are of one root and in date, and nothing that is relied on is revoked.
fn standing(
    leaf: &Leaf,
    policy: &Policy,
    references: &ReferenceValues,
    revocation: &RevocationList,
    clock: Clock,
) -> Result<(), Code> {
    if matches!(clock, Clock::NoEarlierThan(_)) && !policy.clock_optional {
        return Err(Code::ClockRequired);
    }
    references.validity().check(clock).map_err(|_| Code::ReferenceValuesExpired)?;
    if !revocation.is_of(references.root()) {
        return Err(Code::RevocationUnknown);
    }
    match revocation.validity().check(clock) {
        Ok(()) => {}
        Err(OutOfTime::Expired(_)) if policy.stale_revocation_allowed => {}
        Err(_) => return Err(Code::RevocationStale),
    }
    if revocation.contains(references.signer()) {
        return Err(Code::ReferenceSignerRevoked);
    }
    not_revoked(leaf, revocation)
}

fn not_revoked(leaf: &Leaf, revocation: &RevocationList) -> Result<(), Code> {
    let from_leaf = leaf.path.iter().rev();
    let codes = [Code::AttestationKeyRevoked, Code::IdentityRevoked];
    let codes = codes.into_iter().chain(core::iter::repeat(Code::IntermediateRevoked));
    // From the root down: a revoked authority says more than a revoked key under it.
    let mut places: Vec<_> = from_leaf.zip(codes).collect();
    places.reverse();
    match places.into_iter().find(|(certificate, _)| revocation.contains(certificate)) {
        Some((_, code)) => Err(code),
        None => Ok(()),
    }
}

fn fresh(claims: &Claims, expected: &Freshness) -> Result<(), Code> {
    if claims.nonce == *expected.nonce() { Ok(()) } else { Err(Code::NonceMismatch) }
}

/// The measurements and the certificate were made by the same boot: they agree on everything that
/// both speak of.
fn consistent(claims: &Claims, leaf: &Leaf) -> Result<(), Code> {
    let agree = firmware_id(&claims.components) == leaf.tcb.firmware_id
        && claims.security.svn == leaf.tcb.svn
        && claims.svn == leaf.tcb.svn
        && claims.security.flags() == leaf.tcb.flags;
    if agree { Ok(()) } else { Err(Code::MeasurementMismatch) }
}

fn known(claims: &Claims, leaf: &Leaf, references: &ReferenceValues) -> Result<(), Code> {
    let device = &leaf.device;
    let release = references
        .release(&device.manufacturer, &device.product, &leaf.tcb.firmware_id)
        .ok_or(Code::FirmwareUnknown)?;
    // What a device claims for its security version counts only if the maker gave it that one.
    if release.components == claims.components && release.svn == claims.security.svn {
        Ok(())
    } else {
        Err(Code::MeasurementMismatch)
    }
}

fn good_enough(claims: &Claims, policy: &Policy) -> Result<(), Code> {
    let security = &claims.security;
    if security.mode == Mode::Off && !policy.mode_off_allowed {
        return Err(Code::ModeOff);
    }
    if security.flags().debug && !policy.debug_allowed {
        return Err(Code::DebugEnabled);
    }
    if security.mode != Mode::Off && security.protected_base >= security.protected_end {
        return Err(Code::NothingProtected);
    }
    if security.svn < policy.svn_floor {
        return Err(Code::SvnBelowFloor);
    }
    Ok(())
}
