//! One device's checks as an appraisal: a trustworthiness vector (draft-ietf-rats-ar4si), a tier, and
//! the checks that are behind them.
//!
//! The rule is that nothing is affirmed by omission: a claim is affirming only where a check speaks
//! for it and each one that does has passed. A device that is not trusted is contraindicated,
//! whatever its claims; one that is trusted though the policy let checks be left unmade is a warning.

use coset::cbor::value::Value;

use super::{Terms, key, map};
use crate::result::{Check, Device, Outcome};

/// Tiers of trust (draft-ietf-rats-ar4si), the better ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i8)]
pub(super) enum Tier {
    /// To be trusted.
    Affirming = 2,
    /// To be trusted by whoever accepts what is amiss.
    Warning = 32,
    /// Not to be trusted.
    Contraindicated = 96,
}

/// Values of the claims, of the same draft.
mod claim {
    pub(super) const NO_CLAIM: i8 = 0;
    pub(super) const TRUSTWORTHY_INSTANCE: i8 = 2;
    pub(super) const UNTRUSTWORTHY_INSTANCE: i8 = 96;
    pub(super) const APPROVED_CONFIG: i8 = 2;
    pub(super) const UNSAFE_CONFIG: i8 = 32;
    pub(super) const UNSUPPORTABLE_CONFIG: i8 = 96;
    pub(super) const APPROVED_BOOT: i8 = 3;
    pub(super) const UNSAFE_RUNTIME: i8 = 32;
    pub(super) const CONTRAINDICATED_RUNTIME: i8 = 96;
    pub(super) const GENUINE_HARDWARE: i8 = 2;
    pub(super) const UNSAFE_HARDWARE: i8 = 32;
    pub(super) const CONTRAINDICATED_HARDWARE: i8 = 96;
}

/// What a check speaks for, of AR4SI's claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aspect {
    /// `instance-identity`: who said it, to whom, and when.
    Identity,
    /// `hardware`: which part it is, and how good its own firmware is.
    Hardware,
    /// `executables`: what was started on it.
    Executables,
    /// `configuration`: how it was set.
    Configuration,
}

/// The claims' values when all is well, when the policy waived something, and when not.
struct Values {
    good: i8,
    waived: i8,
    bad: i8,
}

impl Aspect {
    const ALL: [Aspect; 4] =
        [Aspect::Identity, Aspect::Configuration, Aspect::Executables, Aspect::Hardware];

    /// The aspect of a check. What is not named here is about who speaks: so is whatever binds one
    /// piece of evidence to another.
    fn of(code: &str) -> Aspect {
        const HARDWARE: [&str; 6] = [
            "product",
            "certificate-product",
            "certificate-tcb",
            "tcb-order",
            "tcb-floor",
            "firmware-floor",
        ];
        const EXECUTABLES: [&str; 21] = [
            "allowed-measurement",
            "author-key",
            "family-id",
            "firmware",
            "firmware-id",
            "firmware-measurement",
            "firmware-svn",
            "guest-svn",
            "id-key",
            "image-id",
            "launch-measurement",
            "manifest-conflict",
            "measured-boot",
            "measurements-format",
            "mitigations",
            "reference-signer-revocation",
            "reference-values-time",
            "svn",
            "unlisted-measurements",
            "driver-version-floor",
            "vbios-version-floor",
        ];
        const CONFIGURATION: [&str; 5] = ["mode", "debug", "protected-region", "vmpl", "host-data"];
        let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| code.starts_with(prefix));
        if HARDWARE.contains(&code) {
            Aspect::Hardware
        } else if EXECUTABLES.contains(&code)
            || begins(&[
                "driver-manifest",
                "driver-measurement",
                "vbios-manifest",
                "vbios-measurement",
            ])
        {
            Aspect::Executables
        } else if CONFIGURATION.contains(&code) || begins(&["guest-policy-", "platform-"]) {
            Aspect::Configuration
        } else {
            Aspect::Identity
        }
    }

    /// The claim's key in the vector.
    fn key(self) -> i64 {
        match self {
            Aspect::Identity => 0,
            Aspect::Configuration => 1,
            Aspect::Executables => 2,
            Aspect::Hardware => 4,
        }
    }

    fn values(self) -> Values {
        match self {
            Aspect::Identity => Values {
                good: claim::TRUSTWORTHY_INSTANCE,
                // There is no half identity: none is claimed.
                waived: claim::NO_CLAIM,
                bad: claim::UNTRUSTWORTHY_INSTANCE,
            },
            Aspect::Hardware => Values {
                good: claim::GENUINE_HARDWARE,
                waived: claim::UNSAFE_HARDWARE,
                bad: claim::CONTRAINDICATED_HARDWARE,
            },
            Aspect::Executables => Values {
                good: claim::APPROVED_BOOT,
                waived: claim::UNSAFE_RUNTIME,
                bad: claim::CONTRAINDICATED_RUNTIME,
            },
            Aspect::Configuration => Values {
                good: claim::APPROVED_CONFIG,
                waived: claim::UNSAFE_CONFIG,
                bad: claim::UNSUPPORTABLE_CONFIG,
            },
        }
    }

    /// What these checks make of the claim. Behind a failure elsewhere a check was skipped because it
    /// was not reached, so that nothing can be claimed.
    fn value(self, checks: &[Check], trusted: bool) -> i8 {
        let own = || checks.iter().filter(|check| Aspect::of(check.code) == self);
        let values = self.values();
        if own().any(|check| check.result == Outcome::Fail) {
            values.bad
        } else if own().any(|check| check.result == Outcome::Skipped) {
            if trusted { values.waived } else { claim::NO_CLAIM }
        } else if own().next().is_some() {
            values.good
        } else {
            claim::NO_CLAIM
        }
    }
}

/// What a result says about one device.
pub(super) struct Appraisal {
    pub(super) tier: Tier,
    /// Each aspect that a claim is made about, with the claim's value.
    vector: Vec<(Aspect, i8)>,
    policies: Vec<String>,
    /// What this verifier adds.
    claims: Vec<(&'static str, Value)>,
}

/// The appraisal of a device.
pub(super) fn appraisal(device: &Device, terms: &Terms) -> Appraisal {
    let vector = Aspect::ALL.map(|aspect| (aspect, aspect.value(&device.checks, device.trusted)));
    let skipped = device.checks.iter().any(|check| check.result == Outcome::Skipped);
    let list = |outcome| {
        let checks = device.checks.iter().filter(|check| check.result == outcome);
        Value::Array(checks.map(|check| Value::from(named(check))).collect())
    };
    Appraisal {
        tier: match device.trusted {
            true if skipped => Tier::Warning,
            true => Tier::Affirming,
            false => Tier::Contraindicated,
        },
        vector: vector.into_iter().filter(|(_, value)| *value != claim::NO_CLAIM).collect(),
        policies: terms.policy.iter().map(|d| format!("sha-384:{}", hex::encode(d))).collect(),
        claims: vec![
            ("ravelin.schema", crate::result::SCHEMA.into()),
            ("ravelin.kind", device.kind.into()),
            ("ravelin.identity", device.identity.as_str().into()),
            ("ravelin.judged-at", terms.judged.into()),
            ("ravelin.passed", list(Outcome::Pass)),
            ("ravelin.failed", list(Outcome::Fail)),
            ("ravelin.skipped", list(Outcome::Skipped)),
        ],
    }
}

impl Appraisal {
    /// The claims set of a submodule. What is empty is left out, as the draft's grammar has it.
    pub(super) fn encode(self) -> Value {
        let mut entries = vec![(key::STATUS, Value::from(self.tier as i8))];
        if !self.vector.is_empty() {
            let vector = self.vector.iter().map(|(aspect, value)| (aspect.key(), (*value).into()));
            entries.push((key::TRUSTWORTHINESS_VECTOR, map(vector.collect())));
        }
        if !self.policies.is_empty() {
            let policies = self.policies.into_iter().map(Value::from).collect();
            entries.push((key::APPRAISAL_POLICY_IDS, Value::Array(policies)));
        }
        let claims = self.claims.into_iter().map(|(name, value)| (name.into(), value)).collect();
        entries.push((key::VERIFIER_CLAIMS, Value::Map(claims)));
        map(entries)
    }

    #[cfg(test)]
    fn claim(&self, aspect: Aspect) -> i8 {
        let found = self.vector.iter().find(|(other, _)| *other == aspect);
        found.map_or(claim::NO_CLAIM, |(_, value)| *value)
    }
}

/// `code`, `code[index]`, `code: reason`.
fn named(check: &Check) -> String {
    let index = check.index.map(|index| format!("[{index}]")).unwrap_or_default();
    let reason = check.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{}{index}{reason}", check.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(results: &[(&'static str, Outcome)], trusted: bool) -> Appraisal {
        let checks = results
            .iter()
            .map(|(code, result)| Check {
                code,
                index: None,
                result: *result,
                reason: None,
                detail: String::new(),
            })
            .collect();
        let device = Device {
            kind: "apm",
            identity: "ab".into(),
            trusted,
            claims: Default::default(),
            checks,
        };
        let terms = Terms { issued: 1, judged: 1, nonce: None, policy: None };
        appraisal(&device, &terms)
    }

    #[test]
    fn nothing_is_affirmed_that_no_check_speaks_for() {
        let appraisal = device(&[("nonce", Outcome::Pass), ("mode", Outcome::Pass)], true);
        assert_eq!(appraisal.tier, Tier::Affirming);
        assert_eq!(appraisal.claim(Aspect::Identity), claim::TRUSTWORTHY_INSTANCE);
        assert_eq!(appraisal.claim(Aspect::Configuration), claim::APPROVED_CONFIG);
        assert_eq!(appraisal.claim(Aspect::Executables), claim::NO_CLAIM);
        assert_eq!(appraisal.claim(Aspect::Hardware), claim::NO_CLAIM);
    }

    #[test]
    fn a_failure_is_its_own_aspects_and_the_whole_devices() {
        let results =
            [("nonce", Outcome::Pass), ("debug", Outcome::Fail), ("svn", Outcome::Skipped)];
        let appraisal = device(&results, false);
        assert_eq!(appraisal.tier, Tier::Contraindicated);
        assert_eq!(appraisal.claim(Aspect::Identity), claim::TRUSTWORTHY_INSTANCE);
        assert_eq!(appraisal.claim(Aspect::Configuration), claim::UNSUPPORTABLE_CONFIG);
        assert_eq!(appraisal.claim(Aspect::Executables), claim::NO_CLAIM, "not reached");
    }

    #[test]
    fn what_the_policy_waived_is_a_warning() {
        let results = [("driver-manifest", Outcome::Skipped), ("nonce", Outcome::Pass)];
        let appraisal = device(&results, true);
        assert_eq!(appraisal.tier, Tier::Warning);
        assert_eq!(appraisal.claim(Aspect::Executables), claim::UNSAFE_RUNTIME);
        let appraisal = device(&[("certificate-revocation", Outcome::Skipped)], true);
        assert_eq!(appraisal.tier, Tier::Warning);
        assert_eq!(appraisal.claim(Aspect::Identity), claim::NO_CLAIM);
    }
}
