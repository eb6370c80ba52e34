//! Rules in Rego: they refuse further, they never make good what failed, and a wrong one judges
//! nothing.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::fs;
use std::process::Command;

use ravelin_dice::Mode;
use serde_json::Value;
use support::apm::{AT, Boot, NONCE, save};

/// Verifies two GPUs by these rules and data; the exit code, the JSON and standard error.
fn verify(modes: [Mode; 2], rules: &str, data: Option<&str>) -> (i32, Value, String) {
    let directory = tempfile::tempdir().unwrap();
    let gpus = [("0001", modes[0]), ("0002", modes[1])]
        .map(|(serial, mode)| Boot::with(serial, |boot| boot.mode = mode).gpu());
    save(directory.path(), &gpus);
    let policy = directory.path().join("policy.rego");
    fs::write(&policy, rules).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ravelin-verify"));
    command.arg("apm").arg(directory.path()).args(["--json", "--at", AT]);
    command.args(["--nonce", &hex::encode(NONCE)]).arg("--rego").arg(&policy);
    if let Some(data) = data {
        let path = directory.path().join("data.json");
        fs::write(&path, data).unwrap();
        command.arg("--rego-data").arg(path);
    }
    let output = command.output().unwrap();
    let json = serde_json::from_slice(&output.stdout).unwrap();
    let code = output.status.code().unwrap();
    (code, json, String::from_utf8(output.stderr).unwrap())
}

#[cfg(feature = "rego")]
fn trusted(verdict: &Value) -> Vec<bool> {
    let devices = verdict["devices"].as_array().unwrap();
    devices.iter().map(|device| device["trusted"].as_bool().unwrap()).collect()
}

#[cfg(feature = "rego")]
const GOOD: [Mode; 2] = [Mode::On, Mode::On];

#[cfg(feature = "rego")]
#[test]
fn rules_see_claims_data_and_the_whole_and_refuse_the_devices_that_they_do_not_allow() {
    let rules = r#"
package ravelin.verify
default allow := false
allow if {
    count(input.verdict.devices) == 2
    input.device.claims.serial in data.inventory
    input.device.claims.svn >= 2
}
reasons contains sprintf("%s is not ours", [input.device.claims.serial]) if {
    not input.device.claims.serial in data.inventory
}
"#;
    let all = Some(r#"{ "inventory": ["0001", "0002"] }"#);
    let (code, verdict, _) = verify(GOOD, rules, all);
    assert_eq!((code, trusted(&verdict)), (0, vec![true, true]), "{verdict:#}");
    let (code, verdict, _) = verify(GOOD, rules, Some(r#"{ "inventory": ["0002"] }"#));
    assert_eq!((code, trusted(&verdict)), (2, vec![false, true]));
    assert_eq!(verdict["trusted"], false);
    let checks = verdict["devices"][0]["checks"].as_array().unwrap();
    let last = checks.iter().find(|check| check["code"] == "rego-policy").unwrap();
    assert_eq!(last["result"], "fail");
    assert!(last["detail"].as_str().unwrap().contains("0001 is not ours"));
}

#[cfg(feature = "rego")]
#[test]
fn rules_never_make_good_what_failed() {
    let rules = "package ravelin.verify\nallow := true";
    let (code, verdict, _) = verify([Mode::On, Mode::Devtools], rules, None);
    assert_eq!((code, trusted(&verdict)), (2, vec![true, false]));
}

#[cfg(feature = "rego")]
#[test]
fn undefined_is_not_allowed() {
    let (code, verdict, _) =
        verify(GOOD, "package ravelin.verify\nallow if input.no_such_thing", None);
    assert_eq!((code, trusted(&verdict)), (2, vec![false, false]));
    let (code, ..) = verify(GOOD, "package ravelin.verify\nalow := true", None);
    assert_eq!(code, 2, "a misspelt rule allows nothing");
}

#[cfg(feature = "rego")]
#[test]
fn a_wrong_policy_judges_nothing() {
    for (rules, data, says) in [
        ("package ravelin.verify\nallow if {", None, "not a Rego policy"),
        ("package other\nallow := true", None, "package ravelin.verify"),
        ("package ravelin.verify\nallow := 1", None, "must be true"),
        ("package ravelin.verify\nallow := 1 / 0 == 1", None, "fails"),
        ("package ravelin.verify\nallow := true", Some("{"), "not data"),
    ] {
        let (code, verdict, stderr) = verify(GOOD, rules, data);
        assert_eq!(code, 3, "{rules}: {verdict:#}");
        assert!(stderr.contains(says), "{rules}: {stderr}");
        assert_eq!(verdict["trusted"], false);
        assert_eq!(verdict["error"]["code"], "bad-rules");
    }
}

#[cfg(not(feature = "rego"))]
#[test]
fn a_build_without_rego_says_how_to_get_it_and_judges_nothing() {
    let (code, verdict, stderr) =
        verify([Mode::On, Mode::On], "package ravelin.verify\nallow := true", None);
    assert_eq!(code, 3);
    assert!(stderr.contains("--features rego"), "{stderr}");
    assert_eq!(verdict["trusted"], false);
}
