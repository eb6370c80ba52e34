//! A run's composite evidence, end to end: the guest in a VM asks the emulated AMD-SP, the launcher saves,
//! the verifier judges. Accepted by name, refused otherwise, and with no byte changed.
//!
//! Both programs run in this process, by the functions that are all of their `main`s.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Instant;

use ravelin::cli::exit::ExitCode;

const NONCE: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const OTHER: &str = "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
/// While the development maker's documents are valid.
const AT: &str = "2026-11-24T00:00:00Z";
const TRUSTED: u8 = 0;
const NOT_TRUSTED: u8 = 2;

/// A directory of this test's own, with two policies beside the evidence's.
fn place(name: &str) -> (PathBuf, PathBuf, PathBuf) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    let (policy, other) = (path.join("policy.toml"), path.join("other.toml"));
    fs::write(&policy, "launch_measurement = \"optional\"\n").unwrap();
    fs::write(&other, "launch_measurement = \"optional\" \n").unwrap();
    (path.join("evidence"), policy, other)
}

fn run(directory: &Path, policy: &Path, more: &[&str]) -> ExitCode {
    let name = format!("composite-{}-{}", more.len(), process::id());
    let (place, policy) = (directory.to_str().unwrap(), policy.to_str().unwrap());
    let words = ["ravelin", "run", "--json", "--name", &name, "--save-evidence", place];
    let rest = ["--nonce", NONCE, "--policy", policy];
    let words = words.iter().chain(&rest).chain(more).map(OsString::from);
    ravelin::cli::main(words, Instant::now())
}

fn verify(directory: &Path, policy: &Path, nonce: &str, more: &[&str]) -> process::ExitCode {
    let (place, policy) = (directory.to_str().unwrap(), policy.to_str().unwrap());
    let words = ["ravelin-verify", "composite", place, "--at", AT];
    let rest = ["--nonce", nonce, "--policy", policy];
    let words = words.iter().chain(&rest).chain(more).map(OsString::from);
    ravelin_verifier::cli::main(words)
}

const ACCEPT: [&str; 1] = ["--accept-emulated"];

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn composite_evidence_of_a_run_is_trusted_as_it_is_and_by_name_only() {
    let (directory, policy, other) = place("composite");
    assert_eq!(run(&directory, &policy, &["--gpu", "apm", "--gpu", "apm"]), ExitCode::Ok);
    assert_eq!(verify(&directory, &policy, NONCE, &ACCEPT), TRUSTED.into());
    assert_eq!(verify(&directory, &policy, NONCE, &[]), NOT_TRUSTED.into(), "emulated");
    assert_eq!(verify(&directory, &policy, OTHER, &ACCEPT), NOT_TRUSTED.into(), "another nonce");
    assert_eq!(verify(&directory, &other, NONCE, &ACCEPT), NOT_TRUSTED.into(), "another policy");

    for name in ["report.bin", "ask.der", "vcek.der", "guest.json", "evidence.json"] {
        let path = directory.join(name);
        let good = fs::read(&path).unwrap();
        for at in (0..good.len()).step_by(1 + good.len() / 16) {
            let mut changed = good.clone();
            changed[at] ^= 1;
            fs::write(&path, changed).unwrap();
            let verdict = verify(&directory, &policy, NONCE, &ACCEPT);
            assert_ne!(verdict, TRUSTED.into(), "byte {at} of {name}");
        }
        fs::write(&path, good).unwrap();
    }
    assert_eq!(verify(&directory, &policy, NONCE, &ACCEPT), TRUSTED.into());
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn without_a_platform_nobody_signs_a_report() {
    let (directory, policy, _) = place("composite-none");
    assert_eq!(run(&directory, &policy, &["--platform", "none"]), ExitCode::Ok);
    assert!(directory.join("evidence.json").exists());
    for name in ["report.bin", "guest.json"] {
        assert!(!directory.join(name).exists(), "{name}");
    }
}
