//! The guest's GPU driver, over small traits for bus and memory.
//!
//! [`Gpu`] is what a user of a GPU sees: open it, attest it, copy, launch. Its rooms:
//!
//! | room | what |
//! | --- | --- |
//! | [`bus`], [`memory`], [`clock`] | what the embedder gives: one PCI function, memory shared with devices, time |
//! | [`discover`] | is this a GPU, and where is its mailbox |
//! | [`doe`] | data objects through the mailbox in configuration space |
//! | [`attest`] | SPDM, evidence, verdict; nothing is sent before the verdict is good |
//! | [`session`] | the rings and keys of one session; dropped whole when anything goes wrong |
//! | [`ring`] | one engine's ring in shared memory: requests laid down, responses taken and checked |
//! | `pump` | keeps a ring full, with few doorbells, so that both ends work at the same time |
//! | `transfer`, `launch` | copies and kernels, as work for the pump |
//! | `watch` | notices a reset, a failed session, silence |
//!
//! The driver runs in a guest's user program, in tests and in ordinary processes alike: `no_std`,
//! no `unsafe`, no thread, no global. Protocols are `ravelin_spdm`'s, the judgement is
//! `ravelin_attestation`'s, records are `ravelin_channel`'s.
//!
//! # The feature `test-encryption-off`
//!
//! **Never enable it outside of the leak-scan test.** With it the driver accepts a GPU in plain
//! mode on every platform, without attestation and without encryption. It exists so that a test
//! can show that the scan for leaked plaintext does find plaintext.

#![no_std]

extern crate alloc;

#[cfg(test)]
extern crate std;

pub mod attest;
pub mod bus;
pub mod clock;
pub mod discover;
pub mod doe;
#[cfg(any(test, feature = "fuzz"))]
pub mod drive;
mod error;
mod gpu;
mod launch;
pub mod layout;
pub mod memory;
mod protection;
mod pump;
pub mod ring;
pub mod session;
#[cfg(any(test, feature = "fuzz"))]
mod testing;
mod transfer;
pub mod watch;

pub use bus::Bus;
pub use clock::Clock;
pub use error::Error;
pub use gpu::{Gpu, PATIENCE_US, Traffic};
pub use layout::Layout;
pub use memory::SharedMemory;
pub use session::Lost;
