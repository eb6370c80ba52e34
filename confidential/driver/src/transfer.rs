//! The room `transfer`: bulk data to HBM and back, as records of a chunk each.

use ravelin_gpu_abi::ring::Outcome;

use crate::pump::Work;
use crate::ring::Request;

/// An HBM range that the GPU refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) hbm_address: u64,
    pub(crate) length: usize,
}

/// Bytes on their way to HBM.
pub(crate) struct CopyIn<'a> {
    hbm_address: u64,
    bytes: &'a [u8],
    chunk: usize,
    pub(crate) refused: Option<Refused>,
}

/// Bytes on their way from HBM.
pub(crate) struct CopyOut<'a> {
    hbm_address: u64,
    bytes: &'a mut [u8],
    chunk: usize,
    pub(crate) refused: Option<Refused>,
}

impl<'a> CopyIn<'a> {
    /// `None` if the range ends beyond all addresses.
    pub(crate) fn new(hbm_address: u64, bytes: &'a [u8], chunk: usize) -> Option<CopyIn<'a>> {
        hbm_address.checked_add(bytes.len() as u64)?;
        Some(CopyIn { hbm_address, bytes, chunk, refused: None })
    }
}

impl<'a> CopyOut<'a> {
    /// `None` if the range ends beyond all addresses.
    pub(crate) fn new(hbm_address: u64, bytes: &'a mut [u8], chunk: usize) -> Option<CopyOut<'a>> {
        hbm_address.checked_add(bytes.len() as u64)?;
        Some(CopyOut { hbm_address, bytes, chunk, refused: None })
    }
}

impl Work for CopyIn<'_> {
    fn count(&self) -> usize {
        self.bytes.len().div_ceil(self.chunk)
    }

    fn request(&self, index: usize) -> Request<'_> {
        let bytes = self.bytes.chunks(self.chunk).nth(index).unwrap_or_default();
        let hbm_address = self.hbm_address + (index * self.chunk) as u64;
        Request { hbm_address, length: bytes.len() as u32, bytes }
    }

    fn answer(&mut self, _: usize) -> &mut [u8] {
        &mut []
    }

    fn settle(&mut self, index: usize, outcome: Outcome) -> bool {
        if outcome != Outcome::Done && self.refused.is_none() {
            let Request { hbm_address, bytes, .. } = self.request(index);
            self.refused = Some(Refused { hbm_address, length: bytes.len() });
        }
        self.refused.is_none()
    }
}

impl Work for CopyOut<'_> {
    fn count(&self) -> usize {
        self.bytes.len().div_ceil(self.chunk)
    }

    fn request(&self, index: usize) -> Request<'_> {
        let length = self.bytes.chunks(self.chunk).nth(index).unwrap_or_default().len();
        let hbm_address = self.hbm_address + (index * self.chunk) as u64;
        Request { hbm_address, length: length as u32, bytes: &[] }
    }

    fn answer(&mut self, index: usize) -> &mut [u8] {
        self.bytes.chunks_mut(self.chunk).nth(index).unwrap_or_default()
    }

    fn settle(&mut self, index: usize, outcome: Outcome) -> bool {
        if outcome != Outcome::Done && self.refused.is_none() {
            let Request { hbm_address, length, .. } = self.request(index);
            self.refused = Some(Refused { hbm_address, length: length as usize });
        }
        self.refused.is_none()
    }
}
