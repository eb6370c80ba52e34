//! Builds the built-in guest from `resources/guest`, for the launcher to embed.
//!
//! The guest is a freestanding program for the host's target: it needs another profile (LTO, abort
//! on panic), other code generation (no red zone, fixed address) and another link than the launcher,
//! so it is built by a cargo of its own in a target directory of its own. The lock file and the
//! sources are the workspace's.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "x86_64-unknown-linux-gnu";
const PROFILE: &str = "guest";
/// What the guest is made of, from the workspace's root.
const SOURCES: [&str; 13] = [
    "Cargo.toml",
    "Cargo.lock",
    "confidential/attestation",
    "confidential/channel",
    "confidential/dice",
    "confidential/driver",
    "confidential/snp",
    "confidential/spdm",
    "gpu-abi",
    "resources/digits",
    "resources/guest",
    "resources/reference-values",
    "resources/report",
];
/// How cargo, rustc and clippy that run *this* script were started is nothing to the guest's build.
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

fn main() -> Result<(), Box<dyn Error>> {
    let workspace = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("..").canonicalize()?;
    for source in SOURCES {
        let source = workspace.join(source);
        // Cargo looks at a directory's files, all the way down. What is not there would be "changed"
        // each time.
        if source.exists() {
            println!("cargo::rerun-if-changed={}", source.display());
        }
    }
    println!("cargo::rerun-if-changed=build.rs");
    let image = build(&workspace)?;
    println!("cargo::rustc-env=RAVELIN_GUEST_IMAGE={}", image.display());
    Ok(())
}

fn build(workspace: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let target = PathBuf::from(env::var("OUT_DIR")?).join("guest");
    let script = workspace.join("resources/guest/guest.ld");
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
    let mut cargo = Command::new(env::var("CARGO")?);
    for variable in NOT_INHERITED {
        cargo.env_remove(variable);
    }
    cargo
        .current_dir(workspace)
        .args(["build", "--package", "ravelin-guest", "--features", "image"])
        .args(["--profile", PROFILE, "--target", TARGET, "--target-dir"])
        .arg(&target)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    let status = cargo.status().map_err(|error| format!("cannot start {cargo:?}: {error}"))?;
    if !status.success() {
        return Err(format!("the built-in guest does not build ({status}); see above").into());
    }
    Ok(target.join(TARGET).join(PROFILE).join("ravelin-guest"))
}
