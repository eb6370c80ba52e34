//! Builds the guest whose driver does not insist on encryption, for the leak scan alone, and looks
//! whether tests have KVM.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ravelin_guest_build::detect_kvm();
    let image = ravelin_guest_build::image(&["test-encryption-off"])?;
    println!("cargo::rustc-env=RAVELIN_GUEST_WITHOUT_ENCRYPTION={}", image.display());
    Ok(())
}
