//! Builds the built-in guest from `resources/guest`, for the launcher to embed.
fn main() {
    // TEMPORARY
    let out = std::env::var("OUT_DIR").unwrap();
    std::fs::write(format!("{out}/guest"), []).unwrap();
    println!("cargo::rustc-env=RAVELIN_GUEST_IMAGE={out}/guest");
}
