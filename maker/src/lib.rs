//! The GPU maker, offline: roots, provisioned devices, signed reference values.
//!
//! **A development maker.** Its [root seed](root::DEVELOPMENT_SEED) stands in the source for
//! everyone to read, so a device that chains to this root proves nothing to anybody outside a test.
//! What it is for: everything is derived from that seed, so anyone can make the same devices, the
//! same reference values and the same revocation lists, byte for byte, and compare.
//!
//! - [`root`]: the maker's keys;
//! - [`provision`]: device identities;
//! - [`firmware`]: the images that its GPUs boot, which it publishes reference values for;
//! - [`reference_values`]: those, signed;
//! - [`revocation`]: what it no longer vouches for, signed;
//! - [`publication`]: all files that a verifier needs.

pub mod firmware;
pub mod provision;
pub mod publication;
pub mod reference_values;
pub mod revocation;
pub mod root;

pub use firmware::{FirmwareImage, FirmwareSet};
pub use provision::DeviceIdentity;
pub use root::Maker;

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
}
