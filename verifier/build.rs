//! Looks where the tests' real samples are: NVIDIA's evidence that is not for the repository
//! (`RAVELIN_EVIDENCE`, or `shared/evidence` beside the project), and what `samples/fetch` fetches.
//! Tests of what is absent are *ignored*, which the test runner counts and shows.

use std::env;
use std::path::PathBuf;

fn main() {
    let beside = env::var_os("CARGO_MANIFEST_DIR")
        .map(|crate_| PathBuf::from(crate_).join("../../shared/evidence"));
    let evidence = env::var_os("RAVELIN_EVIDENCE").map(PathBuf::from).or(beside);
    look("evidence", evidence, "hopper-535.86.09-report.hex", "set RAVELIN_EVIDENCE");

    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let samples = cache.map(|cache| cache.join("ravelin/nv-local-gpu-verifier-2.7.3"));
    look("samples", samples, "hopperAttestationReport.txt", "run verifier/samples/fetch");

    for variable in ["RAVELIN_EVIDENCE", "XDG_CACHE_HOME", "HOME"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
}

/// Tells the tests the folder, and sets the configuration `name` where it has this file.
fn look(name: &str, folder: Option<PathBuf>, file: &str, remedy: &str) {
    let folder = folder.unwrap_or_default();
    println!("cargo::rustc-check-cfg=cfg({name})");
    println!("cargo::rustc-env=RAVELIN_{}_FOLDER={}", name.to_uppercase(), folder.display());
    if folder.join(file).is_file() {
        println!("cargo::rustc-cfg={name}");
        println!("cargo::rerun-if-changed={}", folder.join(file).display());
    } else {
        println!(
            "cargo::warning=SKIPPED: no {file} in {}: the tests of it are ignored ({remedy})",
            folder.display()
        );
    }
}
