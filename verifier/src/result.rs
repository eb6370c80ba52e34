//! The verdict: what was checked, what was compared, how it ended, for each device and the whole.
//!
//! Nothing here knows a device's kind. The one rule that lives here is that nothing is trusted by
//! omission: a device is trusted only when every check that its kind expects was made and none
//! failed, and the whole only when there is a device and each one is trusted.

use std::collections::BTreeMap;

use serde::Serialize;

/// Version of the JSON form.
pub const SCHEMA: &str = "ravelin.verify/1";

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Made, and good.
    Pass,
    /// Made and bad, or not made though the policy asks for it.
    Fail,
    /// Not made, and the policy allows that, or pointless after a failure.
    Skipped,
}

/// One line of a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Stable name of the check: a script may compare it.
    pub code: &'static str,
    /// Which one of several, where the check is made for each of many (a measurement's index in
    /// its manifest).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u8>,
    /// How it ended.
    pub result: Outcome,
    /// Stable name of what is wrong, where a failed check can fail in several ways.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// What was compared, for a person. No stable form.
    pub detail: String,
}

/// The checks of one device, as they are made.
#[derive(Debug, Default)]
pub struct Checks {
    made: Vec<Check>,
    claims: Claims,
}

/// What evidence says, by name.
pub type Claims = BTreeMap<&'static str, serde_json::Value>;

impl Checks {
    /// No check yet.
    pub fn new() -> Checks {
        Checks::default()
    }

    /// Notes a check that passed.
    pub fn pass(&mut self, code: &'static str, detail: impl Into<String>) {
        self.push(code, None, Outcome::Pass, detail.into());
    }

    /// Notes a check that failed.
    pub fn fail(&mut self, code: &'static str, detail: impl Into<String>) {
        self.push(code, None, Outcome::Fail, detail.into());
    }

    /// Notes a check that was not made: skipped if the policy `allows` that, failed if not.
    pub fn unmade(&mut self, code: &'static str, allows: bool, detail: impl Into<String>) {
        let result = if allows { Outcome::Skipped } else { Outcome::Fail };
        self.push(code, None, result, detail.into());
    }

    /// Notes a check by its condition.
    pub fn judge(&mut self, code: &'static str, good: bool, detail: impl Into<String>) {
        let result = if good { Outcome::Pass } else { Outcome::Fail };
        self.push(code, None, result, detail.into());
    }

    /// Notes one of a series of checks.
    pub fn push(&mut self, code: &'static str, index: Option<u8>, result: Outcome, detail: String) {
        self.note(Check { code, index, result, reason: None, detail });
    }

    /// Notes a check as it is.
    pub fn note(&mut self, check: Check) {
        self.made.push(check);
    }

    /// Notes what the evidence says, for rules of the relying party's own. Nothing is checked by it.
    pub fn claim(&mut self, name: &'static str, value: impl Into<serde_json::Value>) {
        self.claims.insert(name, value.into());
    }

    /// Whether a check failed.
    pub fn failed(&self) -> bool {
        self.made.iter().any(|check| check.result == Outcome::Fail)
    }

    /// The device's verdict. An `expected` check that is missing was not reached when another
    /// failed; if none failed, its absence is the failure.
    pub fn conclude(
        mut self,
        kind: &'static str,
        identity: Option<String>,
        expected: &[&'static str],
    ) -> Device {
        let failed = self.made.iter().find(|check| check.result == Outcome::Fail).map(|c| c.code);
        for code in expected {
            if self.made.iter().any(|check| check.code == *code) {
                continue;
            }
            match failed {
                Some(first) => self.unmade(code, true, format!("not reached: {first} failed")),
                None => self.fail(code, "not made"),
            }
        }
        let trusted = !self.made.is_empty() && !self.failed();
        Device {
            kind,
            identity: identity.unwrap_or_default(),
            trusted,
            claims: self.claims,
            checks: self.made,
        }
    }
}

/// What was found about one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Device {
    /// `nvidia`, `snp` or `apm`.
    pub kind: &'static str,
    /// Who it is, hex; empty where the evidence could not be read.
    pub identity: String,
    /// Whether every check passed or was allowed to be skipped.
    pub trusted: bool,
    /// What it says about itself: to be believed where the device is trusted, and only there.
    #[serde(skip_serializing_if = "Claims::is_empty")]
    pub claims: Claims,
    /// Every check, in the order of making.
    pub checks: Vec<Check>,
}

/// Check that the evidence could be read at all.
pub const EVIDENCE_FORMAT: &str = "evidence-format";
/// Check that no other evidence is from the same device.
pub const DISTINCT_DEVICE: &str = "distinct-device";
/// Why [`DISTINCT_DEVICE`] fails.
const IDENTITY_REPEATED: &str = ravelin_attestation::Code::IdentityRepeated.as_str();

impl Device {
    /// Adds a check that was made beside the device's own.
    pub fn add(&mut self, code: &'static str, result: Outcome, detail: String) {
        self.trusted &= result != Outcome::Fail;
        self.checks.push(Check { code, index: None, result, reason: None, detail });
    }

    /// Whether the evidence could be read, so that there is something to judge.
    fn readable(&self) -> bool {
        !self.checks.iter().any(|c| c.code == EVIDENCE_FORMAT && c.result == Outcome::Fail)
    }
}

/// What was found about everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Whether there is a device and every device is trusted.
    pub trusted: bool,
    /// Every device, in the order of the evidence.
    pub devices: Vec<Device>,
}

impl Verdict {
    /// The verdict over these devices. Where there are several, no two may be the same one: a
    /// device that appears twice fails at each place where it appears.
    pub fn new(mut devices: Vec<Device>) -> Verdict {
        let identities: Vec<String> = devices.iter().map(|d| d.identity.clone()).collect();
        let several = devices.len() > 1;
        for (place, device) in devices.iter_mut().enumerate().filter(|_| several) {
            let twin = identities
                .iter()
                .enumerate()
                .position(|(other, identity)| other != place && *identity == device.identity);
            let (result, detail) = match twin {
                _ if device.identity.is_empty() => {
                    (Outcome::Skipped, "not reached: the device's identity is not known".into())
                }
                Some(other) => {
                    device.trusted = false;
                    (Outcome::Fail, format!("evidence {} is from the same device", other + 1))
                }
                None => (Outcome::Pass, format!("{} devices, no other like it", identities.len())),
            };
            let reason = (result == Outcome::Fail).then_some(IDENTITY_REPEATED);
            device.checks.push(Check {
                code: DISTINCT_DEVICE,
                index: None,
                result,
                reason,
                detail,
            });
        }
        let trusted = !devices.is_empty() && devices.iter().all(|device| device.trusted);
        Verdict { schema: SCHEMA, trusted, devices }
    }

    /// The verdict with one more check of each device, in their order: whether it passed, and what
    /// was compared. It can only refuse further.
    pub fn with_check(mut self, code: &'static str, answers: Vec<(bool, String)>) -> Verdict {
        let all = answers.len() == self.devices.len();
        for (device, (good, detail)) in self.devices.iter_mut().zip(answers) {
            let result = if good { Outcome::Pass } else { Outcome::Fail };
            device.trusted &= good;
            device.checks.push(Check { code, index: None, result, reason: None, detail });
        }
        self.trusted &= all && self.devices.iter().all(|device| device.trusted);
        self
    }

    /// Whether at least one device's evidence could be read.
    pub fn judged(&self) -> bool {
        self.devices.iter().any(Device::readable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(identity: &str, good: bool) -> Device {
        let mut checks = Checks::new();
        checks.judge("a", good, "");
        checks.conclude("test", Some(identity.into()), &["a"])
    }

    #[test]
    fn nothing_is_trusted_by_omission() {
        assert!(!Verdict::new(Vec::new()).trusted);
        assert!(!Checks::new().conclude("test", None, &[]).trusted);
        let mut checks = Checks::new();
        checks.pass("a", "");
        let device = checks.conclude("test", None, &["a", "b"]);
        assert!(!device.trusted);
        assert_eq!(device.checks[1].result, Outcome::Fail);
    }

    #[test]
    fn one_bad_device_at_any_place_fails_the_whole_and_no_other() {
        for bad in 0..4 {
            let devices = (0..4).map(|n| device(&n.to_string(), n != bad)).collect();
            let verdict = Verdict::new(devices);
            assert!(!verdict.trusted);
            for (place, device) in verdict.devices.iter().enumerate() {
                assert_eq!(device.trusted, place != bad);
            }
        }
    }

    #[test]
    fn a_further_check_refuses_and_never_trusts() {
        let verdict = Verdict::new(vec![device("x", true), device("y", false)]);
        let answers = vec![(true, String::new()), (true, String::new())];
        let verdict = verdict.with_check("b", answers);
        assert!(verdict.devices[0].trusted && !verdict.devices[1].trusted && !verdict.trusted);
        let verdict = Verdict::new(vec![device("x", true), device("y", true)]);
        assert!(verdict.trusted);
        let refused =
            verdict.clone().with_check("b", vec![(true, String::new()), (false, String::new())]);
        assert!(refused.devices[0].trusted && !refused.devices[1].trusted && !refused.trusted);
        let unasked = verdict.with_check("b", vec![(true, String::new())]);
        assert!(!unasked.trusted, "a device was not asked about");
    }

    #[test]
    fn the_same_device_twice_fails_at_both_places() {
        let verdict = Verdict::new(vec![device("x", true), device("y", true), device("x", true)]);
        assert!(!verdict.trusted);
        let trusted: Vec<bool> = verdict.devices.iter().map(|device| device.trusted).collect();
        assert_eq!(trusted, [false, true, false]);
    }
}
