//! The nested rig: runs Ravelin's binaries and tests on a real KVM, real VFIO and a real IOMMU, in
//! a machine that QEMU emulates.
//!
//! One program with two faces. On the host it is `cargo rig`: it builds, packs an initramfs,
//! boots it, and reports. In the machine the same file is `/init`: it loads modules, runs the
//! jobs of its [`protocol::Plan`] and says what happened. So both always speak the same protocol.
//! What a suite consists of is in [`suites`], how to use the rig in `docs/rig.md`.

mod artifacts;
mod cli;
mod host_programs;
mod image;
mod inside;
mod kernel;
mod libraries;
mod libtest;
mod machine;
mod modules;
mod protocol;
mod report;
mod run;
mod suites;
mod workspace;

use std::process::ExitCode;

fn main() -> ExitCode {
    if rustix::process::getpid().is_init() { inside::main() } else { cli::main() }
}
