//! Builds the built-in guest, for the launcher to embed, and looks whether tests have KVM.

use std::path::PathBuf;
use std::{env, fs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ravelin_guest_build::detect_kvm();
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
