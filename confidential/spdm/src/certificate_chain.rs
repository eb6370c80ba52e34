//! The certificate chain as SPDM carries it: a length, the root's digest, and the certificates.
//!
//! Finding where one certificate ends and the next begins is all that is done to them here. What a
//! certificate says, and whether to believe it, is the business of the [`ChainVerifier`] that the
//! requester's caller brings.

use alloc::vec::Vec;

use der::{Reader as _, SliceReader};
use p384::ecdsa::VerifyingKey;
use sha2::{Digest, Sha384};

use crate::wire::{DecodeError, Reader, value};

/// Bytes in front of the certificates: length, reserved, root's digest.
const HEADER_SIZE: usize = 4 + 48;

/// A certificate chain (DSP0274, "Certificate chain format"), from the root to the leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateChain {
    bytes: Vec<u8>,
    /// Where each certificate ends.
    ends: Vec<usize>,
}

impl CertificateChain {
    /// The chain of these certificates, each DER, the root's own first and the leaf last.
    pub fn new<'a>(
        certificates: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<CertificateChain, DecodeError> {
        let mut bytes = alloc::vec![0; HEADER_SIZE];
        let mut root_digest = None;
        for certificate in certificates {
            root_digest.get_or_insert_with(|| Sha384::digest(certificate));
            bytes.extend_from_slice(certificate);
        }
        let root_digest = root_digest.ok_or(DecodeError::Truncated { missing: 1 })?;
        let length = u16::try_from(bytes.len()).map_err(|_| value("Length", bytes.len() as u64))?;
        bytes.splice(..HEADER_SIZE, header(length, &root_digest.into()));
        CertificateChain::decode(&bytes)
    }

    /// The chain in exactly these bytes.
    pub fn decode(bytes: &[u8]) -> Result<CertificateChain, DecodeError> {
        let mut reader = Reader::new(bytes);
        let length = reader.u16()?;
        if usize::from(length) != bytes.len() {
            return Err(value("Length", length));
        }
        reader.skip(2)?;
        reader.array::<48>()?;
        let mut ends = Vec::new();
        while !reader.is_empty() {
            let malformed = |_| value("Certificates", (bytes.len() - reader.rest().len()) as u64);
            let certificate = SliceReader::new(reader.rest())
                .and_then(|mut der| der.tlv_bytes())
                .map_err(malformed)?;
            reader.bytes(certificate.len())?;
            ends.push(bytes.len() - reader.rest().len());
        }
        if ends.is_empty() {
            return Err(DecodeError::Truncated { missing: 1 });
        }
        Ok(CertificateChain { bytes: bytes.to_vec(), ends })
    }

    /// The chain as CERTIFICATE carries it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-384 of [`CertificateChain::as_bytes`]: what DIGESTS and the transcript know it by.
    pub fn digest(&self) -> [u8; 48] {
        Sha384::digest(&self.bytes).into()
    }

    /// SHA-384 of the root's certificate, as the chain claims; the root itself need not be in it.
    pub fn root_digest(&self) -> [u8; 48] {
        // A chain is not made without these bytes.
        let mut digest = [0; 48];
        digest.iter_mut().zip(self.bytes.iter().skip(4)).for_each(|(to, from)| *to = *from);
        digest
    }

    /// The certificates, each DER, from the root to the leaf. At least one.
    pub fn certificates(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        let starts = core::iter::once(HEADER_SIZE).chain(self.ends.iter().copied());
        // Zipped the other way round, so that the iterator knows its end.
        let ranges: Vec<_> = starts.zip(self.ends.iter().copied()).collect();
        ranges.into_iter().filter_map(|(start, end)| self.bytes.get(start..end))
    }
}

fn header(length: u16, root_digest: &[u8; 48]) -> [u8; HEADER_SIZE] {
    let mut header = [0; HEADER_SIZE];
    header[..2].copy_from_slice(&length.to_le_bytes());
    header[4..].copy_from_slice(root_digest);
    header
}

/// Why a chain is not believed: a stable code, such as "unknown-root".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Certificate chain refused: {code}")]
pub struct ChainRefused {
    /// The code, for programs.
    pub code: &'static str,
}

/// Turns a certificate chain into the key that its leaf certifies, or refuses.
///
/// Any function of the right shape is one.
pub trait ChainVerifier {
    /// The leaf's public key, once the caller's policy has accepted the chain.
    fn leaf_key(&mut self, chain: &CertificateChain) -> Result<VerifyingKey, ChainRefused>;
}

impl<F> ChainVerifier for F
where
    F: FnMut(&CertificateChain) -> Result<VerifyingKey, ChainRefused>,
{
    fn leaf_key(&mut self, chain: &CertificateChain) -> Result<VerifyingKey, ChainRefused> {
        self(chain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not certificates, but DER sequences.
    const ROOT: &[u8] = &[0x30, 2, 5, 0];
    const LEAF: &[u8] = &[0x30, 3, 2, 1, 7];

    #[test]
    fn a_chain_is_taken_apart_as_it_was_put_together() {
        let chain = CertificateChain::new([ROOT, LEAF]).unwrap();
        assert_eq!(chain.certificates().collect::<Vec<_>>(), [ROOT, LEAF]);
        assert_eq!(chain.certificates().next_back(), Some(LEAF));
        assert_eq!(chain.root_digest(), <[u8; 48]>::from(Sha384::digest(ROOT)));
        assert_eq!(CertificateChain::decode(chain.as_bytes()), Ok(chain));
    }

    #[test]
    fn a_chain_with_bytes_too_many_or_too_few_is_refused() {
        let bytes = CertificateChain::new([ROOT, LEAF]).unwrap().as_bytes().to_vec();
        for length in 0..bytes.len() {
            assert!(CertificateChain::decode(&bytes[..length]).is_err(), "{length} bytes");
            // With a length field that agrees, so that it is the certificates that betray it. Only
            // the whole root alone is a chain again.
            let mut cut = bytes[..length].to_vec();
            if length >= 2 {
                cut[..2].copy_from_slice(&(length as u16).to_le_bytes());
                let whole = length == HEADER_SIZE + ROOT.len();
                assert_eq!(CertificateChain::decode(&cut).is_ok(), whole, "{length} bytes");
            }
        }
        let mut longer = bytes;
        longer.push(0);
        assert!(CertificateChain::decode(&longer).is_err());
    }

    #[test]
    fn a_chain_without_certificates_is_refused() {
        assert!(CertificateChain::new([]).is_err());
    }
}
