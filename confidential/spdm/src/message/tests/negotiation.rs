//! GET_VERSION to ALGORITHMS, byte by byte.

use std::vec;

use super::*;
use crate::message::algorithms::NegotiateAlgorithms;
use crate::message::capabilities::{Capabilities, CapabilitiesResponse, Flags, GetCapabilities};
use crate::message::version::{GetVersion, VersionResponse};
use crate::suite;
use crate::version::VersionNumber;

// DSP0274 1.1 to 1.3, "GET_VERSION request and VERSION response messages": always version 1.0. An
// entry is major, minor, update and alpha from the top, little-endian.
#[test]
fn version() {
    assert_layout(&GetVersion, (), Version::V1_0, &[0x10, 0x84, 0, 0]);
    let response = VersionResponse { entries: vec![VersionNumber(0x1200), VersionNumber(0x1130)] };
    let layout = [0x10, 0x04, 0, 0, 0, 2, 0x00, 0x12, 0x30, 0x11];
    assert_layout(&response, (), Version::V1_0, &layout);
    assert!(decode::<VersionResponse>(&[0x10, 4, 0, 0, 0, 0], Version::V1_0, ()).is_err());
}

// "GET_CAPABILITIES request and CAPABILITIES response messages": CTExponent at offset 5, Flags at 8;
// from 1.2 on DataTransferSize at 12 and MaxSPDMmsgSize at 16.
#[test]
fn capabilities() {
    let request = GetCapabilities(suite::requester_capabilities(V, Flags::empty()));
    let layout = [0x12, 0xe1, 0, 0, 0, 20, 0, 0, 0xc0, 0x02, 0, 0, 0, 0x10, 0, 0, 0, 0x10, 0, 0];
    assert_layout(&request, (), V, &layout);
    let response = CapabilitiesResponse(suite::responder_capabilities(V));
    // Maximum size with chunks: 0x11000.
    let layout = [0x12, 0x61, 0, 0, 0, 20, 0, 0, 0xd6, 0x62, 6, 0, 0, 0x10, 0, 0, 0, 0x10, 1, 0];
    assert_layout(&response, (), V, &layout);
}

#[test]
fn capabilities_of_1_1_have_no_sizes() {
    let request = GetCapabilities(Capabilities {
        timeout_exponent: 20,
        flags: Flags::KEY_EX | Flags::ENCRYPT | Flags::MAC,
        data_transfer_size: 0xffff,
        max_message_size: 0xffff,
    });
    let layout = [0x11, 0xe1, 0, 0, 0, 20, 0, 0, 0xc0, 0x02, 0, 0];
    assert_layout(&request, (), Version::V1_1, &layout);
    let ours = CapabilitiesResponse(suite::responder_capabilities(Version::V1_1));
    // CERT, CHAL, MEAS_SIG, ENCRYPT, MAC; KEY_EX, HBEAT, KEY_UPD; no CHUNK and no ALIAS_CERT.
    let layout = [0x11, 0x61, 0, 0, 0, 20, 0, 0, 0xd6, 0x62, 0, 0];
    assert_eq!(ours.encode(Version::V1_1), layout);
}

#[test]
fn capabilities_that_contradict_themselves_are_refused() {
    // Offset of a field, and a value that goes with nothing else.
    for (offset, value) in [
        (8, 0x00),  // a key exchange, but nothing to protect
        (9, 0x00),  // protection, but no way to keys
        (8, 0xde),  // measurements with and without signature
        (9, 0x0e),  // two kinds of shared key at once
        (12, 41),   // a message of no size
        (16, 0xff), // a smaller message in chunks than in one piece
        (10, 0x04), // a longer message in chunks than in one piece, but no chunks
    ] {
        let mut bytes = CapabilitiesResponse(suite::responder_capabilities(V)).encode(V);
        bytes[offset] = value;
        if offset >= 12 {
            bytes[offset + 1..offset + 3].fill(0);
        }
        assert!(decode::<CapabilitiesResponse>(&bytes, V, ()).is_err(), "{offset}: {value:#x}");
    }
}

#[test]
fn fields_of_two_flags_are_never_both() {
    for both in [
        Flags::EP_INFO_NO_SIG | Flags::EP_INFO_SIG,
        Flags::MULTI_KEY_ONLY | Flags::MULTI_KEY_NEGOTIATED,
    ] {
        let mut ours = suite::responder_capabilities(Version::V1_3);
        ours.flags |= both;
        let bytes = CapabilitiesResponse(ours).encode(Version::V1_3);
        assert!(decode::<CapabilitiesResponse>(&bytes, Version::V1_3, ()).is_err(), "{both:?}");
        // Reserved before, and ignored there.
        let bytes = CapabilitiesResponse(ours).encode(Version::V1_2);
        assert!(decode::<CapabilitiesResponse>(&bytes, Version::V1_2, ()).is_ok(), "{both:?}");
    }
}

// "NEGOTIATE_ALGORITHMS request and ALGORITHMS response messages": Length at 4; the request has
// ExtAsymCount at 28, the response at 32; a structure is AlgType, AlgCount 0x20, AlgSupported.
#[test]
fn algorithms() {
    let request = suite::offer(V);
    let layout = [
        &[0x12, 0xe3, 3, 0, 44, 0, 1, 2, 0x80, 0, 0, 0, 2, 0, 0, 0][..],
        &[0; 16],
        &[2, 0x20, 0x10, 0, 3, 0x20, 2, 0, 5, 0x20, 1, 0],
    ]
    .concat();
    assert_layout(&request, (), V, &layout);
    let response = suite::choose(V, &request);
    let layout = [
        &[0x12, 0x63, 3, 0, 48, 0, 1, 2, 4, 0, 0, 0, 0x80, 0, 0, 0, 2, 0, 0, 0][..],
        &[0; 16],
        &[2, 0x20, 0x10, 0, 3, 0x20, 2, 0, 5, 0x20, 1, 0],
    ]
    .concat();
    assert_layout(&response, (), V, &layout);
}

#[test]
fn algorithms_of_1_1_have_no_opaque_format() {
    let request = suite::offer(Version::V1_1);
    let bytes = request.encode(Version::V1_1);
    assert_eq!(bytes[..8], [0x11, 0xe3, 3, 0, 44, 0, 1, 0]);
    let response = suite::choose(Version::V1_1, &request).encode(Version::V1_1);
    assert_eq!(response[..8], [0x11, 0x63, 3, 0, 48, 0, 1, 0]);
}

// DSP0274 1.3: MELspecification is the last byte of the request's fixed fields, at 31, but
// MELspecificationSel precedes the counts in the response, at 31 too.
#[test]
fn algorithms_of_1_3_tell_the_measurement_log() {
    let mut offer = suite::offer(Version::V1_3);
    offer.log_specification = 1;
    let bytes = offer.encode(Version::V1_3);
    assert_eq!(bytes[28..32], [0, 0, 0, 1]);
    assert_eq!(decode(&bytes, Version::V1_3, ()), Ok(offer.clone()));
    let mut choice = suite::choose(Version::V1_3, &offer);
    assert_eq!(choice.log_specification, 0);
    choice.log_specification = 1;
    let bytes = choice.encode(Version::V1_3);
    assert_eq!(bytes[31..36], [1, 0, 0, 0, 0]);
    assert_eq!(decode(&bytes, Version::V1_3, ()), Ok(choice));
}

#[test]
fn an_offer_of_everything_is_read_and_the_suite_picked() {
    // As the DMTF's requester offers: four structures, several algorithms each, extended ones too.
    let layout = [
        &[0x12, 0xe3, 4, 0, 60, 0, 1, 3, 0x90, 0, 0, 0, 3, 0, 0, 0][..],
        &[0; 12],
        &[1, 1, 0, 0, 9, 9, 9, 9, 8, 8, 8, 8],
        &[2, 0x20, 0x1f, 0, 3, 0x20, 7, 0, 4, 0x20, 0x8f, 0, 5, 0x21, 1, 0],
    ]
    .concat();
    let mut whole = layout.clone();
    whole.extend_from_slice(&[7; 4]);
    assert_eq!(
        decode::<NegotiateAlgorithms>(&layout, V, ()),
        Err(DecodeError::Truncated { missing: 4 })
    );
    let offer: NegotiateAlgorithms = decode(&whole, V, ()).unwrap();
    let choice = suite::choose(V, &offer);
    let picked: Vec<_> = choice.algorithms.iter().map(|one| one.supported).collect();
    assert_eq!(picked, [0x10, 2, 0, 1]);
    assert_eq!((choice.base_asymmetric, choice.base_hash), (0x80, 2));
}

#[test]
fn algorithm_structures_out_of_order_or_repeated_are_refused() {
    let good = suite::offer(V).encode(V);
    for (at, kind) in [(32, 3), (36, 2), (36, 5), (40, 6), (40, 1)] {
        let mut bytes = good.clone();
        bytes[at] = kind;
        assert!(decode::<NegotiateAlgorithms>(&bytes, V, ()).is_err(), "{kind} at {at}");
    }
}
