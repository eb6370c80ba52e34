//! What `ravelin run --json` says of a run.

use super::super::exit::ExitCode;
use super::super::guest::{JudgedGpu, Reference, Trial};
use super::super::launch::{Conversions, DeviceReport, Outcome, name_exit};
use super::super::passed::PassedGpu;
use crate::config::VmSpec;
use ravelin_digits::reference;
use ravelin_report::Transfer;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The object of `--json`. Fields that a run did not come to are null.
#[derive(Serialize)]
pub(super) struct RunReport {
    pub(super) schema: &'static str,
    pub(super) platform: String,
    pub(super) guest: Option<String>,
    /// From the process's start to the guest's first instruction.
    pub(super) boot_us: Option<u64>,
    /// From the process's start to the guest's report that its user space is up.
    pub(super) guest_ready_us: Option<u64>,
    /// How the guest ended: "power-off", "reset", ...
    pub(super) guest_end: Option<String>,
    /// What a Linux guest asked of its pages; null where nothing is private.
    pub(super) conversions: Option<Conversions>,
    /// A Linux guest's virtio devices; null for the built-in guest.
    pub(super) devices: Option<Vec<DeviceReport>>,
    /// From the first request to the verdict, for the first verdict on each GPU, added up.
    pub(super) attest_us: Option<u64>,
    /// The launch digest, hex: MEASUREMENT in the guest's reports. Null where nothing is measured.
    pub(super) measurement: Option<String>,
    /// In the order in which the guest finds them: those judged, and devices of the host's.
    pub(super) gpus: Vec<ReportedGpu>,
    /// The file with what they presented, where that was to be saved.
    pub(super) evidence: Option<PathBuf>,
    pub(super) transfer: Transfer,
    /// What Linux does is its own business: null unless an agent has shown a result.
    pub(super) workload: Option<WorkloadReport>,
    pub(super) result: String,
}

/// A GPU: what the guest says of a model, or what the host knows of its own device.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum ReportedGpu {
    Judged(JudgedGpu),
    Passed(PassedGpu),
}

#[derive(Serialize)]
pub(super) struct WorkloadReport {
    pub(super) name: String,
    pub(super) samples: usize,
    /// Share of samples recognised, where labels are known.
    pub(super) accuracy: Option<f64>,
    /// Whether every round gave the plain computation's bits; null where there was none.
    pub(super) matches_reference: Option<bool>,
    /// The digits in the user's own images, in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) predictions: Option<Vec<u32>>,
    /// Trials of a passed-through device that have gone as they must.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) trials: BTreeMap<String, Trial>,
}

impl RunReport {
    /// Of a guest that has ended.
    pub(super) fn of(
        spec: &VmSpec,
        outcome: &Outcome,
        reference: Option<&Reference>,
        result: String,
    ) -> RunReport {
        let summary = &outcome.summary;
        let shown = summary.rounds > 0;
        let labels = reference.and_then(|reference| reference.labels.as_deref());
        let workload = WorkloadReport {
            samples: reference.map_or(0, |reference| reference.predictions.len()),
            accuracy: labels
                .filter(|_| shown)
                .map(|labels| reference::accuracy(&summary.predictions, labels)),
            matches_reference: shown.then_some(summary.wrong_rounds == 0),
            predictions: (spec.images.is_some() && shown).then(|| summary.predictions.clone()),
            trials: summary.trials.clone(),
            ..WorkloadReport::of_none(spec)
        };
        RunReport {
            guest: summary.guest.clone().or_else(|| outcome.linux.then(|| "linux".into())),
            guest_ready_us: outcome.ready.map(|ready| ready.as_micros() as u64),
            guest_end: Some(name_exit(outcome.exit)),
            conversions: outcome.conversions,
            devices: outcome.devices.clone(),
            boot_us: outcome.boot.map(|boot| boot.as_micros() as u64),
            attest_us: summary.attest_us,
            measurement: outcome.measurement.as_ref().map(|digest| hex(digest)),
            gpus: gpus(outcome),
            evidence: outcome.evidence.as_ref().and_then(|saved| saved.as_ref().ok()).cloned(),
            transfer: summary.transfer,
            workload: (spec.kernel.is_none() || shown).then_some(workload),
            ..RunReport::with_result(spec, result)
        }
    }

    /// Of a run that came to no guest.
    pub(super) fn refused(spec: &VmSpec, exit: ExitCode) -> RunReport {
        RunReport {
            workload: spec.kernel.is_none().then(|| WorkloadReport::of_none(spec)),
            ..RunReport::with_result(spec, exit.name().into())
        }
    }

    fn with_result(spec: &VmSpec, result: String) -> RunReport {
        RunReport {
            schema: "ravelin.run/1",
            platform: spec.platform.to_string(),
            guest: None,
            boot_us: None,
            guest_ready_us: None,
            guest_end: None,
            conversions: None,
            devices: None,
            attest_us: None,
            measurement: None,
            gpus: Vec::new(),
            evidence: None,
            transfer: Transfer::default(),
            workload: None,
            result,
        }
    }
}

impl WorkloadReport {
    /// Of a workload that has shown nothing.
    fn of_none(spec: &VmSpec) -> WorkloadReport {
        WorkloadReport {
            name: spec.workload.to_string(),
            samples: 0,
            accuracy: None,
            matches_reference: None,
            predictions: None,
            trials: BTreeMap::new(),
        }
    }
}

/// Every GPU that there is something to say of, by place.
fn gpus(outcome: &Outcome) -> Vec<ReportedGpu> {
    let judged = outcome.summary.gpus.iter();
    let judged = judged.map(|(place, gpu)| (*place, ReportedGpu::Judged(gpu.clone())));
    let passed = outcome.passed.iter();
    let passed = passed.map(|(place, gpu)| (*place, ReportedGpu::Passed(gpu.clone())));
    judged.chain(passed).collect::<BTreeMap<_, _>>().into_values().collect()
}

/// In hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
