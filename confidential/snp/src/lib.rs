//! What AMD SEV-SNP and the GHCB standard put on the wire between guest and host.
//!
//! Layouts and codecs, shared by both ends, and the guest's end of the conversation: [`ghcb::guest`] asks,
//! [`vc`] does the work of instructions that were not executed, [`pvalidate`] keeps account of pages. All of
//! that stands on small traits: nothing here executes an instruction or touches memory. The guest's
//! supervisor and the VMM's emulated platform are built on it, and each of them treats the other's bytes as
//! hostile.
//!
//! References: *SEV-ES Guest-Hypervisor Communication Block Standardization*, AMD publication
//! 56421, revision 2.03 ("the GHCB standard"), *SEV Secure Nested Paging Firmware ABI Specification*,
//! 56860 ("the ABI"), and *AMD64 Architecture Programmer's Manual*
//! volumes 2 and 3 ("the APM").

#![no_std]

pub mod cpuid;
pub mod ghcb;
pub mod launch_digest;
pub mod msr;
pub mod pvalidate;
pub mod report;
pub mod vc;
pub mod vmsa;
