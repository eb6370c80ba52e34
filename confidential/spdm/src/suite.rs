//! What both sides can do and settle on: one set of capabilities, one algorithm of each kind.
//!
//! The responder picks from any offer; the requester takes nothing less than what it offered, so a
//! downgrade has nothing to go down to.

use crate::message::algorithms::{
    AES_256_GCM, Algorithm, AlgorithmType, AlgorithmsResponse, ECDSA_P384, MEASUREMENT_SHA_384,
    MEASUREMENT_SPECIFICATION_DMTF, NegotiateAlgorithms, OPAQUE_DATA_FORMAT_1, SECP384R1, SHA_384,
    SPDM_KEY_SCHEDULE,
};
use crate::message::capabilities::{Capabilities, Flags};

/// Most bytes of a message either way.
pub(crate) const DATA_TRANSFER_SIZE: u32 = 4096;

/// What a session needs on either side.
pub(crate) const SESSION_FLAGS: Flags = Flags::KEY_EX.union(Flags::ENCRYPT).union(Flags::MAC);

/// What the requester needs the responder to do.
pub(crate) const RESPONDER_NEEDS: Flags = SESSION_FLAGS.union(Flags::CERT).union(Flags::MEAS_SIG);

pub(crate) fn requester_capabilities() -> Capabilities {
    capabilities(SESSION_FLAGS)
}

/// The leaf of a device's chain is an alias certificate, made anew at each boot.
pub(crate) fn responder_capabilities() -> Capabilities {
    capabilities(RESPONDER_NEEDS.union(Flags::ALIAS_CERT))
}

fn capabilities(flags: Flags) -> Capabilities {
    Capabilities {
        // A second: ample for three operations on P-384.
        timeout_exponent: 20,
        flags,
        data_transfer_size: DATA_TRANSFER_SIZE,
        max_message_size: DATA_TRANSFER_SIZE,
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

/// The requester's offer.
pub(crate) fn offer() -> NegotiateAlgorithms {
    let kinds = [AlgorithmType::Dhe, AlgorithmType::Aead, AlgorithmType::KeySchedule];
    NegotiateAlgorithms {
        measurement_specification: MEASUREMENT_SPECIFICATION_DMTF,
        other_parameters: OPAQUE_DATA_FORMAT_1,
        base_asymmetric: ECDSA_P384,
        base_hash: SHA_384,
        extended: (0, 0),
        algorithms: kinds
            .map(|kind| Algorithm { kind, supported: settled(kind), extended: 0 })
            .to_vec(),
    }
}

/// The responder's choice from an offer; `None` where the offer lacks something.
pub(crate) fn choose(offer: &NegotiateAlgorithms) -> Option<AlgorithmsResponse> {
    let offers = offer.measurement_specification & MEASUREMENT_SPECIFICATION_DMTF != 0
        && offer.other_parameters & OPAQUE_DATA_FORMAT_1 != 0
        && offer.base_asymmetric & ECDSA_P384 != 0
        && offer.base_hash & SHA_384 != 0
        && [AlgorithmType::Dhe, AlgorithmType::Aead, AlgorithmType::KeySchedule].iter().all(
            |kind| {
                offer
                    .algorithms
                    .iter()
                    .any(|offered| offered.kind == *kind && offered.supported & settled(*kind) != 0)
            },
        );
    offers.then(|| AlgorithmsResponse {
        measurement_specification: MEASUREMENT_SPECIFICATION_DMTF,
        other_parameters: OPAQUE_DATA_FORMAT_1,
        measurement_hash: MEASUREMENT_SHA_384,
        base_asymmetric: ECDSA_P384,
        base_hash: SHA_384,
        extended: (0, 0),
        algorithms: offer
            .algorithms
            .iter()
            .map(|offered| Algorithm {
                kind: offered.kind,
                supported: settled(offered.kind),
                extended: 0,
            })
            .collect(),
    })
}

/// The first field in which a responder's choice is not what was offered, and its value.
pub(crate) fn objection(choice: &AlgorithmsResponse) -> Option<(&'static str, u32)> {
    let expected = choose(&offer())?;
    let fields = [
        (
            "MeasurementSpecificationSel",
            choice.measurement_specification.into(),
            expected.measurement_specification.into(),
        ),
        ("OtherParamsSelection", choice.other_parameters.into(), expected.other_parameters.into()),
        ("MeasurementHashAlgo", choice.measurement_hash, expected.measurement_hash),
        ("BaseAsymSel", choice.base_asymmetric, expected.base_asymmetric),
        ("BaseHashSel", choice.base_hash, expected.base_hash),
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
