//! `ravelin run` from end to end: the object that it prints, and that the result is checked.
//!
//! Needs KVM; ignored, which the harness counts, without it.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

/// Runs the launcher with `--json`: exit code and object.
fn run(arguments: &[&str]) -> (i32, Value) {
    let directory = tempfile::tempdir().unwrap();
    let runtime = directory.path().join("r");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ravelin"));
    command.args(["run", "--json"]).args(arguments).env("RAVELIN_RUNTIME_DIR", &runtime);
    let output = command.output().unwrap();
    assert_eq!(std::fs::read_dir(runtime).unwrap().count(), 0, "something is left behind");
    let object = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), object)
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn the_digits_are_recognised_on_an_attested_gpu() {
    for (platform, rounds) in [("emulated", "1"), ("none", "3")] {
        let (code, object) = run(&["--platform", platform, "--repeat", rounds]);
        assert_eq!((code, &object["result"]), (0, &"ok".into()));
        assert_eq!(object["platform"], platform);
        assert_eq!(object["gpus"][0]["verdict"], "trusted");
        assert_eq!(object["gpus"][0]["session"], 1);
        assert!(object["workload"]["accuracy"].as_f64() >= Some(0.93));
        assert_eq!(object["workload"]["matches_reference"], true);
        assert!(object["transfer"]["records"].as_u64() > Some(0));
        assert!(object["boot_us"].as_u64() > Some(0) && object["attest_us"].as_u64() > Some(0));
    }
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn the_users_own_images_are_classified() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mine.csv");
    let rows = ["0", "16"].map(|pixel| [pixel; 64].join(","));
    std::fs::write(&path, rows.join("\n")).unwrap();
    let (code, object) = run(&["--images", path.to_str().unwrap()]);
    assert_eq!((code, &object["workload"]["samples"]), (0, &2.into()));
    assert_eq!(object["workload"]["predictions"].as_array().map(Vec::len), Some(2));
    assert_eq!(object["workload"]["accuracy"], Value::Null, "there are no labels");
    assert_eq!(object["workload"]["matches_reference"], true);
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn a_gpu_that_the_guest_refuses_is_a_failure_with_its_code() {
    for (mode, verdict) in [("off", "mode-off"), ("devtools", "debug-enabled")] {
        let (code, object) = run(&["--gpu", &format!("apm,mode={mode}")]);
        assert_eq!((code, &object["gpus"][0]["verdict"]), (20, &verdict.into()), "{object}");
        assert_ne!(object["result"], "ok");
        assert_eq!(object["workload"]["matches_reference"], Value::Null);
    }
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn every_gpu_is_attested_and_used() {
    for count in [2, 8] {
        let gpus = vec!["--gpu=apm"; count];
        let (code, object) = run(&[&gpus[..], &["--repeat", "2"]].concat());
        assert_eq!((code, &object["result"]), (0, &"ok".into()), "{object}");
        let gpus = object["gpus"].as_array().unwrap();
        assert_eq!(gpus.len(), count);
        for gpu in gpus {
            assert_eq!((&gpu["verdict"], &gpu["rounds"]), (&"trusted".into(), &2.into()));
        }
        let identities: BTreeSet<_> = gpus.iter().map(|gpu| gpu["identity"].as_str()).collect();
        assert_eq!(identities.len(), count, "each GPU has a serial number of its own");
        assert_eq!(object["workload"]["matches_reference"], true);
    }
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn one_bad_gpu_among_good_ones_keeps_all_of_them_unused() {
    for place in 0..3 {
        let mut gpus = ["--gpu=apm"; 3];
        gpus[place] = "--gpu=apm,mode=devtools";
        let (code, object) = run(&gpus);
        assert_eq!((code, &object["result"]), (20, &"debug-enabled".into()));
        for (other, gpu) in object["gpus"].as_array().unwrap().iter().enumerate() {
            let verdict = if other == place { "debug-enabled" } else { "trusted" };
            assert_eq!((&gpu["verdict"], &gpu["rounds"]), (&verdict.into(), &0.into()));
        }
        assert_eq!(object["gpus"].as_array().unwrap().len(), 3, "a verdict for each");
        assert_eq!(object["transfer"]["records"], 0);
    }
}
