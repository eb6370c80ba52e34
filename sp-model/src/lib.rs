//! The emulated AMD-SP: what an AMD secure processor does for an SNP guest, without one.
//!
//! **It protects nothing.** It lives in the launcher's process, as the GPU's model does, and its root's
//! [seed](root::SEED) stands in the source for everyone to read. What it is for: on platform `emulated`
//! a guest finds a secrets page, asks for a report by guest message and gets one in AMD's format with a
//! chain of AMD's form, so that guests and verifiers run the code that they run on hardware. Each thing
//! that it makes says what it is: the names of its certificates, CHIP_ID, FAMILY_ID and IMAGE_ID. A
//! verifier refuses it unless it is told by name to accept it.
//!
//! - [`root`]: its keys, all from the seed;
//! - [`chip`]: what it says that it is;
//! - [`certificates`]: ARK, ASK and VCEK, and the revocation list;
//! - [`launch`]: a guest, from the first page to the last;
//! - [`guest`]: what answers that guest's messages.
//!
//! It plays hardware, so it may name keys; the VMM around it sees pages and a launch digest. One thing
//! it cannot have from hardware: on a processor the secrets page and the measured pages are encrypted as
//! they are put in. Here they go into memory that the VMM has mapped.

pub mod certificates;
pub mod chip;
pub mod guest;
pub mod launch;
pub mod root;

pub use guest::Guest;
pub use launch::Launch;

/// Why the emulated AMD-SP could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The machine gives no randomness for a guest's keys.
    #[error("no randomness for the guest's keys to the emulated AMD-SP")]
    Randomness(#[from] getrandom::Error),
    /// A certificate could not be written.
    #[error("a certificate of the emulated AMD-SP cannot be written")]
    Der(#[from] der::Error),
    /// A certificate could not be built.
    #[error("a certificate of the emulated AMD-SP cannot be built")]
    Build(#[from] x509_cert::builder::Error),
}
