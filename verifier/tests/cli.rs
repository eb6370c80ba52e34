//! The program: exit codes, the JSON form, and what it says about bad input.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn verify(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ravelin-verify")).args(arguments).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

const SNP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/snp");
const REPORT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/snp/report_milan.hex");
const OPEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/policy/snp-signature-only.toml");
const AT: &str = "2024-12-01T00:00:00Z";

#[test]
fn trusted_is_0_not_trusted_2_and_the_json_says_the_same() {
    for (policy, expected) in [(Some(OPEN), 0), (None, 2)] {
        let mut arguments = vec!["snp", "--report", REPORT, "--certs", SNP, "--at", AT, "--json"];
        arguments.extend(policy.iter().flat_map(|policy| ["--policy", policy]));
        let output = verify(&arguments);
        assert_eq!(code(&output), expected, "{}", String::from_utf8_lossy(&output.stderr));
        let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(verdict["schema"], "ravelin.verify/1");
        assert_eq!(verdict["trusted"], expected == 0);
        let device = &verdict["devices"][0];
        assert_eq!(device["kind"], "snp");
        assert_eq!(device["trusted"], expected == 0);
        assert!(device["identity"].as_str().unwrap().starts_with("d49554ec"));
        for check in device["checks"].as_array().unwrap() {
            assert!(check["code"].is_string() && check["detail"].is_string());
            let result = check["result"].as_str().unwrap();
            assert!(["pass", "fail", "skipped"].contains(&result), "{result}");
        }
    }
}

#[test]
fn every_line_of_an_explained_verdict_has_its_meaning() {
    let output = verify(&["snp", "--report", REPORT, "--certs", SNP, "--at", AT, "--explain"]);
    assert_eq!(code(&output), 2);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("FAIL  launch-measurement"));
    assert!(text.contains("one of the images in the policy"));
    assert!(text.ends_with("NOT TRUSTED: 0 of 1 devices\n"));
}

#[test]
fn bad_input_is_3_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let short = file("short.hex", b"0200");
    let junk = file("junk.pem", b"junk");
    let policy = file("policy.toml", b"revokation = 'required'");
    let json = file("evidence.json", b"{");
    let nowhere = folder.path().join("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    for (arguments, says) in [
        (vec!["snp", "--report", &short, "--certs", SNP], ""),
        (vec!["snp", "--report", nowhere, "--certs", SNP], "cannot read"),
        (vec!["snp", "--report", REPORT, "--certs", nowhere], "cannot read"),
        (vec!["snp", "--report", REPORT, "--certs", SNP, "--at", "noon"], "expected such as"),
        (vec!["snp", "--report", REPORT, "--certs", SNP, "--policy", &policy], "revokation"),
        (vec!["snp", "--report", REPORT, "--certs", SNP, "--crl", &junk], "not PEM"),
        (vec!["snp", "--report", REPORT, "--certs", SNP, "--root", &junk], "not PEM"),
        (vec!["snp", "--report", REPORT, "--certs", SNP, "--report-data", "00"], "128"),
        (vec!["nvidia", "--evidence", &json], "JSON"),
        (vec!["nvidia", "--evidence", &json, "--rim", &junk], "JSON"),
        (vec!["nvidia", "--report", &short], "--chain"),
        (vec!["nvidia", "--report", &short, "--chain", &junk], ""),
        (vec!["nvidia"], "--evidence"),
        (vec!["apm", nowhere], "cannot read"),
        (vec!["apm", folder.path().to_str().unwrap()], "not saved evidence"),
        (vec!["astrology"], "unrecognized"),
        (vec![], "Usage"),
    ] {
        let output = verify(&arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(code(&output), 3, "{arguments:?}: {stderr}");
        assert!(stderr.contains(says), "{arguments:?}: {stderr}");
        if !arguments.is_empty() && Path::new(arguments[0]).as_os_str() != "astrology" {
            let json = verify(&[arguments.as_slice(), &["--json"]].concat());
            assert_eq!(code(&json), 3);
        }
    }
}

#[test]
fn an_error_in_json_is_json_too() {
    let output = verify(&["apm", "/nowhere", "--json"]);
    assert_eq!(code(&output), 3);
    let error: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(error["trusted"], false);
    assert_eq!(error["error"]["code"], "unreadable-file");
}

#[test]
fn help_is_no_failure() {
    assert_eq!(code(&verify(&["--help"])), 0);
    assert_eq!(code(&verify(&["nvidia", "--help"])), 0);
    assert_eq!(code(&verify(&["--version"])), 0);
}

#[test]
#[cfg_attr(not(evidence), ignore = "SKIPPED: no NVIDIA evidence; set RAVELIN_EVIDENCE")]
#[cfg_attr(not(samples), ignore = "SKIPPED: no NVIDIA samples; run verifier/samples/fetch")]
fn real_gpus_are_judged_as_issue_3_says() {
    let (folder, samples) = (support::evidence(), support::samples());
    let path = |folder: &Path, name: &str| folder.join(name).to_str().unwrap().to_owned();
    let report = path(&folder, "hopper-535.86.09-report.hex");
    let chain = path(&folder, "hopper-535.86.09-chain.pem");
    let manifest = path(&samples, "1010_0200_882_96005E0001_PROD.swidtag");
    let policy =
        concat!(env!("CARGO_MANIFEST_DIR"), "/samples/policy/h100-without-driver-manifest.toml");
    let nonce = "27a328247bf7935c993341cf587be6f05986ccce4fe7ba2c54100bd616a58f66";
    let base = ["nvidia", "--report", &report, "--chain", &chain, "--rim", &manifest, "--nonce"];
    let base = [base.as_slice(), &[nonce]].concat();
    let with = |more: &[&str]| code(&verify(&[base.as_slice(), more].concat()));
    assert_eq!(with(&["--at", AT, "--policy", policy]), 0);
    assert_eq!(with(&["--at", AT]), 2);
    assert_eq!(with(&["--at", "2026-11-24T00:00:00Z", "--policy", policy]), 2);
}
