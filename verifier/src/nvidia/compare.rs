//! Measurement against reference value, index by index.
//!
//! Active entries of both manifests count. An index that both claim is a conflict: no reading of
//! it is right. An index that neither speaks of is named, so that a missing manifest cannot make
//! measurements disappear.

use std::collections::BTreeSet;

use super::manifest::{Kind, Manifest};
use super::report::Report;
use crate::policy::Policy;
use crate::result::{Checks, Outcome};

/// Manifest index of the first video decoder's firmware, meaningless while that is switched off.
const NVDEC0: u8 = 35;

/// Judges every measurement that a manifest or the policy speaks of.
pub(super) fn judge(
    report: &Report,
    driver: Option<&Manifest>,
    vbios: Option<&Manifest>,
    policy: &Policy,
    checks: &mut Checks,
) {
    let present: Vec<&Manifest> = [driver, vbios].into_iter().flatten().collect();
    if let [driver, vbios] = present.as_slice() {
        let conflicts: Vec<String> = driver
            .active()
            .filter(|(index, _)| vbios.active().any(|(other, _)| other == *index))
            .map(|(index, _)| index.to_string())
            .collect();
        checks.judge(
            "manifest-conflict",
            conflicts.is_empty(),
            match conflicts.len() {
                0 => "no index is claimed by both manifests".into(),
                _ => format!("both manifests claim {}", conflicts.join(", ")),
            },
        );
    }
    let mut spoken_of = BTreeSet::new();
    for manifest in present {
        for (index, values) in manifest.active() {
            spoken_of.insert(index);
            judge_one(report, manifest.kind, index, values, checks);
        }
    }
    for (index, values) in &policy.nvidia.measurements {
        spoken_of.insert(*index);
        note(report, "allowed-measurement", *index, values.iter().map(|v| v.0.as_slice()), checks);
    }
    note_rest(report, &spoken_of, policy, checks);
}

fn judge_one(report: &Report, kind: Kind, index: u8, values: &[Vec<u8>], checks: &mut Checks) {
    let code = kind.codes().measurement;
    let matches = report.measurement(index).is_some_and(|m| values.iter().any(|v| v == m));
    if index == NVDEC0 && !matches && report.opaque.nvdec0_disabled() {
        let why = format!("index {index}: differs, but the report says that this decoder is off");
        return checks.push(code, Some(index), Outcome::Skipped, why);
    }
    note(report, code, index, values.iter().map(Vec::as_slice), checks);
}

fn note<'a>(
    report: &Report,
    code: &'static str,
    index: u8,
    mut values: impl ExactSizeIterator<Item = &'a [u8]>,
    checks: &mut Checks,
) {
    let count = values.len();
    let measured = report.measurement(index).map(<[u8; 48]>::as_slice);
    let good = measured.is_some_and(|measured| values.any(|value| value == measured));
    let detail = match measured {
        Some(measured) if good => {
            format!("index {index}: {} is a reference value", hex::encode(measured))
        }
        Some(measured) => {
            format!("index {index}: {} is none of {count} reference values", hex::encode(measured))
        }
        None => format!("index {index}: the report has no such measurement"),
    };
    let result = if good { Outcome::Pass } else { Outcome::Fail };
    checks.push(code, Some(index), result, detail);
}

/// Names the measurements that nothing was compared with.
fn note_rest(report: &Report, spoken_of: &BTreeSet<u8>, policy: &Policy, checks: &mut Checks) {
    let rest: Vec<String> = report
        .used_indices()
        .filter(|index| !spoken_of.contains(index))
        .map(|index| index.to_string())
        .collect();
    if rest.is_empty() {
        return checks.pass("unlisted-measurements", "every measurement was compared");
    }
    checks.unmade(
        "unlisted-measurements",
        policy.nvidia.unlisted_measurements,
        format!("no manifest at hand speaks of index {}", rest.join(", ")),
    );
}
