//! The built-in guest.
//!
//! A freestanding program that needs no kernel, no firmware and no disk. This library is its user
//! part, at CPL 3: what the machine is ([`machine`]) and what it is for ([`workload`]). The binary
//! adds what makes a program of it: the supervisor at CPL 0, entry, allocator and panic handler.
//!
//! The library also builds for an ordinary process, where its logic is tested; only the image may
//! execute [`call`]s and port I/O.

#![no_std]

extern crate alloc;

pub mod call;
pub mod clock;
pub mod machine;
pub mod pci;
pub mod ports;
pub mod processor;
pub mod report;
pub mod rng;
pub mod secure_processor;
pub mod shared;
pub mod start_info;
pub mod workload;

pub use ravelin_workload::parameters;
