//! SEV-SNP on real hardware: KVM's ioctls in the order that a launch wants, and what a running guest
//! asks for.
//!
//! [`kernel`] is the thin layer of ioctls, so that a recording fake can stand under everything else.
//! [`launch`] is the order as a type-state, [`image`] what goes through it, [`firmware`] the AMD-SP behind
//! `/dev/sev`, [`cpuid`] what the AMD-SP lets a guest believe of its processor, [`certificates`] what a
//! guest may ask of the operator. Memory is [`memory`](crate::memory)'s; whether a host can do all this is
//! [`doctor`](crate::doctor)'s to say.
//!
//! No machine that develops Ravelin has SNP: `docs/snp-on-hardware.md` lists what was never run.

pub mod certificates;
pub(crate) mod cpuid;
pub mod firmware;
pub mod image;
pub(crate) mod kernel;
pub mod launch;

#[cfg(test)]
mod headers;
#[cfg(test)]
pub(crate) mod recorder;
