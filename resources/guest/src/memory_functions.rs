//! memcpy, memmove, memset, memcmp and bcmp, which the compiler calls and the host target does not
//! bring along.
//!
//! Assembler, so that no optimizer turns a loop of theirs into a call to themselves. Large blocks go
//! by `rep movsb` and `rep stosb`, which every processor with AES-NI of the last ten years does at
//! the speed of its cache.

// Assembler is unsafe code to the lint.
#![allow(unsafe_code)]

use core::arch::global_asm;

global_asm!(include_str!("memory_functions.s"));
