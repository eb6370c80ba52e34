//! What the verifier's tests share: where the real samples are, and a certificate authority for
//! what no published sample shows.

#![allow(
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "each test binary uses a part of it"
)]

pub mod authority;

use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;

use der::DateTime;
use ravelin_verifier::result::{Device, Outcome};

/// NVIDIA's evidence that is not for the repository: the folder in `RAVELIN_EVIDENCE`, or
/// `shared/evidence` beside the project. `None`, said loudly, where there is none.
pub fn evidence() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/evidence");
    let folder = std::env::var_os("RAVELIN_EVIDENCE").map_or(beside, PathBuf::from);
    found(folder, "hopper-535.86.09-report.hex", "set RAVELIN_EVIDENCE")
}

/// NVIDIA's samples from PyPI, once `verifier/samples/fetch` has fetched them.
pub fn samples() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))?;
    let folder = cache.join("ravelin/nv-local-gpu-verifier-2.7.3");
    found(folder, "hopperAttestationReport.txt", "run verifier/samples/fetch")
}

fn found(folder: PathBuf, file: &str, remedy: &str) -> Option<PathBuf> {
    if folder.join(file).is_file() {
        return Some(folder);
    }
    // Past the test runner's capture: a skipped test must not look like one that ran.
    let mut stderr = std::io::stderr();
    let _ = writeln!(stderr, "SKIPPED: no {file} in {}: {remedy}", folder.display());
    None
}

pub fn time(text: &str) -> DateTime {
    DateTime::from_str(text).unwrap()
}

/// The codes that ended like this, each once.
pub fn codes(device: &Device, result: Outcome) -> Vec<&'static str> {
    let mut codes: Vec<&'static str> =
        device.checks.iter().filter(|check| check.result == result).map(|c| c.code).collect();
    codes.dedup();
    codes
}

/// The indices of a series of checks that ended like this.
pub fn indices(device: &Device, code: &str, result: Outcome) -> Vec<u8> {
    let found = device.checks.iter().filter(|c| c.code == code && c.result == result);
    found.filter_map(|check| check.index).collect()
}

pub fn passed(device: &Device, code: &str) -> bool {
    let mut checks = device.checks.iter().filter(|check| check.code == code).peekable();
    checks.peek().is_some() && checks.all(|check| check.result == Outcome::Pass)
}
