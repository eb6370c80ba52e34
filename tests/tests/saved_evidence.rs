//! What a guest's GPUs present is saved by the launcher and judged by the verifier, with the nonce
//! of whoever asks and with no other.
//!
//! Both programs run in this process, by the functions that are all of their `main`s.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Instant;

use ravelin::cli::exit::ExitCode;
use serde_json::Value;

const NONCE: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const OTHER: &str = "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
/// While the development maker's documents are valid.
const AT: &str = "2026-11-24T00:00:00Z";

/// A directory of this test's own in the one that the test runner has for us.
fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&path);
    path
}

/// `ravelin run --save-evidence`.
fn run(directory: &Path, arguments: &[&str]) -> ExitCode {
    // VMs of other runs of this test may live at the same time.
    let name = format!("{}-{}", directory.file_name().unwrap().display(), process::id());
    let place = directory.to_str().unwrap();
    let words = ["ravelin", "run", "--json", "--name", &name, "--save-evidence", place];
    let words = words.iter().chain(arguments).map(OsString::from);
    ravelin::cli::main(words, Instant::now())
}

/// `ravelin verify apm`.
fn verify(directory: &Path, arguments: &[&str]) -> process::ExitCode {
    let words = ["ravelin-verify", "apm", directory.to_str().unwrap(), "--at", AT];
    ravelin_verifier::cli::main(words.iter().chain(arguments).map(OsString::from))
}

const TRUSTED: u8 = 0;
const NOT_TRUSTED: u8 = 2;

fn read(directory: &Path) -> Value {
    serde_json::from_slice(&fs::read(directory.join("evidence.json")).unwrap()).unwrap()
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn evidence_of_a_run_is_trusted_with_its_nonce_and_with_no_other() {
    let directory = directory("evidence-nonce");
    let gpus = ["--gpu", "apm", "--gpu", "apm"];
    let arguments = [&["--nonce", NONCE][..], &gpus].concat();
    assert_eq!(run(&directory, &arguments), ExitCode::Ok);
    assert_eq!(read(&directory)["gpus"].as_array().unwrap().len(), 2);
    assert_eq!(verify(&directory, &["--nonce", NONCE]), TRUSTED.into());
    assert_eq!(verify(&directory, &["--nonce", OTHER]), NOT_TRUSTED.into());
    assert_eq!(verify(&directory, &[]), NOT_TRUSTED.into(), "nobody has asked for it");

    // The nonce in the file is not what makes it trusted.
    let mut forged = read(&directory);
    forged["gpus"][1]["nonce"] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".into();
    fs::write(directory.join("evidence.json"), forged.to_string()).unwrap();
    let policy = directory.join("policy.toml");
    fs::write(&policy, "freshness = \"recorded\"").unwrap();
    let recorded = ["--policy", policy.to_str().unwrap()];
    assert_eq!(verify(&directory, &recorded), NOT_TRUSTED.into());

    // Without a nonce the guest chooses its own, and the file says which.
    assert_eq!(run(&directory, &[]), ExitCode::Ok);
    assert_ne!(read(&directory)["gpus"][0]["nonce"], forged["gpus"][0]["nonce"]);
    assert_eq!(verify(&directory, &recorded), TRUSTED.into());
    assert_eq!(verify(&directory, &["--nonce", NONCE]), NOT_TRUSTED.into());
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn evidence_of_a_refused_gpu_is_saved_and_refused_by_the_verifier_too() {
    let directory = directory("evidence-refused");
    let arguments = ["--nonce", NONCE, "--gpu", "apm,mode=devtools"];
    assert_eq!(run(&directory, &arguments), ExitCode::GuestFailed);
    assert_eq!(verify(&directory, &["--nonce", NONCE]), NOT_TRUSTED.into());
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn a_run_without_the_evidence_that_was_asked_for_is_no_success() {
    let directory = directory("evidence-none");
    let arguments = ["--platform", "none", "--gpu", "apm", "--gpu", "apm,mode=off"];
    assert_eq!(run(&directory, &arguments), ExitCode::Evidence);
    assert!(!directory.join("evidence.json").exists(), "evidence of one GPU of two");
    assert_eq!(run(&directory, &["--nonce", "1234"]), ExitCode::Usage);
}
