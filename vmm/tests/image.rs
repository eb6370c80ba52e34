//! `ravelin image build` and `measure`: the same bytes and digits again, from anywhere, and in any
//! environment.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// A bzImage of one page (Documentation/arch/x86/boot.rst).
fn kernel() -> Vec<u8> {
    let mut file = vec![0; 1024];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x1f1, &[1]);
    put(0x1fe, &0xaa55_u16.to_le_bytes());
    put(0x202, b"HdrS");
    put(0x206, &0x20f_u16.to_le_bytes());
    put(0x211, &[1]);
    put(0x22c, &0x7fff_ffff_u32.to_le_bytes());
    put(0x236, &1_u16.to_le_bytes());
    put(0x238, &2047_u32.to_le_bytes());
    put(0x258, &(16_u64 << 20).to_le_bytes());
    put(0x260, &(4_u32 << 20).to_le_bytes());
    file.extend([0x90; 4096]);
    file
}

/// A directory with a kernel and an initrd.
fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("vmlinuz"), kernel()).unwrap();
    fs::write(place.path().join("initrd"), b"initrd").unwrap();
    place
}

/// `ravelin image` with these words, in this directory.
fn image(place: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ravelin"));
    let output = command.arg("image").args(words).current_dir(place).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn measured(place: &Path, words: &[&str]) -> String {
    let output = image(place, &[&["measure"], words].concat());
    let digits = String::from_utf8(output.stdout).unwrap();
    assert_eq!(digits.trim_end().len(), 96, "{digits}");
    digits
}

const LINUX: [&[&str]; 2] = [
    &["--kernel", "vmlinuz", "--initrd", "initrd", "--memory", "64MiB", "--vcpus", "2"],
    &["--workload", "digits", "--memory", "64MiB", "--platform", "emulated"],
];

#[test]
fn the_same_image_and_digest_come_again_from_another_directory() {
    for words in LINUX {
        let [here, there] = [place(), place()];
        let built = |place: &Path, name: &str| {
            let output = image(place, &[&["build", "--json", "--output", name], words].concat());
            let object: Value = serde_json::from_slice(&output.stdout).unwrap();
            let digest = object["measurement"].as_str().unwrap().to_owned();
            (fs::read(place.join(name)).unwrap(), digest)
        };
        let first = built(here.path(), "guest.igvm");
        assert_eq!(built(here.path(), "again.igvm"), first, "twice");
        assert_eq!(built(there.path(), "other.igvm"), first, "elsewhere");
        // What is said beforehand: of the files, and of the image.
        let digest = format!("{}\n", first.1);
        for place in [here.path(), here.path(), there.path()] {
            assert_eq!(measured(place, words), digest);
        }
        assert_eq!(measured(here.path(), &["--igvm", "guest.igvm"]), digest);
        let absolute = there.path().join("other.igvm");
        assert_eq!(measured(here.path(), &["--igvm", absolute.to_str().unwrap()]), digest);
    }
}

/// Where this machine has the C-bit: the last of its address bits, at most bit 47.
fn c_bit() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap();
    let line = info.lines().find(|line| line.starts_with("address sizes")).unwrap();
    let bits = line.split_whitespace().find_map(|word| word.parse::<u8>().ok()).unwrap();
    (bits - 1).min(47).to_string()
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn a_run_reports_the_digest_that_was_told_with_one_vcpu_and_with_more() {
    let (place, c_bit) = (place(), c_bit());
    for cpus in ["1", "3"] {
        let machine = ["--platform", "emulated", "--memory", "64MiB"];
        let words = ["--workload", "digits", "--vcpus", cpus, "--c-bit", &c_bit];
        let told = measured(place.path(), &[&words[..], &machine].concat());
        let mut command = Command::new(env!("CARGO_BIN_EXE_ravelin"));
        command.args(["run", "--json", "--cpus", cpus]).args(machine);
        let output = command.env("RAVELIN_RUNTIME_DIR", place.path().join("r")).output().unwrap();
        let object: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&object["result"], output.status.code()), (&"ok".into(), Some(0)), "{object}");
        assert_eq!(object["measurement"], told.trim_end(), "{cpus} vCPUs");
    }
}
