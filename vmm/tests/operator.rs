//! A running VM as its operator sees it: found, watched, reset, ended, and gone without a trace.
//!
//! The guest idles; these tests need KVM and are ignored, which the harness counts, without it.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// No step takes this long, even on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Place {
    _directory: tempfile::TempDir,
    runtime: PathBuf,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let runtime = directory.path().join("r");
        Self { _directory: directory, runtime }
    }

    fn launcher(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ravelin"));
        command.args(arguments).env("RAVELIN_RUNTIME_DIR", &self.runtime);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts an idle VM and waits until its guest is up.
    fn start(&self, name: &str) -> Child {
        let child = self
            .launcher(&["run", "--json", "--workload", "idle", "--name", name])
            .spawn()
            .unwrap();
        let directory = self.runtime.join(name);
        let says = |file: &str, word: &str| {
            fs::read_to_string(directory.join(file)).is_ok_and(|text| text.contains(word))
        };
        let begin = Instant::now();
        // A dead VM may have left a log, but not with this process number beside it.
        while !(says("lock", &child.id().to_string()) && says("events.jsonl", "guest_ready")) {
            assert!(begin.elapsed() < PATIENCE, "the guest never came up");
            thread::sleep(Duration::from_millis(10));
        }
        child
    }

    fn operator(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ravelinctl"));
        command.args(arguments).env("RAVELIN_RUNTIME_DIR", &self.runtime).output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.operator(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn is_clean(&self) -> bool {
        fs::read_dir(&self.runtime).map_or(true, |entries| entries.count() == 0)
    }
}

fn signal(child: &Child, signal: &str) {
    let status = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn the_operator_finds_watches_and_resets_a_gpu() {
    let place = Place::new();
    let child = place.start("a");
    let list = place.json(&["list"]);
    assert_eq!(list["vms"][0]["name"], "a");
    assert_eq!(list["vms"][0]["state"], "running");
    assert_eq!(list["vms"][0]["pid"], child.id());
    let info = place.json(&["info", "a"]);
    assert_eq!(info["schema"], "ravelin.info/1");
    assert_eq!(info["gpus"][0]["resets"], 0);
    assert!(info["gpus"][0]["session"].is_u64());
    for (number, kind) in [(1, "flr"), (2, "bus"), (3, "cold")] {
        let done = place.json(&["reset", "a", "--gpu", "0", "--kind", kind]);
        assert_eq!((&done["resets"], &done["kind"]), (&number.into(), &kind.into()));
    }
    let telemetry = place.json(&["telemetry", "a", "--gpu", "0"]);
    assert_eq!(telemetry["gpus"][0]["resets"], 3);
    assert_eq!(place.operator(&["telemetry", "a", "--gpu", "7"]).status.code(), Some(32));
    let second = place.launcher(&["--name", "a"]).output().unwrap();
    assert_eq!(second.status.code(), Some(11), "two VMs of one name");
    signal(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&object["schema"], &object["result"]),
        (&"ravelin.run/1".into(), &"interrupted".into())
    );
    assert_eq!(object["guest"], "builtin");
    assert!(object["boot_us"].as_u64() > Some(0));
    assert!(place.is_clean());
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn a_signal_ends_the_vm_and_leaves_nothing() {
    let place = Place::new();
    for (name, code) in [("-TERM", 143), ("-HUP", 143), ("-INT", 130)] {
        let child = place.start("a");
        signal(&child, name);
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(code));
        assert_eq!(place.json(&["list"])["vms"], Value::Array(Vec::new()));
        assert!(place.is_clean());
    }
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn a_killed_vm_is_dead_and_blocks_nothing() {
    let place = Place::new();
    let mut child = place.start("a");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(place.json(&["list"])["vms"][0]["state"], "dead");
    assert_eq!(place.operator(&["info", "a"]).status.code(), Some(31));
    let child = place.start("a");
    assert_eq!(place.json(&["list"])["vms"][0]["state"], "running");
    signal(&child, "-TERM");
    child.wait_with_output().unwrap();
    assert!(place.is_clean());
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn the_sockets_are_their_owners_and_typing_does_not_hurt() {
    let place = Place::new();
    let child = place.start("a");
    let directory = place.runtime.join("a");
    for file in ["control.sock", "serial.sock", "events.jsonl", "lock"] {
        let mode = fs::symlink_metadata(directory.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let mut console = UnixStream::connect(directory.join("serial.sock")).unwrap();
    console.write_all(&[b'x'; 4096]).unwrap();
    assert_eq!(place.json(&["list"])["vms"][0]["state"], "running");
    signal(&child, "-TERM");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(143));
    console.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut rest = Vec::new();
    let _ = console.read_to_end(&mut rest);
    assert!(place.is_clean());
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn a_chosen_mode_comes_with_the_next_reset_and_the_guest_then_refuses_the_gpu() {
    let place = Place::new();
    let child = place.start("a");
    let chosen = place.json(&["mode", "a", "--gpu", "0", "devtools"]);
    assert_eq!(chosen["schema"], "ravelin.mode/1");
    assert_eq!((&chosen["mode"], &chosen["next_mode"]), (&"on".into(), &"devtools".into()));
    assert_eq!(place.json(&["info", "a"])["gpus"][0]["mode"], "on", "not before the reset");
    assert_eq!(place.operator(&["mode", "a", "--gpu", "7", "off"]).status.code(), Some(32));
    assert_eq!(place.operator(&["mode", "a", "--gpu", "0", "half"]).status.code(), Some(2));
    let done = place.operator(&["reset", "a", "--gpu", "0", "--kind", "flr"]);
    assert!(done.status.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(20));
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["result"], "debug-enabled");
    assert!(place.is_clean());
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn events_are_shown_once_and_followed_until_the_vm_ends() {
    let place = Place::new();
    let child = place.start("a");
    let follower = Command::new(env!("CARGO_BIN_EXE_ravelinctl"))
        .args(["events", "a", "--follow", "--json"])
        .env("RAVELIN_RUNTIME_DIR", &place.runtime)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    assert!(place.operator(&["reset", "a", "--gpu", "0", "--kind", "bus"]).status.success());
    let begin = Instant::now();
    // The reset may come before the guest's first session, but not behind its last.
    let attested_since = |events: &Value| {
        let events = events["events"].as_array().unwrap().iter();
        let mut since = events.skip_while(|event| event["event"] != "reset");
        since.any(|event| event["event"] == "session_established")
    };
    let mut events = place.json(&["events", "a", "--gpu", "0"]);
    while !attested_since(&events) {
        assert!(begin.elapsed() < PATIENCE, "{events}");
        thread::sleep(Duration::from_millis(10));
        events = place.json(&["events", "a", "--gpu", "0"]);
    }
    assert_eq!((&events["schema"], &events["name"]), (&"ravelin.events/1".into(), &"a".into()));
    assert_eq!(events["events"][0]["event"], "power_on");
    // The follower looks a few times a second.
    thread::sleep(Duration::from_secs(2));
    signal(&child, "-TERM");
    child.wait_with_output().unwrap();
    let output = follower.wait_with_output().unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    let followed: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<_> = followed.iter().map(|event| event["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert!(followed.iter().any(|event| event["event"] == "reset" && event["kind"] == "bus"));
    assert!(followed.iter().all(|event| event["gpu"] == 0));
}
