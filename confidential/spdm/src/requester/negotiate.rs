//! VERSION, CAPABILITIES and ALGORITHMS: how a connection comes about.

use alloc::vec::Vec;

use super::Error;
use super::identify::AwaitDigests;
use crate::message::algorithms::AlgorithmsResponse;
use crate::message::capabilities::{CapabilitiesResponse, GetCapabilities};
use crate::message::digests::GetDigests;
use crate::message::version::VersionResponse;
use crate::message::{Codec, decode_padded};
use crate::suite;
use crate::transcript::Vca;
use crate::version::Version;

/// A connection on which version, capabilities and algorithms are agreed.
pub(super) struct Connection {
    pub(super) version: Version,
    pub(super) vca: Vca,
}

pub(super) struct AwaitVersion {
    pub(super) request: Vec<u8>,
}

pub(super) struct AwaitCapabilities {
    version: Version,
    vca: Vca,
    request: Vec<u8>,
}

pub(super) struct AwaitAlgorithms {
    version: Version,
    vca: Vca,
    request: Vec<u8>,
}

impl AwaitVersion {
    pub(super) fn receive(
        self,
        answer: &[u8],
        alignment: usize,
    ) -> Result<(Vec<u8>, AwaitCapabilities), Error> {
        let (answer, bytes) =
            decode_padded::<VersionResponse>(answer, Version::V1_0, (), alignment)?;
        let version = answer
            .entries
            .iter()
            .filter(|entry| !entry.is_alpha())
            .filter_map(|entry| Version::negotiable(entry.byte()))
            .max()
            .ok_or(Error::NoCommonVersion)?;
        let vca = Vca::new(&self.request, bytes);
        let request = GetCapabilities(suite::requester_capabilities()).encode(version);
        Ok((request.clone(), AwaitCapabilities { version, vca, request }))
    }
}

impl AwaitCapabilities {
    pub(super) fn receive(
        mut self,
        answer: &[u8],
        alignment: usize,
    ) -> Result<(Vec<u8>, AwaitAlgorithms), Error> {
        let version = self.version;
        let (CapabilitiesResponse(theirs), bytes) = decode_padded(answer, version, (), alignment)?;
        let missing = suite::RESPONDER_NEEDS.difference(theirs.flags);
        if !missing.is_empty() {
            return Err(Error::MissingCapabilities { missing });
        }
        self.vca.add(&self.request, bytes);
        let request = suite::offer().encode(version);
        Ok((request.clone(), AwaitAlgorithms { version, vca: self.vca, request }))
    }
}

impl AwaitAlgorithms {
    pub(super) fn receive(
        mut self,
        answer: &[u8],
        alignment: usize,
    ) -> Result<(Vec<u8>, AwaitDigests), Error> {
        let version = self.version;
        let (choice, bytes) = decode_padded::<AlgorithmsResponse>(answer, version, (), alignment)?;
        if let Some((field, found)) = suite::objection(&choice) {
            return Err(Error::WrongAlgorithm { field, found });
        }
        self.vca.add(&self.request, bytes);
        let connection = Connection { version, vca: self.vca };
        Ok((GetDigests.encode(version), AwaitDigests { connection }))
    }
}
