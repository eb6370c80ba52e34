//! SPDM (DSP0274) and secured messages (DSP0277) as state machines without I/O.
//!
//! [`requester`] is the driver's side, [`responder`] the GPU's. Bytes go in, bytes and events come
//! out; who carries them (a PCIe mailbox, a socket, a test) is not this crate's business, nor is
//! what a certificate or a measurement ought to say. Versions 1.1 to 1.3, with one suite of
//! algorithms: ECDSA P-384, SHA-384, secp384r1, AES-256-GCM. Whoever answers with less is refused.
//!
//! | module | what |
//! | --- | --- |
//! | [`message`] | the messages' layout, one file a pair |
//! | [`requester`], [`responder`] | who may say what when |
//! | [`measurements`] | what a device says of itself, and how to check it again later |
//! | [`certificate_chain`] | how a chain travels, and the trait that judges it |
//! | [`session`] | the records of a session |
//! | [`transport`] | what carries messages |
//! | `transcript`, `signature`, `key_schedule` | what binds all of it together |
//! | `transfer` | messages too long for one piece |
//! | `suite` | the capabilities and algorithms that both sides ask for and settle on |

#![no_std]

extern crate alloc;
// What the tests share with those in `tests` knows the crate by its name.
#[cfg(test)]
extern crate self as ravelin_spdm;
#[cfg(test)]
extern crate std;

pub mod certificate_chain;
mod exchange;
#[cfg(test)]
mod golden_tests;
mod key_schedule;
pub mod measurements;
pub mod message;
pub mod requester;
pub mod responder;
pub mod session;
mod signature;
mod suite;
#[cfg(test)]
mod systematic_tests;
#[cfg(test)]
mod test_support;
mod transcript;
mod transfer;
pub mod transport;
pub mod version;
#[cfg(test)]
mod versions_tests;
mod wire;

pub use certificate_chain::{CertificateChain, ChainRefused, ChainVerifier};
pub use signature::SIGNED_SIZE;
pub use transport::Message;
pub use wire::{DecodeError, Reader};
