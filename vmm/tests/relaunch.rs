//! A guest that asks for a reset: the run ends, or the guest is launched anew, from files that are read
//! anew.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

/// `mov al, 0xfe; out 0x64, al; hlt`: the keyboard controller's reset.
const RESETS: &[u8] = &[0xb0, 0xfe, 0xe6, 0x64, 0xf4];
/// `mov dx, 0x604; mov ax, 0x2000; out dx, ax; hlt`: sleep by ACPI's register.
const POWERS_OFF: &[u8] = &[0x66, 0xba, 4, 6, 0x66, 0xb8, 0, 0x20, 0x66, 0xef, 0xf4];
/// Where guests are linked.
const BASE: u64 = 2 << 20;
/// What the launcher says each time.
const ANEW: &str = "the guest is launched anew";

/// A guest that is these instructions, as a freestanding ELF file. It is there whole or not at all.
fn write(path: &Path, code: &[u8]) {
    let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    elf.extend([2, 0, 0x3e, 0]); // An executable for x86-64.
    elf.extend(1u32.to_le_bytes());
    for word in [BASE, 64, 0] {
        elf.extend(word.to_le_bytes()); // Entry, program headers, no section headers.
    }
    elf.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 1, 0, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    elf.extend([1u32, 5].map(u32::to_le_bytes).as_flattened()); // PT_LOAD, readable, executable.
    for word in [0x1000, BASE, BASE, code.len() as u64, code.len() as u64, 0x1000] {
        elf.extend(word.to_le_bytes());
    }
    elf.resize(0x1000, 0);
    elf.extend(code);
    let part = path.with_extension("part");
    fs::write(&part, elf).unwrap();
    fs::rename(part, path).unwrap();
}

fn launcher(directory: &Path, platform: &str, on_reset: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ravelin"));
    command
        .args(["run", "--json", "--platform", platform, "--on-reset", on_reset])
        .arg("--guest-image")
        .arg(directory.join("guest"))
        .env("RAVELIN_RUNTIME_DIR", directory.join("r"));
    command
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn a_reset_ends_the_run() {
    for platform in ["emulated", "none"] {
        let directory = tempfile::tempdir().unwrap();
        write(&directory.path().join("guest"), RESETS);
        let output = launcher(directory.path(), platform, "end").output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), &report["guest_end"]), (Some(21), &"reset".into()));
        assert!(!String::from_utf8_lossy(&output.stderr).contains(ANEW));
    }
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn a_reset_launches_the_guest_anew_where_that_is_wanted_from_what_is_there_then() {
    for platform in ["emulated", "none"] {
        let directory = tempfile::tempdir().unwrap();
        let guest = directory.path().join("guest");
        write(&guest, RESETS);
        let mut command = launcher(directory.path(), platform, "relaunch");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let errors = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut launches = errors.filter(|line| line.contains(ANEW));
        for number in 1..=3 {
            assert!(launches.next().is_some(), "the guest ended at launch {number}");
        }
        write(&guest, POWERS_OFF);
        // It may have been read by then, and resets once more. A launcher that keeps the old file would
        // go on for ever.
        let late = launches.take(50).count();
        if late == 50 {
            child.kill().unwrap();
        }
        let mut output = String::new();
        child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
        child.wait().unwrap();
        let report: Value = serde_json::from_str(&output).unwrap_or_else(|_| panic!("{late}"));
        assert_eq!(report["guest_end"], "power-off", "on {platform}");
    }
}
