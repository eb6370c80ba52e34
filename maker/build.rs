//! Looks for OpenSSL, which the tests hold the maker's certificates and lists against. Without it
//! those tests are *ignored*, which the test runner counts and shows.

use std::process::Command;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(openssl)");
    println!("cargo::rerun-if-env-changed=PATH");
    println!("cargo::rerun-if-changed=build.rs");
    match Command::new("openssl").arg("version").output() {
        Ok(output) if output.status.success() => println!("cargo::rustc-cfg=openssl"),
        _ => println!("cargo::warning=SKIPPED: no openssl program: the tests with it are ignored"),
    }
}
