//! The part of the guest that runs at CPL 0: as little as possible, and short.
//!
//! [`start`] builds page tables, turns on what the processor has and drops to user mode, once.
//! [`call`] serves user mode's calls, [`vc`] does what SNP's processors leave to the guest, and [`ghcb`] is
//! the way to the hypervisor for both. [`exception`] reports what should not happen and ends the guest.
//! Everything that takes time (zeroing, parsing, ciphers) is user mode's: on hosts without
//! hardware virtualization an instruction here is emulated, and takes a microsecond.
//!
//! Two rules for code in here. It stands in `.supervisor.*` sections and calls nothing outside of
//! them, or the image does not link: helpers are `inline(always)`. And it gives the compiler no reason for
//! SIMD, which such a host does not emulate and which would change the registers of whoever a #VC interrupts:
//! tables and frames are written word by word, volatile, and nothing is copied or zeroed in blocks. A test
//! of the launcher's reads the image for it.

// Page tables, system registers and privileged instructions.
#![allow(unsafe_code)]

mod apic;
mod call;
mod exception;
mod ghcb;
mod processor;
mod start;
mod tables;
mod vc;

use core::arch::global_asm;

global_asm!(include_str!("supervisor/entry.s"));
