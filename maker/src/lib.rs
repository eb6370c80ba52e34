//! The GPU maker, offline: roots, provisioned devices, signed reference values, revocation lists.
//!
//! Two makers. One is anyone's: [`tool`], the program `ravelin-maker`, makes roots of fresh keys and
//! all that is below them. The other is the **development maker**: its
//! [root seed](root::DEVELOPMENT_SEED) stands in the source for everyone to read, so a device that
//! chains to this root proves nothing to anybody outside a test. What it is for: everything is
//! derived from that seed, so anyone can make the same devices, the same reference values and the
//! same revocation lists, byte for byte, and compare.
//!
//! - [`authority`]: roots and intermediates; [`root`]: the development maker's;
//! - [`provision`]: device identities; [`key`]: private keys in files;
//! - [`firmware`]: the images that its GPUs boot, which it publishes reference values for;
//! - [`reference_values`]: those, signed;
//! - [`revocation`]: what it no longer vouches for, signed;
//! - [`publication`]: all files that a verifier needs from the development maker.

pub mod authority;
pub mod firmware;
pub mod key;
pub mod provision;
pub mod publication;
pub mod reference_values;
pub mod revocation;
pub mod root;
pub mod tool;

pub use authority::Authority;
pub use firmware::{FirmwareImage, FirmwareSet};
pub use provision::DeviceIdentity;
pub use root::Maker;

use std::path::PathBuf;

/// The maker's name, as its devices and its reference values spell it.
pub const VENDOR: &str = "Ravelin";
/// The name of the GPU model.
pub const MODEL: &str = "APM";

/// Why the maker could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A certificate could not be issued.
    #[error("A certificate could not be issued")]
    Issue(#[from] ravelin_dice::issue::Error),
    /// A document could not be written in CBOR.
    #[error("A document could not be written in CBOR")]
    Cbor,
    /// A key cannot be had.
    #[error(transparent)]
    Key(#[from] key::Error),
    /// A file cannot be read.
    #[error("{} cannot be read", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// Bytes that are no certificates.
    #[error("The chain is none: certificates in DER, root first")]
    Chain(#[source] ravelin_dice::Error),
    /// No certificate at all.
    #[error("The chain has no certificate")]
    EmptyChain,
    /// A key and a chain, but of an authority.
    #[error("{} is no device: make one with `ravelin maker provision`", .0.display())]
    NotADevice(PathBuf),
}
