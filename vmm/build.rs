//! Builds the built-in guest, for the launcher to embed, and looks whether tests have KVM.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ravelin_guest_build::detect_kvm();
    let image = ravelin_guest_build::image(&[])?;
    println!("cargo::rustc-env=RAVELIN_GUEST_IMAGE={}", image.display());
    Ok(())
}
