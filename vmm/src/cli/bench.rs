//! `ravelin bench transfer`: how fast bytes cross between guest and GPU, beside how fast they could.
//!
//! The guest measures; here the numbers are put in relation. Speeds are in GB/s, 1e9 bytes a second.

pub(super) mod conversions;

use super::exit::ExitCode;
use super::launch::{Launch, read_image};
use super::output;
use super::{BenchArgs, Error};
use crate::config::{self, Size, VmSpec};
use crate::vm::{Builtin, Guest};
use ravelin_gpu_abi::ring::MAX_SLOT_SIZE;
use ravelin_report::Bench;
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;

/// Most bytes moved in one measurement.
const MOST: Size = Size::gib(4);
/// Guest memory besides the buffers.
const BASE_MEMORY: Size = Size::mib(192);
const PAGE: Size = Size::kib(4);

/// The object of `--json`. Numbers that were not measured are null.
#[derive(Default, Serialize)]
struct BenchReport {
    schema: &'static str,
    platform: String,
    /// Bytes moved each way in one measurement.
    size: u64,
    /// Bytes of a record.
    chunk: u64,
    h2d_gbps: Option<f64>,
    d2h_gbps: Option<f64>,
    raw_seal_gbps: Option<f64>,
    raw_open_gbps: Option<f64>,
    memcpy_gbps: Option<f64>,
    /// h2d to the raw cipher's sealing.
    ratio_h2d: Option<f64>,
    /// d2h to the raw cipher's opening.
    ratio_d2h: Option<f64>,
    /// Microseconds of one empty command, there and back.
    round_trip_us: Option<f64>,
    result: String,
}

/// Runs the command.
pub(super) fn transfer(arguments: &BenchArgs, started: Instant) -> ExitCode {
    let mut report = BenchReport {
        schema: "ravelin.bench.transfer/1",
        platform: arguments.platform.clone(),
        ..BenchReport::default()
    };
    let exit = match measure(arguments, started, &mut report) {
        Ok(exit) => exit,
        Err(error) => {
            output::failure(&error);
            report.result = error.exit_code().name().into();
            error.exit_code()
        }
    };
    match arguments.json {
        true => output::json(&report),
        false if exit == ExitCode::Ok => summarize(&report),
        false => {}
    }
    exit
}

fn measure(
    arguments: &BenchArgs,
    started: Instant,
    report: &mut BenchReport,
) -> Result<ExitCode, Error> {
    let size = Size::parse("size", &arguments.size)?;
    let chunk = Size::parse("chunk", &arguments.chunk)?;
    size.check("size", PAGE, PAGE, MOST)?;
    chunk.check("chunk", PAGE, PAGE, Size(MAX_SLOT_SIZE.into()))?;
    (report.size, report.chunk) = (size.0, chunk.0);
    let buffers = 2 * size.0.next_multiple_of(config::MEMORY_UNIT.0);
    let spec = VmSpec {
        platform: arguments.platform.parse()?,
        memory: Size(BASE_MEMORY.0 + buffers),
        ..VmSpec::default()
    };
    spec.check()?;
    let launch = Launch {
        spec: &spec,
        workload: "bench",
        certificates: Arc::default(),
        guest: Guest::Builtin(Builtin {
            image: read_image(arguments.guest_image.as_deref())?,
            parameters: format!("workload=bench size={} chunk={}", size.0, chunk.0),
            hints: String::new(),
            host_data: [0; 32],
            payload: Vec::new(),
        }),
        reference: None,
        evidence: None,
        started,
    };
    let outcome = launch.run()?;
    let judgement = outcome.judge();
    let (mut exit, mut line) = (judgement.exit, judgement.line);
    report.result = judgement.result;
    match &outcome.summary.bench {
        Some(bench) => {
            report.fill(bench);
            if exit == ExitCode::Ok && !bench.intact {
                exit = ExitCode::WrongResult;
                line = Some("the bytes that came back are not those sent".into());
            }
        }
        None if exit == ExitCode::Ok => {
            exit = ExitCode::WrongResult;
            line = Some("the guest reports success and no measurement".into());
        }
        None => {}
    }
    if exit == ExitCode::WrongResult {
        report.result = exit.name().into();
    }
    if let Some(line) = line {
        output::problem(&line);
    }
    Ok(exit)
}

impl BenchReport {
    fn fill(&mut self, bench: &Bench) {
        let giga = |speed: f64| Some(round(speed / 1e9));
        self.h2d_gbps = giga(bench.h2d);
        self.d2h_gbps = giga(bench.d2h);
        self.raw_seal_gbps = giga(bench.raw_seal);
        self.raw_open_gbps = giga(bench.raw_open);
        self.memcpy_gbps = giga(bench.memcpy);
        // Speeds are finite and above 0: the listener has seen to that.
        self.ratio_h2d = Some(round(bench.h2d / bench.raw_seal));
        self.ratio_d2h = Some(round(bench.d2h / bench.raw_open));
        self.round_trip_us = Some(round(bench.round_trip_us));
    }
}

/// Three digits behind the point: more is noise.
fn round(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

fn summarize(report: &BenchReport) {
    let row = |name: &str, speed: Option<f64>, note: String| {
        if let Some(speed) = speed {
            output::line(format_args!("{name:<24} {speed:>7.3} GB/s{note}"));
        }
    };
    let ratio = |ratio: Option<f64>, of: &str| {
        ratio.map_or(String::new(), |ratio| format!("  {ratio:.2} of {of}"))
    };
    let (size, chunk) = (Size(report.size), Size(report.chunk));
    output::line(output::heading(&format!("{size} each way in records of {chunk}")));
    row("guest to GPU", report.h2d_gbps, ratio(report.ratio_h2d, "raw seal"));
    row("GPU to guest", report.d2h_gbps, ratio(report.ratio_d2h, "raw open"));
    row("raw seal, one core", report.raw_seal_gbps, String::new());
    row("raw open, one core", report.raw_open_gbps, String::new());
    row("memory copy", report.memcpy_gbps, String::new());
    if let Some(time) = report.round_trip_us {
        output::line(format_args!("{:<24} {time:>7.1} us", "empty command, and back"));
    }
    output::line(
        "Each byte is sealed on one side and opened on the other, with a copy through shared memory \
         in between. Two cores can overlap the two; the slower of them sets the speed.",
    );
}
