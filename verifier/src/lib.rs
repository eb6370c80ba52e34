//! The offline verifier.
//!
//! Evidence in, verdict out: each device's evidence is read, judged check by check against what
//! the relying party pins (roots, reference values, revocation lists, a policy, a time), and every
//! check is a line of the result. There is no network code here and none in what the crate depends
//! on uses it; whatever is needed comes as a file.
//!
//! The rooms: [`nvidia`] for NVIDIA GPUs, [`snp`] for AMD SEV-SNP guests, [`model`] for Ravelin's
//! own GPU, [`composite`] for a guest and its GPUs as one; [`x509`] for the certificates of all of
//! them; [`policy`], [`result`] and [`roots`]; with the feature `rego`, `rego` for rules of the relying
//! party's own. [`ear`] makes a signed attestation result of a verdict; [`cli`] turns arguments and
//! files into calls, and verdicts into text.

mod chain;
pub mod cli;
pub mod composite;
pub mod ear;
pub mod model;
pub mod nvidia;
pub mod policy;
#[cfg(feature = "rego")]
pub mod rego;
pub mod result;
pub mod roots;
pub mod snp;
pub mod x509;
