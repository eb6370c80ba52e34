//! The checks of a verification, as a sink sees them: none is left out, and the verdict is their
//! first failure.

mod support;

use ravelin_attestation::{Check, Clock, Code, Outcome, Policy, UnixTime, examine};
use ravelin_dice::Mode;
use ravelin_dice::time::Validity;
use ravelin_maker::{FirmwareSet, reference_values};
use support::{Boot, NOW, Setup, maker, revocation};

/// The checks that were made, each once for a series, and the verdict's code.
fn checks(setup: &Setup) -> (Vec<(Check, Outcome)>, &'static str) {
    let mut made: Vec<(Check, Outcome)> = Vec::new();
    let verdict = examine(
        &setup.evidence,
        &setup.policy,
        &setup.references,
        &setup.revocation,
        setup.now,
        &setup.expected,
        &mut |finding| {
            assert!(!finding.compared.to_string().is_empty());
            if made.last() != Some(&(finding.check, finding.outcome)) {
                made.push((finding.check, finding.outcome));
            }
        },
    );
    (made, verdict.code())
}

fn failures(setup: &Setup) -> Vec<(Check, Code)> {
    let (made, verdict) = checks(setup);
    let failures: Vec<_> = made
        .into_iter()
        .filter_map(|(check, outcome)| match outcome {
            Outcome::Failed(code) => Some((check, code)),
            _ => None,
        })
        .collect();
    assert_eq!(failures.first().map_or("trusted", |(_, code)| code.as_str()), verdict);
    failures
}

#[test]
fn trust_is_every_check_passed_in_the_order_that_is_documented() {
    let (made, verdict) = checks(&Setup::hand_made().0);
    let all: Vec<_> = Check::ALL.iter().map(|check| (*check, Outcome::Passed)).collect();
    assert_eq!(made, all);
    assert_eq!(verdict, "trusted");
}

#[test]
fn the_checks_behind_a_failure_are_made_where_it_says_nothing_about_them() {
    // Old firmware in devtools mode, on a device that is revoked, in answer to another challenge.
    let mut boot = Boot::of(FirmwareSet::previous());
    boot.configuration.mode = Mode::Devtools;
    let mut setup = Setup::of(&boot);
    let [identity, _] = Setup::good().path().try_into().expect("two certificates");
    setup.revocation = revocation(maker(), [identity], reference_values::VALIDITY);
    setup.expected = support::freshness(9, 2);
    assert_eq!(
        failures(&setup),
        [
            (Check::IdentityRevocation, Code::IdentityRevoked),
            (Check::Nonce, Code::NonceMismatch),
            (Check::Debug, Code::DebugEnabled),
            (Check::SvnFloor, Code::SvnBelowFloor),
        ]
    );
}

#[test]
fn nothing_that_a_wrong_signature_covers_is_judged() {
    let mut setup = Setup::good();
    *setup.evidence.measurements.response.last_mut().expect("a byte") ^= 1;
    let (made, _) = checks(&setup);
    let last = (Check::ReportSignature, Outcome::Failed(Code::BadSignature));
    assert_eq!(made.last(), Some(&last));

    let mut setup = Setup::good();
    *setup.leaf_mut().last_mut().expect("a byte") ^= 1;
    let (made, _) = checks(&setup);
    let chain = (Check::CertificateChain, Outcome::Failed(Code::BadSignature));
    assert_eq!(made, [(Check::CertificateRoot, Outcome::Passed), chain]);
}

#[test]
fn what_the_policy_allows_to_be_unmade_is_waived_and_not_passed() {
    let overdue = Validity { not_after: UnixTime(NOW.0 - 1), ..reference_values::VALIDITY };
    let mut setup = Setup { revocation: revocation(maker(), [], overdue), ..Setup::good() };
    setup.policy.stale_revocation_allowed = true;
    assert!(checks(&setup).0.contains(&(Check::RevocationList, Outcome::Waived)));

    let mut setup = Setup { now: Clock::UNKNOWN, ..Setup::good() };
    setup.policy = Policy::guest(2);
    let (made, verdict) = checks(&setup);
    assert!(made.contains(&(Check::Clock, Outcome::Waived)));
    assert_eq!(verdict, "trusted");
}
