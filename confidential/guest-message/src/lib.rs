//! Guest messages: what a guest and the AMD secure processor (AMD-SP) tell each other past the
//! hypervisor.
//!
//! *SEV Secure Nested Paging Firmware ABI Specification*, AMD publication 56860 ("the ABI"),
//! SNP_GUEST_REQUEST. The hypervisor carries a page there and a page back; each is sealed under one of
//! four keys that only the two ends have, so that it can withhold a message, but neither read, change,
//! repeat nor make one.
//!
//! | module | what |
//! | --- | --- |
//! | [`guest`] | the guest's end: asks, and believes one answer |
//! | [`firmware`] | the AMD-SP's end: answers each question once |
//! | [`header`], `sealed` | the message's page, and its cipher |
//! | [`report`], [`derived_key`] | the two questions that Ravelin's guests ask |
//! | [`secrets`] | the page on which a guest finds its keys |
//!
//! No I/O and no allocation. How the pages travel is the GHCB protocol's business (`ravelin-snp`), what
//! a report says is laid out there too. The keys are why this is a crate of its own: a VMM knows
//! `ravelin-snp` and must not be able to name them.

#![no_std]

#[cfg(test)]
extern crate std;

pub mod derived_key;
pub mod firmware;
pub mod guest;
pub mod header;
pub mod report;
mod sealed;
pub mod secrets;
mod vmpck;

pub use vmpck::{VMPCKS, Vmpck};

use header::MessageType;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The page that a message travels in.
pub type Page = [u8; ravelin_snp::ghcb::PAGE_SIZE];

/// Most bytes of a payload: a page without the header.
pub const MAX_PAYLOAD: usize = ravelin_snp::ghcb::PAGE_SIZE - header::SIZE;

/// What a message says, in the clear. It may hold a derived key, so it wipes itself.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Payload {
    bytes: [u8; MAX_PAYLOAD],
    length: usize,
}

impl Payload {
    /// A payload of so many zeros, to be filled; [`MAX_PAYLOAD`] at most.
    pub fn zeros(length: usize) -> Payload {
        Payload { bytes: [0; MAX_PAYLOAD], length: length.min(MAX_PAYLOAD) }
    }

    /// A payload of these bytes; `None` where they are more than [`MAX_PAYLOAD`].
    pub fn new(bytes: &[u8]) -> Option<Payload> {
        let mut payload = Payload::zeros(bytes.len());
        if bytes.len() != payload.length {
            return None;
        }
        payload.as_mut_slice().copy_from_slice(bytes);
        Some(payload)
    }

    /// Its bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Its bytes, to be filled.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.length).unwrap_or_default()
    }
}

/// What a guest may ask of the AMD-SP.
pub trait Request: Sized {
    /// What the AMD-SP answers.
    type Response: Response;
    /// Type of the message.
    const TYPE: MessageType;

    /// The payload.
    fn encode(&self) -> Payload;

    /// What is asked in this payload. `None` for what the ABI does not allow.
    fn decode(payload: &[u8]) -> Option<Self>;
}

/// What the AMD-SP may answer.
pub trait Response: Sized {
    /// Type of the message.
    const TYPE: MessageType;

    /// The payload of an answer that grants what was asked.
    fn encode(&self) -> Payload;

    /// What is answered in this payload.
    ///
    /// # Errors
    /// It is a refusal, or none of what the ABI allows.
    fn decode(payload: &[u8]) -> Result<Self, NoAnswer>;

    /// The payload of a refusal.
    fn refusal(status: u32) -> Payload;
}

/// An authentic answer that does not grant what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// STATUS is not 0.
    #[error("the AMD-SP refuses, with status {0:#x}")]
    Refused(u32),
    /// The payload is not what the ABI describes.
    #[error("the AMD-SP's answer is not what its specification describes")]
    Malformed,
}

/// The `N` bytes at `at`, where they are.
fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Puts bytes at `at`; nothing happens where they do not fit.
fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..).and_then(|rest| rest.get_mut(..value.len())) {
        place.copy_from_slice(value);
    }
}

/// Whether these bytes are there and all zero.
fn is_zero(bytes: &[u8], range: core::ops::Range<usize>) -> bool {
    bytes.get(range).is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0))
}
