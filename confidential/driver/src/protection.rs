//! How the bytes of one engine's ring are protected: sealed by a channel, or not at all.
//!
//! The ring does not know which: it hands over what a descriptor says and gets a sequence number
//! and a tag. Plain protection exists for a GPU in plain mode; who may use it, [`attest`] decides.
//!
//! [`attest`]: mod@crate::attest

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use ravelin_channel::{
    Binding, Direction, Error, ExportMasterSecret, Opener, Sealed, Sealer, TAG_SIZE,
};
use ravelin_gpu_abi::Engine;

const PAGE: usize = 4096;

/// Both directions of one engine.
pub(crate) enum Protection {
    /// Records of the channel; the keys go with this value.
    Sealed(Box<Sealing>),
    /// Plain bytes and tags of zero.
    Plain {
        /// Number of the next request.
        request: u64,
        /// Number of the next response.
        response: u64,
    },
}

/// The two ends of an engine's channel that are ours.
pub(crate) struct Sealing {
    /// For requests.
    sealer: Sealer,
    /// For responses.
    opener: Opener,
    /// Where ciphertext comes to be. Private: the cipher reads its output again for the tag.
    scratch: Scratch,
}

impl Protection {
    /// Records on the engine's channel, of at most `chunk` bytes.
    pub(crate) fn sealed(secret: &ExportMasterSecret, engine: Engine, chunk: usize) -> Self {
        let channel = engine as u32;
        Protection::Sealed(Box::new(Sealing {
            sealer: Sealer::new(secret, channel, Direction::GuestToGpu),
            opener: Opener::new(secret, channel, Direction::GpuToGuest),
            scratch: Scratch::new(chunk),
        }))
    }

    /// No protection.
    pub(crate) fn plain() -> Self {
        Protection::Plain { request: 1, response: 1 }
    }

    /// Protects a request. Returns what its descriptor must say and the bytes for its slot.
    pub(crate) fn protect<'a>(
        &'a mut self,
        binding: &Binding,
        bytes: &'a [u8],
    ) -> Result<(Sealed, &'a [u8]), Error> {
        match self {
            Protection::Sealed(sealing) => {
                let Sealing { sealer, scratch, .. } = &mut **sealing;
                let ciphertext = scratch.take(bytes.len())?;
                Ok((sealer.seal(binding, bytes, ciphertext)?, ciphertext))
            }
            Protection::Plain { request, .. } => {
                let sequence = *request;
                *request += 1;
                Ok((Sealed { sequence, tag: [0; TAG_SIZE] }, bytes))
            }
        }
    }

    /// Number of the only response that is acceptable next.
    pub(crate) fn next_response(&self) -> u64 {
        match self {
            Protection::Sealed(sealing) => sealing.opener.sequence(),
            Protection::Plain { response, .. } => *response,
        }
    }

    /// Opens a response's bytes in place, in a private copy.
    pub(crate) fn reveal(
        &mut self,
        sequence: u64,
        binding: &Binding,
        tag: &[u8; TAG_SIZE],
        buffer: &mut [u8],
    ) -> Result<(), Error> {
        match self {
            Protection::Sealed(sealing) => {
                sealing.opener.open_in_place(sequence, binding, tag, buffer)
            }
            Protection::Plain { response, .. } => {
                *response += 1;
                Ok(())
            }
        }
    }
}

/// Page-aligned private memory. Unaligned scratch halves the cipher's speed.
pub(crate) struct Scratch {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl Scratch {
    fn new(length: usize) -> Scratch {
        let bytes = vec![0; length + PAGE];
        let start = bytes.as_ptr().align_offset(PAGE).min(PAGE);
        Scratch { bytes, start, length }
    }

    /// The first `length` bytes.
    fn take(&mut self, length: usize) -> Result<&mut [u8], Error> {
        if length > self.length {
            return Err(Error::TooLong { length });
        }
        self.bytes.get_mut(self.start..self.start + length).ok_or(Error::TooLong { length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scratch_is_page_aligned_and_has_an_end() {
        let mut scratch = Scratch::new(5000);
        assert_eq!(scratch.take(5000).unwrap().as_ptr() as usize % PAGE, 0);
        assert_eq!(scratch.take(5000).unwrap().len(), 5000);
        assert!(scratch.take(5001).is_err());
    }
}
