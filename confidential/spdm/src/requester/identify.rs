//! DIGESTS and CERTIFICATE: who the responder says it is.

use alloc::vec::Vec;

use super::negotiate::Connection;
use super::{Config, Error};
use crate::certificate_chain::CertificateChain;
use crate::message::certificate::{Certificate, GetCertificate};
use crate::message::digests::Digests;
use crate::message::{Codec, decode_padded};

/// Most bytes of the chain asked for at a time.
const PORTION: u16 = 1024;

pub(super) struct AwaitDigests {
    pub(super) connection: Connection,
}

pub(super) struct AwaitCertificate {
    connection: Connection,
    digest: [u8; 48],
    chain: Vec<u8>,
    /// Length of the whole chain, which the first portion tells.
    total: Option<usize>,
}

/// What a portion leads to.
pub(super) enum Progress {
    /// The request for the next one.
    More(Vec<u8>, AwaitCertificate),
    /// The chain is whole.
    Chain { connection: Connection, chain: CertificateChain },
}

impl AwaitDigests {
    pub(super) fn receive(
        self,
        config: &Config,
        answer: &[u8],
    ) -> Result<(Vec<u8>, AwaitCertificate), Error> {
        let connection = self.connection;
        let alignment = config.framing.alignment;
        let (digests, _) = decode_padded::<Digests>(answer, connection.version, (), alignment)?;
        let digest = *digests.slot(config.slot).ok_or(Error::NoChain { slot: config.slot })?;
        let next = AwaitCertificate { connection, digest, chain: Vec::new(), total: None };
        Ok((next.request(config), next))
    }
}

impl AwaitCertificate {
    fn request(&self, config: &Config) -> Vec<u8> {
        let rest = self.total.map_or(usize::MAX, |total| total - self.chain.len());
        let request = GetCertificate {
            slot: config.slot,
            // A chain that needs a higher offset is refused before.
            offset: self.chain.len() as u16,
            length: u16::try_from(rest).map_or(PORTION, |rest| rest.min(PORTION)),
        };
        request.encode(self.connection.version)
    }

    pub(super) fn receive(mut self, config: &Config, answer: &[u8]) -> Result<Progress, Error> {
        let version = self.connection.version;
        let alignment = config.framing.alignment;
        let (answer, _) = decode_padded::<Certificate>(answer, version, (), alignment)?;
        let misfit = Error::ChainPortion { offset: self.chain.len() };
        if answer.portion.is_empty()
            || answer.portion.len() > usize::from(PORTION)
            || answer.slot != config.slot
        {
            return Err(misfit);
        }
        self.chain.extend_from_slice(&answer.portion);
        let total = self.chain.len() + usize::from(answer.remainder);
        if total > usize::from(u16::MAX) || self.total.is_some_and(|expected| expected != total) {
            return Err(misfit);
        }
        self.total = Some(total);
        if answer.remainder > 0 {
            return Ok(Progress::More(self.request(config), self));
        }
        let chain = CertificateChain::decode(&self.chain)?;
        if chain.digest() != self.digest {
            return Err(Error::ChainDigest);
        }
        Ok(Progress::Chain { connection: self.connection, chain })
    }
}
