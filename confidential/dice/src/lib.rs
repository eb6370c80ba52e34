//! The certificate profile of a GPU's identity: DICE and SPDM extensions, written and read.
//!
//! Four kinds of certificate, all ECDSA P-384 with SHA-384:
//!
//! ```text
//! maker's root ─┬─> (intermediate)* ─> device identity ─> attestation key   a chain, see [chain]
//!               └─> reference-value signer                                   see [signer]
//! ```
//!
//! - The **device identity** is fixed when the device is made. It is an embedded certificate
//!   authority (DICE's ECA), and carries SPDM's hardware-identity OID.
//! - The **attestation key** is made anew at each boot and endorsed by the device identity. Its
//!   certificate is the leaf that SPDM presents (alias certificate model of DSP0274 1.2) and
//!   carries a [`TcbInfo`]: which firmware booted, at which security version, with what open.
//!
//! Reading is always there, `no_std` and strict. Writing is behind the feature `issue`, for the
//! maker and for the GPU's root of trust. What a certificate's content is *worth* (is this firmware
//! known, is this identity revoked) is not decided here but in `ravelin-attestation`.

#![no_std]

extern crate alloc;

pub mod certificate;
pub mod chain;
pub mod device_info;
pub mod firmware;
#[cfg(feature = "issue")]
pub mod issue;
pub mod oid;
pub mod security;
pub mod signer;
pub mod spdm_extension;
pub mod tcb_info;
pub mod time;

pub use certificate::{CertificateId, Error, Rule};
pub use chain::{Chain, Leaf, TrustAnchor};
pub use device_info::DeviceInfo;
pub use firmware::{Component, Digest, firmware_id};
pub use security::{Mode, SecurityConfiguration};
pub use tcb_info::{OperationalFlags, TcbInfo};
pub use time::{Clock, UnixTime};
