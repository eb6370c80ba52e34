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
//! `standing` asks the first two, `measured` the others. Signatures are checked before what they
//! sign is looked at; behind a failure that says nothing about the rest (a revoked key, an old
//! firmware) the rest is still asked, so that who reads the checks learns all that is wrong.

mod measured;
mod standing;

use crate::check::{Examination, Finding};
use crate::evidence::{Evidence, Freshness};
use crate::{Code, Policy, ReferenceValues, RevocationList, Verdict};
use alloc::string::ToString;
use alloc::vec::Vec;
use measured::{consistent, fresh, good_enough, known, said};
use ravelin_dice::{Clock, Digest, Leaf};
use standing::{genuine, standing};

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
    examine(evidence, policy, references, revocation, now, expected, &mut |_| {})
}

/// As [`verify`], and hands each check to `sink` as it is made.
pub fn examine(
    evidence: &Evidence,
    policy: &Policy,
    references: &ReferenceValues,
    revocation: &RevocationList,
    now: Clock,
    expected: &Freshness,
    sink: &mut impl FnMut(&Finding<'_>),
) -> Verdict {
    let mut examination = Examination::new(sink);
    let certificates: Vec<&[u8]> = evidence.certificates.iter().map(Vec::as_slice).collect();
    let clock = informed(now, references, revocation);
    let leaf = match genuine(&mut examination, &certificates, references, clock) {
        Ok(leaf) => leaf,
        Err(code) => return Verdict::Refused { code, identity: None },
    };
    standing(&mut examination, &leaf, policy, references, revocation, clock);
    let claims = said(&mut examination, evidence, &leaf);
    if let Ok(claims) = &claims {
        fresh(&mut examination, claims, expected);
        consistent(&mut examination, claims, &leaf);
        known(&mut examination, claims, &leaf, references);
        good_enough(&mut examination, claims, policy);
    }
    match examination.conclude(claims) {
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
    let mut ignore = |_: &Finding<'_>| {};
    let mut examination = Examination::new(&mut ignore);
    let clock = informed(now, references, revocation);
    let leaf = genuine(&mut examination, certificates, references, clock)?;
    standing(&mut examination, &leaf, policy, references, revocation, clock);
    examination.conclude(Ok(leaf))
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
