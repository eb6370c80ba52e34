//! The launcher.
//!
//! This crate is on the *untrusted* side: it schedules, resets and watches the guest and its GPUs,
//! and has no key of theirs.

pub mod boot;
pub mod cli;
pub mod config;
pub mod console;
pub mod control;
pub mod doctor;
pub mod doorbells;
mod footprint;
pub mod host;
pub mod interrupts;
pub mod kvm;
pub mod layout;
pub mod machine;
pub mod memory;
pub mod platform;
pub mod runtime;
pub mod vcpu;
pub mod vm;
