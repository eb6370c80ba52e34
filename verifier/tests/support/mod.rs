//! What the verifier's tests share: where the real samples are, and a certificate authority for
//! what no published sample shows.

#![allow(
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "each test binary uses a part of it"
)]

pub mod apm;
pub mod authority;

use std::path::PathBuf;
use std::str::FromStr;

use der::DateTime;
use ravelin_verifier::result::{Device, Outcome};

/// NVIDIA's evidence that is not for the repository; see `build.rs`.
pub fn evidence() -> PathBuf {
    PathBuf::from(env!("RAVELIN_EVIDENCE_FOLDER"))
}

/// NVIDIA's samples from PyPI; see `build.rs`.
pub fn samples() -> PathBuf {
    PathBuf::from(env!("RAVELIN_SAMPLES_FOLDER"))
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

/// The checks that failed, each with its reason.
pub fn reasons(device: &Device) -> Vec<(&'static str, &'static str)> {
    let failed = device.checks.iter().filter(|check| check.result == Outcome::Fail);
    failed.map(|check| (check.code, check.reason.unwrap_or_default())).collect()
}
