//! Looks whether `samples/fetch` has fetched what launch digests are compared with. Tests of what is absent
//! are *ignored*, which the test runner counts and shows.

use std::env;
use std::path::PathBuf;

fn main() {
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let samples = cache.unwrap_or_default().join("ravelin/launch-samples");
    println!("cargo::rustc-check-cfg=cfg(samples)");
    println!("cargo::rustc-env=RAVELIN_LAUNCH_SAMPLES={}", samples.display());
    let complete = samples.join("complete");
    if complete.is_file() {
        println!("cargo::rustc-cfg=samples");
        println!("cargo::rerun-if-changed={}", complete.display());
    } else {
        println!(
            "cargo::warning=SKIPPED: nothing in {}: the comparison with sev-snp-measure is ignored \
             (run launch/samples/fetch)",
            samples.display()
        );
    }
    for variable in ["XDG_CACHE_HOME", "HOME"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
}
