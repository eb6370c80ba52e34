//! What is said of work that has ended: JSON objects with stable fields, and lines for people.

use ravelin_report::Transfer;
use serde::Serialize;

use super::{Outcome, gbps, speeds};
use crate::account::{JudgedGpu, Summary};

/// Of `attest`.
#[derive(Serialize)]
pub(super) struct Attested {
    schema: &'static str,
    gpus: Vec<JudgedGpu>,
    attest_us: u64,
    result: &'static str,
}

/// Of `run digits`.
#[derive(Serialize)]
pub(super) struct Worked {
    schema: &'static str,
    gpus: Vec<JudgedGpu>,
    attest_us: u64,
    rounds: u64,
    sessions_lost: u64,
    predictions: Vec<u32>,
    outputs_sha384: String,
    matches_reference: bool,
    transfer: Transfer,
    result: &'static str,
}

/// Of `bench`.
#[derive(Serialize)]
pub(super) struct Measured {
    schema: &'static str,
    gpus: Vec<JudgedGpu>,
    attest_us: u64,
    #[serde(flatten)]
    speeds: Option<Speeds>,
    result: &'static str,
}

/// In GB/s, but the last.
#[derive(Serialize)]
struct Speeds {
    size: u64,
    chunk: u32,
    h2d_gbps: f64,
    d2h_gbps: f64,
    raw_seal_gbps: f64,
    raw_open_gbps: f64,
    memcpy_gbps: f64,
    round_trip_us: f64,
    intact: bool,
    #[serde(skip)]
    lines: Vec<String>,
}

impl Attested {
    pub(super) fn new(result: &'static str, summary: Summary) -> Self {
        Self {
            schema: "ravelin.agent.attest/1",
            gpus: summary.gpus.into_values().collect(),
            attest_us: summary.attest_us,
            result,
        }
    }
}

impl Outcome for Attested {
    fn lines(&self) -> Vec<String> {
        gpu_lines(&self.gpus).chain([line("result", self.result)]).collect()
    }
}

impl Worked {
    pub(super) fn new(result: &'static str, summary: Summary) -> Self {
        Self {
            schema: "ravelin.agent.run/1",
            gpus: summary.gpus.into_values().collect(),
            attest_us: summary.attest_us,
            rounds: summary.rounds,
            sessions_lost: summary.lost,
            predictions: summary.predictions,
            outputs_sha384: summary.outputs_sha384,
            matches_reference: summary.rounds > 0 && summary.wrong_rounds == 0,
            transfer: summary.transfer,
            result,
        }
    }
}

impl Outcome for Worked {
    fn lines(&self) -> Vec<String> {
        let equal = match self.matches_reference {
            true => "equal to the plain computation, bit for bit",
            false => "NOT equal to the plain computation",
        };
        let digits = format!("{} images, {equal}", self.predictions.len());
        let Transfer { h2d_bytes, d2h_bytes, records } = self.transfer;
        let transfer =
            format!("{h2d_bytes} bytes to the GPUs, {d2h_bytes} back, {records} records");
        let rounds = (self.rounds > 0)
            .then(|| [line("digits", &digits), line("transfer", &transfer)])
            .into_iter()
            .flatten();
        gpu_lines(&self.gpus).chain(rounds).chain([line("result", self.result)]).collect()
    }
}

impl Measured {
    pub(super) fn new(result: &'static str, summary: Summary) -> Self {
        let speeds = summary.bench.map(|bench| Speeds {
            size: bench.size,
            chunk: bench.chunk,
            h2d_gbps: gbps(bench.h2d),
            d2h_gbps: gbps(bench.d2h),
            raw_seal_gbps: gbps(bench.raw_seal),
            raw_open_gbps: gbps(bench.raw_open),
            memcpy_gbps: gbps(bench.memcpy),
            round_trip_us: bench.round_trip_us,
            intact: bench.intact,
            lines: speeds(&bench)
                .into_iter()
                .map(|(name, speed)| line(name, &format!("{speed:.3} GB/s")))
                .chain([line("command", &format!("{:.1} us there and back", bench.round_trip_us))])
                .collect(),
        });
        Self {
            schema: "ravelin.agent.bench/1",
            gpus: summary.gpus.into_values().collect(),
            attest_us: summary.attest_us,
            speeds,
            result,
        }
    }
}

impl Outcome for Measured {
    fn lines(&self) -> Vec<String> {
        let speeds = self.speeds.iter().flat_map(|speeds| speeds.lines.clone());
        gpu_lines(&self.gpus).chain(speeds).chain([line("result", self.result)]).collect()
    }
}

fn gpu_lines(gpus: &[JudgedGpu]) -> impl Iterator<Item = String> {
    gpus.iter().map(|gpu| {
        let start = |text: &str| text.chars().take(16).collect::<String>();
        let (identity, firmware) = (start(&gpu.identity), start(&gpu.firmware));
        let JudgedGpu { address, model, verdict, session, .. } = gpu;
        line(
            "gpu",
            &format!(
                "{address}: {model} {identity} {verdict}, firmware {firmware}, session {session}"
            ),
        )
    })
}

/// A line under a word.
pub(super) fn line(word: &str, text: &str) -> String {
    format!("{word:<11} {text}")
}
