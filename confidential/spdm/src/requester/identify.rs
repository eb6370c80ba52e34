//! DIGESTS and CERTIFICATE: who the responder says it is.

use alloc::vec::Vec;

use super::negotiate::Connection;
use super::{Answered, Config, Error, State, Turn};
use crate::certificate_chain::CertificateChain;
use crate::message::Codec;
use crate::message::capabilities::Flags;
use crate::message::certificate::{Certificate, GetCertificate};
use crate::message::digests::{Digests, GetDigests};

/// Most bytes of the chain asked for at a time.
const PORTION: u16 = 1024;

/// In chunks, the whole chain is asked for at once.
const WHOLE: u16 = u16::MAX;

pub(super) struct AwaitDigests {
    connection: Connection,
    request: Vec<u8>,
}

pub(super) struct AwaitCertificate {
    connection: Connection,
    digest: [u8; 48],
    chain: Vec<u8>,
    /// Length of the whole chain, which the first portion tells.
    total: Option<usize>,
    request: Vec<u8>,
}

/// What a portion leads to.
pub(super) enum Progress {
    /// The request for the next one.
    More(Vec<u8>, AwaitCertificate),
    /// The chain is whole.
    Chain { connection: Connection, chain: CertificateChain },
}

impl AwaitDigests {
    pub(super) fn request(connection: Connection) -> (Vec<u8>, AwaitDigests) {
        let request = GetDigests.encode(connection.version);
        (request.clone(), AwaitDigests { connection, request })
    }

    pub(super) fn receive(self, config: &Config, answer: Answered<'_>) -> Result<Turn, Error> {
        let mut connection = self.connection;
        let (digests, bytes) = answer.decode::<Digests>(connection.version, ())?;
        connection.identity.add(&connection.vca, &self.request, bytes);
        let digest = *digests.slot(config.slot).ok_or(Error::NoChain { slot: config.slot })?;
        let mut next = AwaitCertificate {
            connection,
            digest,
            chain: Vec::new(),
            total: None,
            request: Vec::new(),
        };
        Ok((next.ask(config), State::Certificate(next)))
    }
}

impl AwaitCertificate {
    fn portion(&self) -> u16 {
        if self.connection.features.contains(Flags::CHUNK) { WHOLE } else { PORTION }
    }

    fn ask(&mut self, config: &Config) -> Vec<u8> {
        let rest = self.total.map_or(usize::MAX, |total| total - self.chain.len());
        let portion = self.portion();
        let request = GetCertificate {
            slot: config.slot,
            slot_size: false,
            // A chain that needs a higher offset is refused before.
            offset: self.chain.len() as u16,
            length: u16::try_from(rest).map_or(portion, |rest| rest.min(portion)),
        };
        self.request = request.encode(self.connection.version);
        self.request.clone()
    }

    pub(super) fn receive(
        mut self,
        config: &Config,
        answer: Answered<'_>,
    ) -> Result<Progress, Error> {
        let version = self.connection.version;
        let (answer, bytes) = answer.decode::<Certificate>(version, ())?;
        let Connection { identity, vca, .. } = &mut self.connection;
        identity.add(vca, &self.request, bytes);
        let misfit = Error::ChainPortion { offset: self.chain.len() };
        if answer.portion.is_empty()
            || answer.portion.len() > usize::from(self.portion())
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
            return Ok(Progress::More(self.ask(config), self));
        }
        let chain = CertificateChain::decode(&self.chain)?;
        if chain.digest() != self.digest {
            return Err(Error::ChainDigest);
        }
        Ok(Progress::Chain { connection: self.connection, chain })
    }
}
