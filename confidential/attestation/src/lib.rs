//! Evidence, reference values, policy, verdict: what a relying party checks before it trusts a GPU.
//!
//! Evidence is what a GPU says: a certificate chain and signed measurements ([`evidence`]). What it
//! is held against comes from the maker ([`reference_values`], [`revocation`]), both verified
//! against one pinned root, and from the relying party ([`policy`]). [`verify`](mod@verify) puts
//! them together; what comes out is a [`verdict`], which is trust with the facts that it rests on,
//! or a refusal with a code that never changes its meaning. Who wants to see every step hands
//! [`verify::examine`] something that takes [`check`]s as they are made.
//!
//! [`composite`] is what ties the evidence of a guest's GPUs to the guest's own report.
//!
//! The crate is `no_std` and has no I/O: the guest's driver uses it with documents that are part of
//! its measured image, a relying party with documents of its own choice.

#![no_std]

extern crate alloc;

pub mod check;
mod codes;
pub mod composite;
pub mod corim;
pub mod evidence;
pub mod policy;
pub mod reference_values;
pub mod revocation;
pub mod verdict;
pub mod verify;

pub use check::{Check, Finding, Outcome};
pub use evidence::{Evidence, Freshness};
pub use policy::Policy;
pub use ravelin_dice::{Clock, TrustAnchor, UnixTime};
pub use reference_values::ReferenceValues;
pub use revocation::RevocationList;
pub use verdict::{Code, Verdict};
pub use verify::{all_trusted, examine, verify, verify_all, verify_chain};
