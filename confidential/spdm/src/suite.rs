//! What both sides can do and settle on: one set of capabilities, one algorithm of each kind.
//!
//! The responder picks from any offer, and picks nothing where there is nothing to pick; the
//! requester takes nothing less than what it offered, so a downgrade has nothing to go down to.

use crate::message::algorithms::{
    AES_256_GCM, Algorithm, AlgorithmType, AlgorithmsResponse, ECDSA_P384, MEASUREMENT_SHA_384,
    MEASUREMENT_SPECIFICATION_DMTF, NegotiateAlgorithms, OPAQUE_DATA_FORMAT_1, SECP384R1, SHA_384,
    SPDM_KEY_SCHEDULE,
};
use crate::message::capabilities::{Capabilities, Flags};
use crate::version::Version;

/// Most bytes of a message either way, in one piece.
pub(crate) const DATA_TRANSFER_SIZE: u32 = 4096;

/// Most bytes of a message that is put together from chunks.
pub(crate) const MAX_MESSAGE_SIZE: u32 = 0x1_1000;

/// What a session needs on either side.
pub(crate) const SESSION_FLAGS: Flags = Flags::KEY_EX.union(Flags::ENCRYPT).union(Flags::MAC);

/// What the requester needs the responder to do.
pub(crate) const RESPONDER_NEEDS: Flags = SESSION_FLAGS.union(Flags::CERT).union(Flags::MEAS_SIG);

/// What either side can do besides, if it wants to.
pub(crate) const FEATURES: Flags = Flags::HBEAT.union(Flags::KEY_UPD).union(Flags::CHUNK);

/// The requester's capabilities with some of the [`FEATURES`].
pub(crate) fn requester_capabilities(version: Version, features: Flags) -> Capabilities {
    capabilities(version, SESSION_FLAGS.union(features.intersection(FEATURES)))
}

/// The leaf of a device's chain is an alias certificate, made anew at each boot.
pub(crate) fn responder_capabilities(version: Version) -> Capabilities {
    let besides = FEATURES.union(Flags::CHAL).union(Flags::ALIAS_CERT);
    capabilities(version, RESPONDER_NEEDS.union(besides))
}

fn capabilities(version: Version, flags: Flags) -> Capabilities {
    let flags = flags.intersection(Flags::of(version));
    let chunks = flags.contains(Flags::CHUNK);
    Capabilities {
        // A second: ample for three operations on P-384.
        timeout_exponent: 20,
        flags,
        data_transfer_size: DATA_TRANSFER_SIZE,
        max_message_size: if chunks { MAX_MESSAGE_SIZE } else { DATA_TRANSFER_SIZE },
    }
}

/// What each algorithm structure is settled to. The requester proves no identity.
fn settled(kind: AlgorithmType) -> u16 {
    match kind {
        AlgorithmType::Dhe => SECP384R1,
        AlgorithmType::Aead => AES_256_GCM,
        AlgorithmType::RequesterAsymmetric => 0,
        AlgorithmType::KeySchedule => SPDM_KEY_SCHEDULE,
    }
}

/// The format of opaque data that there is to agree on; 1.1 has one only.
fn opaque_format(version: Version) -> u8 {
    if version >= Version::V1_2 { OPAQUE_DATA_FORMAT_1 } else { 0 }
}

/// The requester's offer.
pub(crate) fn offer(version: Version) -> NegotiateAlgorithms {
    let kinds = [AlgorithmType::Dhe, AlgorithmType::Aead, AlgorithmType::KeySchedule];
    NegotiateAlgorithms {
        measurement_specification: MEASUREMENT_SPECIFICATION_DMTF,
        other_parameters: opaque_format(version),
        base_asymmetric: ECDSA_P384,
        base_hash: SHA_384,
        log_specification: 0,
        extended: (0, 0),
        algorithms: kinds
            .map(|kind| Algorithm { kind, supported: settled(kind), extended: 0 })
            .to_vec(),
    }
}

/// The responder's choice from an offer: zero where the offer lacks what can be picked.
pub(crate) fn choose(version: Version, offer: &NegotiateAlgorithms) -> AlgorithmsResponse {
    let measurement_specification =
        offer.measurement_specification & MEASUREMENT_SPECIFICATION_DMTF;
    AlgorithmsResponse {
        measurement_specification,
        other_parameters: offer.other_parameters & opaque_format(version),
        measurement_hash: if measurement_specification != 0 { MEASUREMENT_SHA_384 } else { 0 },
        base_asymmetric: offer.base_asymmetric & ECDSA_P384,
        base_hash: offer.base_hash & SHA_384,
        log_specification: 0,
        extended: (0, 0),
        algorithms: offer
            .algorithms
            .iter()
            .map(|offered| Algorithm {
                kind: offered.kind,
                supported: offered.supported & settled(offered.kind),
                extended: 0,
            })
            .collect(),
    }
}

/// What a choice allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    /// A hash and a signature are agreed, without which there is nothing to say.
    pub(crate) identity: bool,
    /// A format of measurements is agreed.
    pub(crate) measurements: bool,
    /// All that a session needs is agreed.
    pub(crate) sessions: bool,
}

impl Settled {
    pub(crate) fn of(version: Version, choice: &AlgorithmsResponse) -> Settled {
        let identity = choice.base_asymmetric != 0 && choice.base_hash != 0;
        let kinds = [AlgorithmType::Dhe, AlgorithmType::Aead, AlgorithmType::KeySchedule];
        let complete = kinds.into_iter().all(|kind| selected(choice, kind) != 0);
        Settled {
            identity,
            measurements: identity && choice.measurement_specification != 0,
            sessions: identity && complete && choice.other_parameters == opaque_format(version),
        }
    }
}

/// The first field in which a responder's choice is not what was offered, and its value.
pub(crate) fn objection(
    version: Version,
    choice: &AlgorithmsResponse,
) -> Option<(&'static str, u32)> {
    let expected = choose(version, &offer(version));
    // Reserved in 1.1.
    let other_parameters = if version >= Version::V1_2 { choice.other_parameters } else { 0 };
    let fields = [
        (
            "MeasurementSpecificationSel",
            choice.measurement_specification.into(),
            expected.measurement_specification.into(),
        ),
        ("OtherParamsSelection", other_parameters.into(), expected.other_parameters.into()),
        ("MeasurementHashAlgo", choice.measurement_hash, expected.measurement_hash),
        ("BaseAsymSel", choice.base_asymmetric, expected.base_asymmetric),
        ("BaseHashSel", choice.base_hash, expected.base_hash),
        ("MELspecificationSel", choice.log_specification.into(), 0),
        ("ExtAsymSelCount", choice.extended.0.into(), 0),
        ("ExtHashSelCount", choice.extended.1.into(), 0),
        ("DHE", selected(choice, AlgorithmType::Dhe), SECP384R1.into()),
        ("AEAD", selected(choice, AlgorithmType::Aead), AES_256_GCM.into()),
        ("KeySchedule", selected(choice, AlgorithmType::KeySchedule), SPDM_KEY_SCHEDULE.into()),
    ];
    let wrong = fields.into_iter().find(|(_, found, expected)| found != expected);
    if let Some((field, found, _)) = wrong {
        return Some((field, found));
    }
    (choice.algorithms != expected.algorithms)
        .then_some(("AlgStructure", choice.algorithms.len() as u32))
}

fn selected(choice: &AlgorithmsResponse, kind: AlgorithmType) -> u32 {
    let found = choice.algorithms.iter().find(|algorithm| algorithm.kind == kind);
    found.map_or(0, |algorithm| algorithm.supported.into())
}
