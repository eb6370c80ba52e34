//! The part of the guest that runs at CPL 0: as little as possible, and short.
//!
//! [`start`] builds page tables, turns on what the processor has and drops to user mode, once.
//! [`call`] serves user mode's calls. [`exception`] reports what should not happen and ends the
//! guest. Everything that takes time (zeroing, parsing, ciphers) is user mode's, since on some hosts
//! an instruction here takes a microsecond.
//!
//! Rules for code in here, kept by a test that disassembles the image: it stands in `.supervisor.*`
//! sections, calls nothing outside of them, and has no SIMD instruction.

// Page tables, system registers and privileged instructions.
#![allow(unsafe_code)]

mod apic;
mod call;
mod exception;
mod ghcb;
mod processor;
mod start;
mod tables;

use core::arch::global_asm;

global_asm!(include_str!("supervisor/entry.s"));
