//! Builds the built-in guest's image from `resources/guest`, for build scripts.
//!
//! The guest is a freestanding program for the host's target: it needs another profile (LTO, abort
//! on panic), other code generation (no red zone, fixed address) and another link than whoever
//! embeds it, so it is built by a cargo of its own in a target directory of its own. The lock file
//! and the sources are the workspace's.

use std::env;
use std::error::Error;
use std::fs::OpenOptions;
use std::iter;
use std::path::PathBuf;
use std::process::Command;

const TARGET: &str = "x86_64-unknown-linux-gnu";
const PROFILE: &str = "guest";
/// The guest's linker script, from the workspace's root.
const SCRIPT: &str = "resources/guest/guest.ld";
/// What the guest is made of, from the workspace's root.
const SOURCES: [&str; 15] = [
    "Cargo.toml",
    "Cargo.lock",
    "confidential/attestation",
    "confidential/channel",
    "confidential/dice",
    "confidential/driver",
    "confidential/guest-message",
    "confidential/snp",
    "confidential/spdm",
    "gpu-abi",
    "resources/digits",
    "resources/guest",
    "resources/reference-values",
    "resources/report",
    "resources/workload",
];
/// How cargo, rustc and clippy that run the build script were started is nothing to the guest's
/// build.
const NOT_INHERITED: [&str; 8] = [
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "CLIPPY_ARGS",
    "RUSTC",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTDOCFLAGS",
    "RUSTFLAGS",
];

/// Builds the image with these features on top of `image` and returns where it is. Tells cargo, on
/// the build script's standard output, when to run the script again.
///
/// # Errors
/// Not called by a build script of the workspace, or the guest does not build; cargo's own words
/// are on standard error.
pub fn image(features: &[&str]) -> Result<PathBuf, Box<dyn Error>> {
    // Not `env!`: clones that share a target directory share this crate's build as well. For the same
    // reason cargo is told relative paths, which each clone takes for its own.
    let package = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let up = package
        .ancestors()
        .position(|directory| directory.join(SCRIPT).exists())
        .ok_or_else(|| format!("no {SCRIPT} in or above {}", package.display()))?;
    let up = PathBuf::from_iter(iter::repeat_n("..", up));
    let workspace = package.join(&up).canonicalize()?;
    for source in SOURCES {
        // Cargo looks at a directory's files, all the way down. What is not there would be "changed"
        // each time.
        if workspace.join(source).exists() {
            println!("cargo::rerun-if-changed={}", up.join(source).display());
        }
    }
    println!("cargo::rerun-if-changed=build.rs");

    let target = PathBuf::from(env::var("OUT_DIR")?).join("guest");
    let script = workspace.join(SCRIPT);
    let link = |argument: &str| format!("-Clink-arg={argument}");
    let flags = [
        "-Cno-redzone=yes".into(),
        "-Crelocation-model=static".into(),
        link("-nostartfiles"),
        link("-nostdlib"),
        link("-static"),
        link("-no-pie"),
        // Pages of the file, not of memory, or the image would be full of zeros.
        link("-Wl,-z,max-page-size=4096"),
        link("-Wl,--build-id=none"),
        link(&format!("-Wl,-T,{}", script.display())),
    ];
    let features = [&["image"], features].concat().join(",");
    let mut cargo = Command::new(env::var("CARGO")?);
    for variable in NOT_INHERITED {
        cargo.env_remove(variable);
    }
    cargo
        .current_dir(&workspace)
        .args(["build", "--package", "ravelin-guest", "--features", &features])
        .args(["--profile", PROFILE, "--target", TARGET, "--target-dir"])
        .arg(&target)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    let status = cargo.status().map_err(|error| format!("cannot start {cargo:?}: {error}"))?;
    if !status.success() {
        return Err(format!("the built-in guest does not build ({status}); see above").into());
    }
    Ok(target.join(TARGET).join(PROFILE).join("ravelin-guest"))
}

/// Sets the configuration `kvm` where this machine has a KVM that can be opened, or where
/// `RAVELIN_TESTS_HAVE_KVM` promises one (the nested rig does, whose machine has its own). Tests
/// that need KVM are otherwise *ignored*, which the harness counts and shows: what was skipped has
/// not passed.
pub fn detect_kvm() {
    const KVM: &str = "/dev/kvm";
    const PROMISE: &str = "RAVELIN_TESTS_HAVE_KVM";
    println!("cargo::rustc-check-cfg=cfg(kvm)");
    println!("cargo::rerun-if-env-changed={PROMISE}");
    // Looked at again when it changes; where it is absent, in each build: it may have come.
    println!("cargo::rerun-if-changed={KVM}");
    let opens = OpenOptions::new().read(true).write(true).open(KVM).is_ok();
    if opens || env::var_os(PROMISE).is_some() {
        println!("cargo::rustc-cfg=kvm");
    } else {
        println!("cargo::warning=SKIPPED: no usable {KVM}: the tests that need it are ignored");
    }
}
