//! Codes and bits against the numbers that DSP0274 prints.

use crate::message::algorithms::*;
use crate::message::capabilities::{Flags, MIN_DATA_TRANSFER_SIZE};
use crate::message::code::*;
use crate::version::{Version, VersionNumber};

// Tables "SPDM request codes" and "SPDM response codes".
#[test]
fn codes() {
    for (code, number) in [
        (DIGESTS, 0x01),
        (CERTIFICATE, 0x02),
        (CHALLENGE_AUTH, 0x03),
        (VERSION, 0x04),
        (CHUNK_SEND_ACK, 0x05),
        (CHUNK_RESPONSE, 0x06),
        (MEASUREMENTS, 0x60),
        (CAPABILITIES, 0x61),
        (ALGORITHMS, 0x63),
        (KEY_EXCHANGE_RSP, 0x64),
        (FINISH_RSP, 0x65),
        (HEARTBEAT_ACK, 0x68),
        (KEY_UPDATE_ACK, 0x69),
        (END_SESSION_ACK, 0x6c),
        (VENDOR_DEFINED_RESPONSE, 0x7e),
        (ERROR, 0x7f),
        (GET_DIGESTS, 0x81),
        (GET_CERTIFICATE, 0x82),
        (CHALLENGE, 0x83),
        (GET_VERSION, 0x84),
        (CHUNK_SEND, 0x85),
        (CHUNK_GET, 0x86),
        (GET_MEASUREMENTS, 0xe0),
        (GET_CAPABILITIES, 0xe1),
        (NEGOTIATE_ALGORITHMS, 0xe3),
        (KEY_EXCHANGE, 0xe4),
        (FINISH, 0xe5),
        (HEARTBEAT, 0xe8),
        (KEY_UPDATE, 0xe9),
        (END_SESSION, 0xec),
        (VENDOR_DEFINED_REQUEST, 0xfe),
        (RESPOND_IF_READY, 0xff),
    ] {
        assert_eq!(code, number);
    }
}

// Tables "Flag fields definitions for the Requester" and "for the Responder".
#[test]
fn capability_flags() {
    for (bit, flag) in [
        (0, Flags::CACHE),
        (1, Flags::CERT),
        (2, Flags::CHAL),
        (3, Flags::MEAS_NO_SIG),
        (4, Flags::MEAS_SIG),
        (5, Flags::MEAS_FRESH),
        (6, Flags::ENCRYPT),
        (7, Flags::MAC),
        (8, Flags::MUT_AUTH),
        (9, Flags::KEY_EX),
        (10, Flags::PSK),
        (11, Flags::PSK_WITH_CONTEXT),
        (12, Flags::ENCAP),
        (13, Flags::HBEAT),
        (14, Flags::KEY_UPD),
        (15, Flags::HANDSHAKE_IN_THE_CLEAR),
        (16, Flags::PUB_KEY_ID),
        (17, Flags::CHUNK),
        (18, Flags::ALIAS_CERT),
        (19, Flags::SET_CERT),
        (20, Flags::CSR),
        (21, Flags::CERT_INSTALL_RESET),
        (22, Flags::EP_INFO_NO_SIG),
        (23, Flags::EP_INFO_SIG),
        (24, Flags::MEL),
        (25, Flags::EVENT),
        (26, Flags::MULTI_KEY_ONLY),
        (27, Flags::MULTI_KEY_NEGOTIATED),
        (28, Flags::GET_KEY_PAIR_INFO),
        (29, Flags::SET_KEY_PAIR_INFO),
    ] {
        assert_eq!(flag.bits(), 1 << bit);
    }
    assert_eq!(Flags::of(Version::V1_1).bits(), 0x0001_ffff);
    assert_eq!(Flags::of(Version::V1_2).bits(), 0x003f_ffff);
    assert_eq!(Flags::of(Version::V1_3).bits(), 0x3fff_ffff);
    assert_eq!(MIN_DATA_TRANSFER_SIZE, 42);
}

// Tables of NEGOTIATE_ALGORITHMS and ALGORITHMS, and "Algorithm structure".
#[test]
fn algorithm_bits() {
    assert_eq!(MEASUREMENT_SPECIFICATION_DMTF, 0x01);
    assert_eq!(OPAQUE_DATA_FORMAT_1, 0x02);
    assert_eq!(ECDSA_P384, 0x0000_0080);
    assert_eq!(SHA_384, 0x0000_0002);
    assert_eq!(MEASUREMENT_SHA_384, 0x0000_0004);
    assert_eq!(SECP384R1, 0x0010);
    assert_eq!(AES_256_GCM, 0x0002);
    assert_eq!(SPDM_KEY_SCHEDULE, 0x0001);
    let kinds = [
        AlgorithmType::Dhe,
        AlgorithmType::Aead,
        AlgorithmType::RequesterAsymmetric,
        AlgorithmType::KeySchedule,
    ];
    assert_eq!(kinds.map(|kind| kind as u8), [2, 3, 4, 5]);
}

#[test]
fn versions() {
    let entries = Version::NEGOTIABLE.map(VersionNumber::from);
    assert_eq!(entries.map(|entry| entry.0), [0x1100, 0x1200, 0x1300]);
    assert_eq!(entries.map(VersionNumber::byte), [0x11, 0x12, 0x13]);
    assert!(VersionNumber(0x1301).is_alpha() && !VersionNumber(0x1310).is_alpha());
}
