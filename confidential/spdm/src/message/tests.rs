//! Layouts, byte by byte, as DSP0274 1.2 gives them, and strictness.

use std::vec;

use proptest::prelude::*;

use super::algorithms::{AlgorithmsResponse, NegotiateAlgorithms};
use super::capabilities::{CapabilitiesResponse, Flags, GetCapabilities};
use super::certificate::{Certificate, GetCertificate};
use super::digests::{Digests, GetDigests};
use super::end_session::{EndSession, EndSessionAck};
use super::error::{ErrorCode, ErrorResponse};
use super::finish::{Finish, FinishResponse};
use super::key_exchange::{KeyExchange, KeyExchangeResponse, SummaryType};
use super::measurements::{GetMeasurements, MeasurementsResponse, Operation, SignatureRequest};
use super::version::{GetVersion, VersionResponse};
use super::*;
use crate::measurements::{Block, Value, ValueType};
use crate::suite;
use crate::version::VersionNumber;

const V: Version = Version::V1_2;

/// The message has this layout, and no other of its prefixes or extensions.
fn assert_layout<M>(message: &M, context: M::Context, version: Version, layout: &[u8])
where
    M: Codec + PartialEq + core::fmt::Debug,
{
    assert_eq!(message.encode(version), layout);
    assert_eq!(decode::<M>(layout, version, context).as_ref(), Ok(message));
    for length in 0..layout.len() {
        // ERROR's extended data has no length of its own.
        let shorter = decode::<M>(&layout[..length], version, context);
        assert!(shorter.is_err() || M::CODE == code::ERROR, "{length} bytes are enough");
    }
    if M::CODE != code::ERROR {
        let longer = [layout, &[0]].concat();
        let trailing = Err(DecodeError::Trailing { extra: 1 });
        assert_eq!(decode::<M>(&longer, version, context), trailing);
    }
}

#[test]
fn version() {
    assert_layout(&GetVersion, (), Version::V1_0, &[0x10, 0x84, 0, 0]);
    let response = VersionResponse { entries: vec![VersionNumber(0x1200), VersionNumber(0x1130)] };
    let layout = [0x10, 0x04, 0, 0, 0, 2, 0x00, 0x12, 0x30, 0x11];
    assert_layout(&response, (), Version::V1_0, &layout);
    assert!(decode::<VersionResponse>(&[0x10, 4, 0, 0, 0, 0], Version::V1_0, ()).is_err());
}

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
fn capabilities_that_contradict_themselves_are_refused() {
    // Offset of a field, and a value that goes with nothing else.
    for (offset, value) in [
        (8, 0x00),  // a key exchange, but nothing to protect
        (9, 0x00),  // protection, but no way to keys
        (8, 0xde),  // measurements with and without signature
        (9, 0x0e),  // two kinds of shared key at once
        (12, 41),   // a message of no size
        (16, 0xff), // a smaller message in chunks than in one piece
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

#[test]
fn digests_and_certificates() {
    assert_layout(&GetDigests, (), V, &[0x12, 0x81, 0, 0]);
    let response = Digests { slot_mask: 0b101, digests: vec![[7; 48], [9; 48]] };
    let layout = [&[0x12, 0x01, 0, 5][..], &[7; 48], &[9; 48]].concat();
    assert_layout(&response, (), V, &layout);
    assert_eq!(response.slot(0), Some(&[7; 48]));
    assert_eq!(response.slot(1), None);
    assert_eq!(response.slot(2), Some(&[9; 48]));
    assert_eq!(response.slot(8), None);

    let request = GetCertificate { slot: 2, slot_size: false, offset: 0x0102, length: 0x0304 };
    assert_layout(&request, (), V, &[0x12, 0x82, 2, 0, 2, 1, 4, 3]);
    let response = Certificate { slot: 2, portion: vec![5, 6, 7], remainder: 0x0809 };
    assert_layout(&response, (), V, &[0x12, 0x02, 2, 0, 3, 0, 9, 8, 5, 6, 7]);
}

#[test]
fn key_exchange() {
    let request = KeyExchange {
        summary: SummaryType::All,
        slot: 1,
        requester_session_id: 0x1234,
        session_policy: 1,
        random: [2; 32],
        exchange_data: [3; 96],
        opaque: opaque::encode_supported(V, &opaque::SECURED_MESSAGE_VERSIONS),
    };
    let layout = [
        &[0x12, 0xe4, 0xff, 1, 0x34, 0x12, 1, 0][..],
        &[2; 32],
        &[3; 96],
        // 16 bytes: one element of the DMTF's, 7 bytes of data, 1 of padding.
        &[16, 0, 1, 0, 0, 0, 0, 0, 7, 0, 1, 1, 2, 0x00, 0x11, 0x00, 0x10, 0],
    ]
    .concat();
    assert_layout(&request, (), V, &layout);

    let response = KeyExchangeResponse {
        heartbeat_period: 4,
        responder_session_id: 0x5678,
        mutual_authentication: 0,
        requester_slot: 0,
        random: [5; 32],
        exchange_data: [6; 96],
        summary: Some([7; 48]),
        opaque: opaque::encode_selection(V, VersionNumber(0x1100)),
        signature: [8; 96],
        verify_data: [9; 48],
    };
    let layout = [
        &[0x12, 0x64, 4, 0, 0x78, 0x56, 0, 0][..],
        &[5; 32],
        &[6; 96],
        &[7; 48],
        &[12, 0, 1, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0x00, 0x11],
        &[8; 96],
        &[9; 48],
    ]
    .concat();
    assert_layout(&response, SummaryType::All, V, &layout);
    let unsummarized = KeyExchangeResponse { summary: None, ..response };
    let layout = [&layout[..136], &layout[184..]].concat();
    assert_layout(&unsummarized, SummaryType::None, V, &layout);
}

#[test]
fn opaque_data_of_others_is_read_over() {
    let mut opaque = opaque::encode_supported(V, &[VersionNumber(0x1100)]);
    opaque[0] = 3;
    // An element of the PCI-SIG's with a vendor id, and one of the DMTF's that nobody knows.
    opaque.extend_from_slice(&[3, 2, 0xaa, 0xbb, 1, 0, 0xcc, 0]);
    opaque.extend_from_slice(&[0, 0, 2, 0, 1, 9, 0, 0]);
    assert_eq!(opaque::decode_supported(V, &opaque), Ok(vec![VersionNumber(0x1100)]));
    assert_eq!(opaque::decode_selection(V, &opaque), Ok(None));
    assert_eq!(opaque::decode_supported(V, &[]), Ok(vec![]));
    // Which of two lists would be meant?
    let mut twice = opaque::encode_supported(V, &[VersionNumber(0x1100)]);
    twice[0] = 2;
    twice.extend_from_within(4..);
    assert!(opaque::decode_supported(V, &twice).is_err());
}

#[test]
fn finish_and_end_session() {
    let layout = [&[0x12, 0xe5, 0, 0][..], &[1; 48]].concat();
    assert_layout(&Finish { verify_data: [1; 48] }, (), V, &layout);
    assert_layout(&FinishResponse, (), V, &[0x12, 0x65, 0, 0]);
    assert_layout(&EndSession { clear_negotiated_state: true }, (), V, &[0x12, 0xec, 1, 0]);
    assert_layout(&EndSessionAck, (), V, &[0x12, 0x6c, 0, 0]);
}

#[test]
fn measurements() {
    let signature = Some(SignatureRequest { nonce: [1; 32], slot: 3 });
    let request =
        GetMeasurements { operation: Operation::All, raw: true, signature, context: [0; 8] };
    let layout = [&[0x12, 0xe0, 3, 0xff][..], &[1; 32], &[3]].concat();
    assert_layout(&request, (), V, &layout);
    let request = GetMeasurements {
        operation: Operation::One(5),
        raw: false,
        signature: None,
        context: [0; 8],
    };
    assert_layout(&request, (), V, &[0x12, 0xe0, 0, 5]);

    let response = MeasurementsResponse {
        count: 0,
        slot: 3,
        content_changed: 2,
        blocks: vec![
            Block { index: 1, value_type: ValueType::ImmutableRom, value: Value::Digest([4; 48]) },
            Block {
                index: 6,
                value_type: ValueType::HardwareConfiguration,
                value: Value::Raw(vec![5, 6]),
            },
        ],
        nonce: [7; 32],
        opaque: vec![8],
        context: [0; 8],
        signature: Some([9; 96]),
    };
    let layout = [
        &[0x12, 0x60, 0, 0x23, 2, 64, 0, 0][..],
        &[1, 1, 51, 0, 0, 48, 0],
        &[4; 48],
        &[6, 1, 5, 0, 0x82, 2, 0, 5, 6],
        &[7; 32],
        &[1, 0, 8],
        &[9; 96],
    ]
    .concat();
    assert_layout(&response, true, V, &layout);
}

#[test]
fn measurement_blocks_out_of_line_are_refused() {
    let block =
        |index| Block { index, value_type: ValueType::ImmutableRom, value: Value::Digest([4; 48]) };
    let response = MeasurementsResponse {
        count: 0,
        slot: 0,
        content_changed: 0,
        blocks: vec![block(1), block(2)],
        nonce: [7; 32],
        opaque: vec![],
        context: [0; 8],
        signature: None,
    };
    let good = response.encode(V);
    assert!(decode::<MeasurementsResponse>(&good, V, false).is_ok());
    // Number of blocks, record length, index, specification, sizes, type, second index.
    for (at, wrong) in [
        (4, 1),
        (4, 3),
        (5, 109),
        (5, 111),
        (8, 0),
        (8, 0xff),
        (9, 2),
        (10, 50),
        (12, 8),
        (13, 47),
        (63, 1),
    ] {
        let mut bytes = good.clone();
        bytes[at] = wrong;
        let result = decode::<MeasurementsResponse>(&bytes, V, false);
        assert!(result.is_err(), "byte {at} may be {wrong}");
    }
}

#[test]
fn errors() {
    assert_layout(&ErrorResponse::from(ErrorCode::InvalidRequest), (), V, &[0x12, 0x7f, 1, 0]);
    assert_layout(&ErrorResponse::unsupported(0x83), (), V, &[0x12, 0x7f, 7, 0x83]);
    let layout = [0x12, 0x7f, 0x0d, 0, 4, 3, 2, 1];
    assert_layout(&ErrorResponse::response_too_large(0x0102_0304), (), V, &layout);
}

#[test]
fn reserved_fields_are_ignored() {
    fn assert_reserved<M: Codec + PartialEq + core::fmt::Debug>(
        message: &M,
        context: M::Context,
        reserved: &[usize],
    ) {
        for at in reserved {
            let mut bytes = message.encode(V);
            bytes[*at] = 0xf0;
            let found = decode::<M>(&bytes, V, context);
            assert_eq!(found.as_ref(), Ok(message), "byte {at}");
        }
    }
    let request = GetCapabilities(suite::requester_capabilities(V, Flags::empty()));
    assert_reserved(&request, (), &[2, 3, 4, 6, 7]);
    assert_reserved(&suite::offer(V), (), &[3, 16, 27, 30, 31]);
    let choice = suite::choose(V, &suite::offer(V));
    assert_reserved(&choice, (), &[3, 20, 31, 34, 35]);
    assert_reserved(&GetDigests, (), &[2, 3]);
    assert_reserved(&Digests { slot_mask: 0, digests: vec![] }, (), &[2]);
    assert_reserved(&Certificate { slot: 0, portion: vec![], remainder: 0 }, (), &[2, 3]);
    assert_reserved(&FinishResponse, (), &[2, 3]);
    assert_reserved(&EndSession { clear_negotiated_state: false }, (), &[2, 3]);
    assert_reserved(&EndSessionAck, (), &[2, 3]);
}

/// Whatever is accepted says no more than what would be sent, and is as long.
fn assert_canonical<M: Codec + PartialEq + core::fmt::Debug>(bytes: &[u8], context: M::Context) {
    if let Ok(message) = decode::<M>(bytes, V, context) {
        let canonical = message.encode(V);
        assert_eq!(canonical.len(), bytes.len());
        assert_eq!(decode::<M>(&canonical, V, context), Ok(message));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_bytes_do_no_harm(
        parameters in prop_oneof![Just([0, 0]), any::<[u8; 2]>()],
        body in prop_oneof![
            prop::collection::vec(prop_oneof![Just(0), any::<u8>()], 0..300),
            prop::collection::vec(any::<u8>(), 0..300),
        ],
    ) {
        let with = |code: u8| [&[0x12, code], &parameters[..], &body].concat();
        assert_canonical::<GetCapabilities>(&with(code::GET_CAPABILITIES), ());
        assert_canonical::<CapabilitiesResponse>(&with(code::CAPABILITIES), ());
        assert_canonical::<GetDigests>(&with(code::GET_DIGESTS), ());
        assert_canonical::<Digests>(&with(code::DIGESTS), ());
        assert_canonical::<GetCertificate>(&with(code::GET_CERTIFICATE), ());
        assert_canonical::<Certificate>(&with(code::CERTIFICATE), ());
        assert_canonical::<KeyExchange>(&with(code::KEY_EXCHANGE), ());
        assert_canonical::<KeyExchangeResponse>(&with(code::KEY_EXCHANGE_RSP), SummaryType::Tcb);
        assert_canonical::<Finish>(&with(code::FINISH), ());
        assert_canonical::<GetMeasurements>(&with(code::GET_MEASUREMENTS), ());
        assert_canonical::<MeasurementsResponse>(&with(code::MEASUREMENTS), false);
        assert_canonical::<ErrorResponse>(&with(code::ERROR), ());
        let _ = decode::<NegotiateAlgorithms>(&with(code::NEGOTIATE_ALGORITHMS), V, ());
        let _ = decode::<AlgorithmsResponse>(&with(code::ALGORITHMS), V, ());
        let _ = opaque::decode_supported(V, &body);
        let _ = opaque::decode_selection(V, &body);
        let _ = crate::CertificateChain::decode(&body);
    }
}
