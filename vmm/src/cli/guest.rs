//! What a guest has reported: the words of a stranger, taken in one by one.
//!
//! A report decides what `ravelin` prints and with which code it ends, nothing else. What makes no
//! sense is counted and left out; nothing grows with the number of lines.

use super::evidence::EvidenceFile;
use super::foreign::printable;
use super::output::Progress;
use crate::runtime::EventLog;
use ravelin_devices::serial::Line;
use ravelin_report::{Bench, Event, Round, Transfer};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// Longest text of a guest's that is shown or kept.
const LONGEST: usize = 200;
/// Most kinds of trial that are kept.
const MOST_TRIALS: usize = 32;
/// Least time between two lines of progress about rounds that went well.
const ROUND_PAUSE: Duration = Duration::from_secs(1);

/// What the plain computation on the host gives, computed once somebody asks: a guest that shows no
/// result does not wait for it.
#[derive(Clone)]
pub(super) struct Reference(Arc<LazyLock<Expected, Box<dyn FnOnce() -> Expected + Send>>>);

/// A workload's right result.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expected {
    /// The digit of each image.
    pub(super) predictions: Vec<u32>,
    /// SHA-384 of the outputs, hex.
    pub(super) outputs_sha384: String,
    /// What the images show, where that is known.
    pub(super) labels: Option<Vec<u32>>,
}

impl Reference {
    /// The result that this computes.
    pub(super) fn of(compute: impl FnOnce() -> Expected + Send + 'static) -> Self {
        Self(Arc::new(LazyLock::new(Box::new(compute))))
    }
}

impl Deref for Reference {
    type Target = Expected;

    fn deref(&self) -> &Expected {
        &self.0
    }
}

/// A GPU as the guest has judged it last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct JudgedGpu {
    pub(super) model: String,
    pub(super) identity: String,
    pub(super) verdict: String,
    pub(super) firmware: String,
    pub(super) session: u32,
    /// Rounds of the workload that it did.
    pub(super) rounds: u64,
}

/// A trial of a passed-through device, as the guest has reported it last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Trial {
    /// How often it was made.
    pub(super) count: u64,
    /// For all of it.
    pub(super) took_us: u64,
}

/// How a guest says that it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finish {
    pub(super) result: String,
    pub(super) message: String,
}

/// Everything worth keeping of a guest's reports.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Summary {
    pub(super) guest: Option<String>,
    /// When it said that it is up, the first time.
    pub(super) ready: Option<Instant>,
    /// By place; only of GPUs that the VM has.
    pub(super) gpus: BTreeMap<u32, JudgedGpu>,
    /// From the first request to the verdict, for the first verdict on each GPU, added up.
    pub(super) attest_us: Option<u64>,
    /// Sessions that ended without the driver wanting it.
    pub(super) lost: u64,
    /// Rounds on all GPUs.
    pub(super) rounds: u64,
    /// Rounds whose result is not the reference's.
    pub(super) wrong_rounds: u64,
    pub(super) transfer: Transfer,
    /// Of the latest round.
    pub(super) predictions: Vec<u32>,
    pub(super) bench: Option<Bench>,
    /// By name.
    pub(super) trials: BTreeMap<String, Trial>,
    pub(super) finish: Option<Finish>,
    /// Lines that are no event, or an event that cannot be.
    pub(super) nonsense: u64,
}

/// Takes a guest's lines.
pub(super) struct Listener {
    summary: Summary,
    gpus: u32,
    reference: Option<Reference>,
    progress: Progress,
    log: Option<Arc<EventLog>>,
    evidence: Option<EvidenceFile>,
    shown: Option<Instant>,
}

/// What of a round goes into the event log: not what it computed.
#[derive(Serialize)]
#[serde(tag = "event", rename = "round")]
struct LoggedRound {
    gpu: u32,
    number: u64,
    matches_reference: bool,
    #[serde(flatten)]
    transfer: Transfer,
}

impl Listener {
    /// A listener to a guest with so many GPUs.
    pub(super) fn new(
        gpus: usize,
        reference: Option<Reference>,
        progress: Progress,
        log: Option<Arc<EventLog>>,
    ) -> Self {
        let gpus = gpus.try_into().unwrap_or(u32::MAX);
        let (summary, evidence, shown) = (Summary::default(), None, None);
        Self { summary, gpus, reference, progress, log, evidence, shown }
    }

    /// A listener that saves what GPUs have presented, where there is a file for it.
    pub(super) fn with_evidence(self, evidence: Option<EvidenceFile>) -> Self {
        Self { evidence, ..self }
    }

    /// Takes a line.
    pub(super) fn line(&mut self, line: Line<'_>) {
        let event = match line {
            Line::Whole(bytes) => serde_json::from_slice(bytes).ok(),
            Line::TooLong => None,
        };
        if event.is_none_or(|event| self.event(event).is_none()) {
            self.summary.nonsense = self.summary.nonsense.saturating_add(1);
            if self.summary.nonsense.is_power_of_two() {
                self.progress.warn("the guest reports something that makes no sense");
            }
        }
    }

    /// What was reported so far.
    pub(super) fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The file of evidence, for good.
    pub(super) fn take_evidence(&mut self) -> Option<EvidenceFile> {
        self.evidence.take()
    }

    /// Takes an event; `None` where it cannot be.
    fn event(&mut self, event: Event) -> Option<()> {
        match event {
            Event::Ready { guest } => {
                let guest = printable(&guest, LONGEST);
                self.progress.say("guest", format_args!("{guest} is up"));
                self.note(&serde_json::json!({ "event": "guest_ready", "guest": guest }));
                self.summary.guest = Some(guest);
                self.summary.ready.get_or_insert_with(Instant::now);
            }
            Event::Gpu { index, model, identity, verdict, firmware, session, attest_us } => {
                let gpu = JudgedGpu {
                    model: printable(&model, LONGEST),
                    identity: printable(&identity, LONGEST),
                    verdict: printable(&verdict, LONGEST),
                    firmware: printable(&firmware, LONGEST),
                    session,
                    rounds: self.summary.gpus.get(&index).map_or(0, |before| before.rounds),
                };
                self.judged(index, gpu, attest_us)?;
            }
            Event::Evidence { index, evidence } => {
                let file = self.evidence.as_mut()?;
                if file.take(index, evidence)? {
                    self.progress.say("evidence", format_args!("{}", file.path().display()));
                }
            }
            Event::Report(report) => {
                self.evidence.as_mut()?.take_report(&report)?;
                self.progress.say("report", format_args!("the guest's own, for all GPUs"));
            }
            Event::GpuLost { index, reason } => {
                (index < self.gpus).then_some(())?;
                let reason = printable(&reason, LONGEST);
                self.progress.warn(&format!("gpu {index}: session lost ({reason})"));
                self.note(&serde_json::json!({ "event": "gpu_lost", "gpu": index }));
                self.summary.lost = self.summary.lost.saturating_add(1);
            }
            Event::Round(round) => self.round(round)?,
            Event::Bench(bench) => {
                let speeds = [bench.h2d, bench.d2h, bench.raw_seal, bench.raw_open, bench.memcpy];
                let sound = |speed: &f64| speed.is_finite() && *speed > 0.0;
                (speeds.iter().all(sound) && bench.round_trip_us.is_finite()).then_some(())?;
                self.summary.bench = Some(bench);
            }
            Event::Trial { name, count, took_us } => {
                let name = printable(&name, LONGEST);
                let time = took_us as f64 / 1e3;
                self.progress.say("trial", format_args!("{name}: {count} in {time:.0} ms"));
                self.note(&serde_json::json!({
                    "event": "guest_trial", "trial": name, "count": count, "took_us": took_us,
                }));
                let trials = &mut self.summary.trials;
                (trials.len() < MOST_TRIALS || trials.contains_key(&name)).then_some(())?;
                trials.insert(name, Trial { count, took_us });
            }
            Event::Finished { result, message } => {
                let code = |letter: u8| letter.is_ascii_alphanumeric() || b"-_".contains(&letter);
                let sound = (1..=64).contains(&result.len()) && result.bytes().all(code);
                sound.then_some(())?;
                self.note(&serde_json::json!({ "event": "guest_finished", "result": result }));
                let message = printable(&message, LONGEST);
                self.summary.finish = Some(Finish { result, message });
            }
        }
        Some(())
    }

    fn judged(&mut self, index: u32, gpu: JudgedGpu, attest_us: u64) -> Option<()> {
        (index < self.gpus).then_some(())?;
        let time = attest_us as f64 / 1e3;
        let (model, verdict, session) = (&gpu.model, &gpu.verdict, gpu.session);
        self.progress.say(
            "attest",
            format_args!("gpu {index}: {model} {verdict} in {time:.1} ms, session {session}"),
        );
        self.note(&serde_json::json!({
            "event": "gpu_judged", "gpu": index, "verdict": verdict, "session": session,
        }));
        if self.summary.gpus.insert(index, gpu).is_none() {
            let sum = self.summary.attest_us.unwrap_or(0).saturating_add(attest_us);
            self.summary.attest_us = Some(sum);
        }
        Some(())
    }

    fn round(&mut self, round: Round) -> Option<()> {
        let Round { gpu, number, predictions, outputs_sha384, transfer } = round;
        let reference = self.reference.as_ref()?;
        // Work on a GPU that was never judged is no work of ours.
        let judged = self.summary.gpus.get_mut(&gpu)?;
        judged.rounds = judged.rounds.saturating_add(1);
        let first = judged.rounds == 1;
        let right = predictions == reference.predictions
            && outputs_sha384.eq_ignore_ascii_case(&reference.outputs_sha384);
        let samples = reference.predictions.len();
        self.summary.rounds = self.summary.rounds.saturating_add(1);
        let sum = &mut self.summary.transfer;
        sum.h2d_bytes = sum.h2d_bytes.saturating_add(transfer.h2d_bytes);
        sum.d2h_bytes = sum.d2h_bytes.saturating_add(transfer.d2h_bytes);
        sum.records = sum.records.saturating_add(transfer.records);
        // A line bounds how many there are; more than there are samples are nonsense.
        self.summary.predictions = predictions;
        self.summary.predictions.truncate(samples);
        if !right {
            self.summary.wrong_rounds = self.summary.wrong_rounds.saturating_add(1);
            if self.summary.wrong_rounds.is_power_of_two() {
                self.progress.warn(&format!(
                    "gpu {gpu}, round {number}: not the plain computation's result"
                ));
            }
        } else if first || self.shown.is_none_or(|shown| shown.elapsed() >= ROUND_PAUSE) {
            self.shown = Some(Instant::now());
            self.progress.say(
                "round",
                format_args!(
                    "{number} on gpu {gpu}: {samples} images, equal to the plain computation"
                ),
            );
        }
        self.note(&LoggedRound { gpu, number, matches_reference: right, transfer });
        Some(())
    }

    fn note(&self, event: &impl Serialize) {
        if let Some(log) = &self.log {
            log.append(event);
        }
    }
}

#[cfg(test)]
mod tests;
