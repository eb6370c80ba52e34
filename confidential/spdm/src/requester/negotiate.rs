//! VERSION, CAPABILITIES and ALGORITHMS: how a connection comes about.

use alloc::vec::Vec;

use super::identify::AwaitDigests;
use super::link::Link;
use super::{Answered, Error, State, Turn, Wishes};
use crate::message::Codec;
use crate::message::algorithms::AlgorithmsResponse;
use crate::message::capabilities::{CapabilitiesResponse, Flags, GetCapabilities};
use crate::message::version::VersionResponse;
use crate::suite;
use crate::transcript::{IdentityLog, MeasurementLog, Vca};
use crate::transfer::Sizes;
use crate::version::Version;

/// A connection on which version, capabilities and algorithms are agreed.
pub(super) struct Connection {
    pub(super) version: Version,
    pub(super) vca: Vca,
    /// What the responder can do.
    pub(super) theirs: Flags,
    /// What both sides can do besides a session.
    pub(super) features: Flags,
    pub(super) identity: IdentityLog,
    /// Of the measurements in clear.
    pub(super) measurements: MeasurementLog,
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
    theirs: Flags,
    features: Flags,
    request: Vec<u8>,
}

impl AwaitVersion {
    pub(super) fn receive(
        self,
        wishes: &Wishes,
        link: &mut Link,
        answer: Answered<'_>,
    ) -> Result<Turn, Error> {
        let (answer, bytes) = answer.decode::<VersionResponse>(Version::V1_0, ())?;
        let version = answer
            .entries
            .iter()
            .filter(|entry| !entry.is_alpha())
            .filter_map(|entry| Version::negotiable(entry.byte()))
            .filter(|version| wishes.versions.contains(version))
            .max()
            .ok_or(Error::NoCommonVersion)?;
        link.agree_version(version);
        let vca = Vca::new(&self.request, bytes);
        let ours = suite::requester_capabilities(version, wishes.features);
        let request = GetCapabilities(ours).encode(version);
        let next = AwaitCapabilities { version, vca, request: request.clone() };
        Ok((request, State::Capabilities(next)))
    }
}

impl AwaitCapabilities {
    pub(super) fn receive(
        mut self,
        wishes: &Wishes,
        link: &mut Link,
        answer: Answered<'_>,
    ) -> Result<Turn, Error> {
        let version = self.version;
        let (CapabilitiesResponse(theirs), bytes) = answer.decode(version, ())?;
        let flags = theirs.flags.intersection(Flags::of(version));
        let missing = suite::RESPONDER_NEEDS.difference(flags);
        if !missing.is_empty() {
            return Err(Error::MissingCapabilities { missing });
        }
        // It would tell in DIGESTS whose key is whose.
        if flags.contains(Flags::MULTI_KEY_ONLY) {
            return Err(Error::NotAgreed { field: "MULTI_KEY_CAP", found: 1 });
        }
        let ours = suite::requester_capabilities(version, wishes.features);
        let features = ours.flags.intersection(flags).intersection(suite::FEATURES);
        let sizes = Sizes {
            transfer: theirs.data_transfer_size as usize,
            message: theirs.max_message_size as usize,
        };
        link.agree_sizes(sizes, features.contains(Flags::CHUNK));
        self.vca.add(&self.request, bytes);
        let request = suite::offer(version).encode(version);
        let next = AwaitAlgorithms {
            version,
            vca: self.vca,
            theirs: flags,
            features,
            request: request.clone(),
        };
        Ok((request, State::Algorithms(next)))
    }
}

impl AwaitAlgorithms {
    pub(super) fn receive(mut self, link: &mut Link, answer: Answered<'_>) -> Result<Turn, Error> {
        let version = self.version;
        let (choice, bytes) = answer.decode::<AlgorithmsResponse>(version, ())?;
        if let Some((field, found)) = suite::objection(version, &choice) {
            return Err(Error::WrongAlgorithm { field, found });
        }
        link.agree_all();
        self.vca.add(&self.request, bytes);
        let connection = Connection {
            version,
            vca: self.vca,
            theirs: self.theirs,
            features: self.features,
            identity: IdentityLog::default(),
            measurements: MeasurementLog::default(),
        };
        let (request, next) = AwaitDigests::request(connection);
        Ok((request, State::Digests(next)))
    }
}
