//! Builds the built-in guest, for the launcher to embed, and looks whether tests have KVM and kernel
//! headers that know SNP.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ravelin_guest_build::detect_kvm();
    detect_snp_headers();
    let image = if env::var_os("CARGO_CFG_FUZZING").is_some() {
        // Fuzz targets start no guest, and its image takes longer to build than all of them.
        let none = PathBuf::from(env::var("OUT_DIR")?).join("no-guest");
        fs::write(&none, [])?;
        none
    } else {
        ravelin_guest_build::image(&[])?
    };
    println!("cargo::rustc-env=RAVELIN_GUEST_IMAGE={}", image.display());
    Ok(())
}

/// Sets the configuration `snp_headers`, and where they are, for the test that compares structures
/// with those of the kernel's headers: the installed ones, or those that `resources/kernel/headers`
/// has fetched.
fn detect_snp_headers() {
    const PLACE: &str = "RAVELIN_SNP_HEADERS";
    println!("cargo::rustc-check-cfg=cfg(snp_headers)");
    println!("cargo::rerun-if-env-changed={PLACE}");
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cache")));
    let places = [
        env::var_os(PLACE).map(PathBuf::from),
        Some("/usr/include/x86_64-linux-gnu".into()),
        Some("/usr/include".into()),
        cache.map(|cache| cache.join("ravelin/kernel/headers")),
    ];
    let knows = |place: &PathBuf| {
        fs::read_to_string(place.join("asm/kvm.h"))
            .is_ok_and(|header| header.contains("KVM_SEV_SNP_ENABLE_REQ_CERTS"))
    };
    match places.into_iter().flatten().find(knows) {
        Some(place) => {
            println!("cargo::rerun-if-changed={}", place.join("asm/kvm.h").display());
            println!("cargo::rustc-env={PLACE}={}", place.display());
            println!("cargo::rustc-cfg=snp_headers");
        }
        // Not looked for again in each build: that would build the launcher each time.
        None => println!(
            "cargo::warning=SKIPPED: no kernel headers that know SNP: run resources/kernel/headers, \
             then touch vmm/build.rs"
        ),
    }
}
