//! Responses: which error the requester finds in each.

use alloc::vec::Vec;
use std::vec;

use super::{asks, flipped, lengths};
use crate::measurements::TranscriptError;
use crate::message::capabilities::Flags;
use crate::message::code::*;
use crate::message::measurements::Operation;
use crate::requester::{Ask, Error};
use crate::session::SessionError;
use crate::test_support::conversation::{Exchange, Setup};
use crate::transport::Message;
use crate::version::Version;
use crate::wire::DecodeError;

/// A kind of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// None: the byte is reserved, or nobody signs it.
    Nothing,
    /// Another version than the agreed one.
    Version,
    /// Another message than the one that is due.
    Code,
    /// Too short or too long for what it says of itself.
    Length,
    /// This field has a value that it must not have.
    Value(&'static str),
    /// This was not offered.
    Algorithm(&'static str),
    /// This was not agreed.
    NotAgreed(&'static str),
    NoVersion,
    Capability,
    ChainPortion,
    ChainDigest,
    Challenge,
    Signature,
    VerifyData,
    /// The two ends have other keys.
    Record,
    /// The measurements' signature.
    Measurements,
    Changed,
    Summary,
    Other,
}

impl Found {
    fn of(result: Result<(), Error>) -> Found {
        let Err(error) = result else { return Found::Nothing };
        match error {
            Error::Malformed(error) | Error::Measurements(TranscriptError::Malformed(error)) => {
                match error {
                    DecodeError::Version { .. } => Found::Version,
                    DecodeError::Code { .. } => Found::Code,
                    DecodeError::Truncated { .. } | DecodeError::Trailing { .. } => Found::Length,
                    DecodeError::Value { field, .. } => Found::Value(field),
                    DecodeError::Reserved { .. } => Found::Other,
                }
            }
            Error::WrongAlgorithm { field, .. } => Found::Algorithm(field),
            Error::NotAgreed { field, .. } => Found::NotAgreed(field),
            Error::NoCommonVersion => Found::NoVersion,
            Error::MissingCapabilities { .. } => Found::Capability,
            Error::ChainPortion { .. } => Found::ChainPortion,
            Error::ChainDigest => Found::ChainDigest,
            Error::ChallengeFailed => Found::Challenge,
            Error::BadSignature => Found::Signature,
            Error::BadVerifyData => Found::VerifyData,
            Error::Session(SessionError::Forged) => Found::Record,
            Error::Measurements(TranscriptError::BadSignature) => Found::Measurements,
            Error::Measurements(TranscriptError::Changed) => Found::Changed,
            Error::SummaryMismatch => Found::Summary,
            _ => Found::Other,
        }
    }
}

/// What a flipped bit in this byte may lead to. `proof` is what fails if the next signature does.
fn expected(version: Version, response: &[u8], at: usize, proof: Found) -> Vec<Found> {
    use Found::{Length, NotAgreed, Nothing, Value};
    let algorithm = |field| vec![Found::Algorithm(field)];
    let v1_2 = version >= Version::V1_2;
    // Only a challenge signs what was said of the identity.
    let reserved = if proof == Found::Challenge { proof } else { Nothing };
    match (response[1], at) {
        (_, 0) => vec![Found::Version],
        // One of its bits makes it an ERROR, of a code that does not exist.
        (VENDOR_DEFINED_RESPONSE, 1) => vec![Found::Code, Value("ErrorCode")],
        (_, 1) => vec![Found::Code],
        (VERSION, 5) => vec![Length],
        (VERSION, 6..) => vec![Found::NoVersion, proof],
        (CAPABILITIES, 8..12) => {
            let keys = NotAgreed("MULTI_KEY_CAP");
            vec![Value("Flags"), Value("MaxSPDMmsgSize"), Found::Capability, keys, proof]
        }
        (CAPABILITIES, 12..) => {
            vec![Value("DataTransferSize"), Value("MaxSPDMmsgSize"), proof]
        }
        (ALGORITHMS, 2) => vec![Length, Value("Length")],
        (ALGORITHMS, 4 | 5) => vec![Value("Length")],
        (ALGORITHMS, 6) => algorithm("MeasurementSpecificationSel"),
        (ALGORITHMS, 7) if v1_2 => algorithm("OtherParamsSelection"),
        (ALGORITHMS, 8..12) => algorithm("MeasurementHashAlgo"),
        (ALGORITHMS, 12..16) => algorithm("BaseAsymSel"),
        (ALGORITHMS, 16..20) => algorithm("BaseHashSel"),
        (ALGORITHMS, 31) if version == Version::V1_3 => algorithm("MELspecificationSel"),
        // Counts move what is behind them.
        (ALGORITHMS, 32 | 33) => vec![Length, Value("AlgType"), Value("AlgCount")],
        (ALGORITHMS, 36..) => match at % 4 {
            0 => vec![Value("AlgType"), Found::Algorithm("KeySchedule")],
            1 => vec![Length, Value("AlgType"), Value("AlgCount")],
            _ => algorithm(["DHE", "AEAD", "KeySchedule"][(at - 36) / 4]),
        },
        (DIGESTS, 3) => vec![Length],
        (DIGESTS, 4..) => vec![Found::ChainDigest],
        (CERTIFICATE, 2) => vec![Value("SlotID"), Found::ChainPortion, reserved],
        (CERTIFICATE, 4 | 5) => vec![Length],
        // More is asked for, and something else comes.
        (CERTIFICATE, 6 | 7) => vec![Found::ChainPortion, Found::Code],
        (CERTIFICATE, 8..) => {
            vec![Value("Length"), Value("Certificates"), Length, Found::ChainDigest]
        }
        (DIGESTS, 2) | (CERTIFICATE, 3) => vec![reserved],
        (CHALLENGE_AUTH, 2) => vec![Value("SlotID"), Found::Challenge],
        (CHALLENGE_AUTH, 132 | 133) => vec![Length, Value("OpaqueDataLength")],
        (CHALLENGE_AUTH, _) => vec![Found::Challenge],
        (KEY_EXCHANGE_RSP, 184 | 185) => vec![Length, Value("OpaqueDataLength")],
        (KEY_EXCHANGE_RSP, at) if at >= response.len() - 48 => vec![Found::VerifyData],
        (KEY_EXCHANGE_RSP, _) => vec![Found::Signature],
        (FINISH_RSP, _) => vec![Found::Record],
        (HEARTBEAT_ACK | END_SESSION_ACK, _) => vec![Nothing],
        (VENDOR_DEFINED_RESPONSE, 4 | 5) => vec![Value("StandardID")],
        (VENDOR_DEFINED_RESPONSE, 6 | 9 | 10) => vec![Length],
        (VENDOR_DEFINED_RESPONSE, 7 | 8) => vec![Value("VendorID")],
        (VENDOR_DEFINED_RESPONSE, _) => vec![Nothing],
        (KEY_UPDATE_ACK, 2) => vec![Value("Key Operation"), NotAgreed("Tag")],
        (KEY_UPDATE_ACK, _) => vec![NotAgreed("Tag")],
        (MEASUREMENTS, _) => {
            let fields = ["SlotID", "Index", "MeasurementSpecification", "MeasurementSize"];
            let more = ["DMTFSpecMeasurementValueType", "DMTFSpecMeasurementValueSize"];
            let last = ["OpaqueDataLength", "RequesterContext", "NumberOfBlocks"];
            let values = [&fields[..], &more, &last].concat();
            let proofs = [Length, proof, Found::Changed];
            values.into_iter().map(Value).chain(proofs).collect()
        }
        _ => vec![proof],
    }
}

/// What the requester makes of a conversation in which one response says something else.
fn outcome(setup: &Setup, recorded: &[Exchange], at: usize, plain: &[u8]) -> Result<(), Error> {
    let mut near = setup.near();
    for (number, exchange) in recorded.iter().enumerate() {
        near.next();
        let mut answer = exchange.response.carried.clone();
        if number == at {
            answer = match near.secured_session() {
                Some(session) => Message::Secured(session.peer().seal(plain).unwrap()),
                None => Message::Clear(plain.to_vec()),
            };
        }
        near.receive(&answer)?;
    }
    Ok(())
}

/// Every response of this conversation, changed in every way.
fn change_each(setup: &Setup, which: impl Fn(u8) -> bool, proof: Found) {
    let recorded = setup.record();
    let version = setup.version;
    for (at, exchange) in recorded.iter().enumerate() {
        let plain = exchange.response.plain.as_slice();
        if !which(plain[1]) {
            continue;
        }
        let found = |changed: &[u8]| Found::of(outcome(setup, &recorded, at, changed));
        let what =
            |how: &str, place: usize| std::format!("{version:?} {:#04x} {how} {place}", plain[1]);
        for length in lengths(plain.len()) {
            assert_eq!(found(&plain[..length]), Found::Length, "{}", what("cut at", length));
        }
        for extra in [1, 2, 64] {
            let longer = [plain, &[0x5a; 64][..extra]].concat();
            assert_eq!(found(&longer), Found::Length, "{}", what("longer by", extra));
        }
        for (other, exchange) in recorded.iter().enumerate() {
            let instead = exchange.response.plain.as_slice();
            let due = match (instead[0] == plain[0], instead[1] == plain[1]) {
                (false, _) => Found::Version,
                (true, false) => Found::Code,
                (true, true) => continue,
            };
            assert_eq!(found(instead), due, "{}", what("replaced by number", other));
        }
        for (byte, bit) in flipped(version, plain.len()) {
            let mut changed = plain.to_vec();
            changed[byte] ^= 1 << bit;
            let found = found(&changed);
            // Measurements that are not signed are not evidence.
            let unsigned = plain[1] == MEASUREMENTS && exchange.request.plain[2] & 1 == 0;
            let unsigned = unsigned && found == Found::Nothing;
            let expected = expected(version, plain, byte, proof);
            let right = unsigned || expected.contains(&found);
            assert!(right, "{}: {found:?}, not {expected:?}", what("flipped at", byte * 8 + bit));
        }
    }
}

fn change_all(version: Version) {
    let handshake = [VERSION, CAPABILITIES, ALGORITHMS, DIGESTS, CERTIFICATE];
    let bare = Setup::bare(version);
    change_each(&bare, |code| handshake.contains(&code), Found::Signature);
    change_each(&bare, |code| code == KEY_EXCHANGE_RSP || code == FINISH_RSP, Found::Signature);
    change_each(&bare, |code| code == MEASUREMENTS, Found::Measurements);

    let challenge = || Setup { challenge: true, ..Setup::bare(version) };
    let identity = [DIGESTS, CERTIFICATE, CHALLENGE_AUTH];
    change_each(&challenge(), |code| identity.contains(&code), Found::Challenge);
    let before = [(Operation::One(2), false), (Operation::All, true)].into();
    let measured = Setup { before, ..Setup::bare(version) };
    change_each(&measured, |code| code == MEASUREMENTS, Found::Measurements);

    let asks = asks(version).into_iter().filter(|ask| !matches!(ask, Ask::Measurements { .. }));
    let features = Flags::HBEAT | Flags::KEY_UPD;
    let session = Setup { features, asks: asks.collect(), ..Setup::bare(version) };
    let acks = [HEARTBEAT_ACK, KEY_UPDATE_ACK, VENDOR_DEFINED_RESPONSE, END_SESSION_ACK];
    change_each(&session, |code| acks.contains(&code), Found::Signature);
}

#[test]
fn each_response_of_1_1_is_judged() {
    change_all(Version::V1_1);
}

#[test]
fn each_response_of_1_2_is_judged() {
    change_all(Version::V1_2);
}

#[test]
fn each_response_of_1_3_is_judged() {
    change_all(Version::V1_3);
}
