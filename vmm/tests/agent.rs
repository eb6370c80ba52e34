//! The agent in unmodified Linux guests: it finds the GPU, attests it, and the result is that of the
//! built-in guest.
//!
//! They need what the tests of Linux guests need, and the agent in PATH: `cargo rig linux` has both.
//! Elsewhere every test here is ignored.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

mod linux_support;

use linux_support::{Boot, Image};
use serde_json::Value;
use std::process::Command;

/// An initramfs with the agent, as a user packs it.
fn initramfs() -> Vec<u8> {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("guest.cpio");
    let status = Command::new(env!("CARGO_BIN_EXE_ravelin"))
        .args(["image", "initramfs", "--output"])
        .arg(&file)
        .status()
        .unwrap();
    assert!(status.success());
    std::fs::read(file).unwrap()
}

/// What the built-in guest's workload came to.
fn builtin(platform: &str) -> Value {
    let place = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_ravelin"))
        .args(["run", "--json", "--platform", platform])
        .env("RAVELIN_RUNTIME_DIR", place.path().join("r"))
        .output()
        .unwrap();
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["result"], "ok", "{object:#}");
    object["workload"].clone()
}

fn recognises_digits(series: &str, platform: &str, cpus: u8) {
    let boot = Boot {
        cpus,
        platform,
        gpus: &["apm"],
        words: "ravelin.run=digits",
        ..Boot::of(series, Image::BzImage)
    };
    let run = boot.run_initrd(&initramfs());
    assert_eq!((run.code, &run.object["result"]), (0, &"ok".into()), "{run}");
    assert_eq!(run.object["guest"], "linux");
    assert_eq!(run.object["guest_end"], "power-off");
    assert!(run.object["guest_ready_us"].as_u64().is_some(), "{run}");
    assert_eq!(run.object["gpus"][0]["verdict"], "trusted", "{run}");
    assert_eq!(run.object["workload"]["matches_reference"], true, "{run}");
    assert_eq!(run.object["workload"], builtin(platform));
    let encrypted = run.console.contains("Memory Encryption Features active: AMD SEV");
    assert_eq!(encrypted, platform == "emulated", "{run}");
}

macro_rules! guests {
    ($($name:ident: $series:literal, $platform:literal, $cpus:literal;)*) => {$(
        #[test]
        #[ignore = "needs a KVM that boots Linux: cargo rig linux"]
        fn $name() {
            recognises_digits($series, $platform, $cpus);
        }
    )*};
}

guests! {
    a_6_1_guest_attests_and_computes_as_the_builtin_one_on_emulated: "6.1", "emulated", 1;
    a_6_1_guest_attests_and_computes_as_the_builtin_one_on_none: "6.1", "none", 2;
    a_6_12_guest_attests_and_computes_as_the_builtin_one_on_emulated: "6.12", "emulated", 2;
    a_6_12_guest_attests_and_computes_as_the_builtin_one_on_none: "6.12", "none", 1;
}

#[test]
#[ignore = "needs a KVM that boots Linux: cargo rig linux"]
fn a_gpu_that_protects_nothing_is_refused_in_the_words_of_the_builtin_guest() {
    let boot = Boot {
        platform: "emulated",
        gpus: &["apm,mode=devtools"],
        words: "ravelin.run=digits",
        ..Boot::of("6.1", Image::BzImage)
    };
    let run = boot.run_initrd(&initramfs());
    assert_eq!(run.code, 20, "{run}");
    assert_ne!(run.object["gpus"][0]["verdict"], "trusted");
    assert_eq!(run.object["gpus"][0]["verdict"], run.object["result"]);
}
