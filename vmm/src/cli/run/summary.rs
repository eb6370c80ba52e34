//! What a run came to, for a person.

use super::super::guest::Trial;
use super::super::launch::Outcome;
use super::super::output;
use super::report::{RunReport, WorkloadReport};
use crate::config::{Size, VmSpec};
use crate::platform::Platform;
use ravelin_report::Transfer;

/// Writes it on standard output.
pub(super) fn summarize(spec: &VmSpec, outcome: &Outcome, report: &RunReport) {
    let row = |word: &str, text: String| output::line(format_args!("{:<10}  {text}", word));
    let guest = report.guest.as_deref().unwrap_or("none");
    let boot = report.boot_us.map_or("never started".into(), |boot| {
        format!("first instruction {:.1} ms after the start", boot as f64 / 1e3)
    });
    row("guest", format!("{guest}, {boot}"));
    row(
        "platform",
        match spec.platform {
            Platform::Emulated => {
                "emulated: devices see shared pages only; no protection from this host itself"
                    .into()
            }
            Platform::Snp => "snp: launched by this host's AMD-SP".into(),
            Platform::None => "none: nothing is protected".into(),
        },
    );
    for (index, gpu) in &outcome.summary.gpus {
        let verdict = output::judged(&gpu.verdict, gpu.verdict == "trusted");
        let (identity, firmware) = (start(&gpu.identity), start(&gpu.firmware));
        row(
            &format!("gpu {index}"),
            format!(
                "{} {identity}: {verdict}, firmware {firmware}, session {}, rounds {}",
                if gpu.model.is_empty() { "unknown" } else { &gpu.model },
                gpu.session,
                gpu.rounds
            ),
        );
    }
    for (index, gpu) in &outcome.passed {
        let status = output::judged(if gpu.present { "present" } else { "vanished" }, gpu.present);
        let (bdf, by, mapped) = (&gpu.bdf, &gpu.interface, Size(gpu.dma.mapped_bytes));
        row(
            &format!("gpu {index}"),
            format!("{bdf} by {by}: {status}, {mapped} mapped for its DMA"),
        );
    }
    if let Some(attest_us) = report.attest_us {
        row("attested", format!("in {:.1} ms", attest_us as f64 / 1e3));
    }
    if let Some(path) = &report.evidence {
        let directory = path.parent().unwrap_or(path).display();
        let (with, command) = match spec.platform.signs_reports() {
            true => ("with the guest's report", "composite"),
            false => ("without a report of the guest: nobody signs one here", "apm"),
        };
        row("evidence", format!("{directory}, {with}, for `ravelin verify {command}`"));
    }
    if let (Some(_), Some(measurement)) = (&report.evidence, &report.measurement) {
        row("measured", measurement.clone());
    }
    summarize_work(outcome, report, row);
    let result = &report.result;
    row("result", output::judged(result, result == "ok"));
}

fn summarize_work(outcome: &Outcome, report: &RunReport, row: impl Fn(&str, String)) {
    let Some(work) = &report.workload else { return };
    let WorkloadReport { name, samples, accuracy, matches_reference, predictions, trials } = work;
    for (trial, Trial { count, took_us }) in trials {
        row("trial", format!("{trial}: {count} in {:.0} ms", *took_us as f64 / 1e3));
    }
    let Some(matches) = matches_reference else { return };
    let accuracy = accuracy.map_or(String::new(), |share| format!(", accuracy {share:.4}"));
    let equal = match matches {
        true => output::judged("equal to the plain computation, bit for bit", true),
        false => output::judged("NOT equal to the plain computation", false),
    };
    row(name, format!("{samples} images{accuracy}, {equal}"));
    if let Some(predictions) = predictions {
        let digits = predictions.iter().map(u32::to_string).collect::<Vec<_>>();
        row("they show", digits.join(" "));
    }
    if outcome.summary.rounds > 1 {
        let summary = &outcome.summary;
        row("rounds", format!("{}, {} sessions lost on the way", summary.rounds, summary.lost));
    }
    let Transfer { h2d_bytes, d2h_bytes, records } = report.transfer;
    row("transfer", format!("{h2d_bytes} bytes to the GPU, {d2h_bytes} back, {records} records"));
}

/// Enough of a digest to recognise it by.
fn start(digest: &str) -> String {
    digest.chars().take(16).collect()
}
