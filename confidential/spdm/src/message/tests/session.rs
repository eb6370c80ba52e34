//! KEY_EXCHANGE to END_SESSION, byte by byte.

use std::vec;

use super::*;
use crate::message::end_session::{EndSession, EndSessionAck};
use crate::message::finish::{Finish, FinishResponse};
use crate::message::heartbeat::{Heartbeat, HeartbeatAck};
use crate::message::key_exchange::{KeyExchange, KeyExchangeResponse, SummaryType};
use crate::message::key_update::{KeyUpdate, KeyUpdateAck, Operation};
use crate::version::VersionNumber;

// DSP0274, "KEY_EXCHANGE request and KEY_EXCHANGE_RSP response messages": summary in Param1, slot in
// Param2, ReqSessionID at 4, SessionPolicy at 6, RandomData at 8, ExchangeData at 40; the response
// has HeartbeatPeriod in Param1, RspSessionID at 4, MutAuthRequested at 6, SlotIDParam at 7.
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
        // 20 bytes: one element of the DMTF's, 9 bytes of data, 3 of padding.
        &[20, 0, 1, 0, 0, 0, 0, 0, 9, 0, 1, 1, 3, 0x00, 0x12, 0x00, 0x11, 0x00, 0x10, 0, 0, 0],
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

// DSP0277 1.0, "Secured Messages opaque data format": SpecID "DMTF" as a number, OpaqueVersion 1,
// the count of elements and two reserved bytes, where DSP0274 has no format of its own.
#[test]
fn opaque_data_of_1_1_is_framed_by_the_secured_messages() {
    let frame = [0x46, 0x54, 0x4d, 0x44, 1, 1, 0, 0];
    let list = [0, 0, 5, 0, 1, 1, 1, 0x00, 0x11, 0, 0, 0];
    let versions = [VersionNumber(0x1100)];
    let opaque = opaque::encode_supported(Version::V1_1, &versions);
    assert_eq!(opaque, [&frame[..], &list].concat());
    assert_eq!(opaque::decode_supported(Version::V1_1, &opaque).unwrap(), versions);
    let opaque = opaque::encode_selection(Version::V1_1, versions[0]);
    assert_eq!(opaque, [&frame[..], &[0, 0, 4, 0, 1, 0, 0x00, 0x11]].concat());
    assert_eq!(opaque::decode_selection(Version::V1_1, &opaque), Ok(Some(versions[0])));
    for at in [0, 3, 4] {
        let mut other = opaque.clone();
        other[at] ^= 1;
        assert!(opaque::decode_selection(Version::V1_1, &other).is_err(), "byte {at}");
    }
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

// "FINISH request and FINISH_RSP response messages": RequesterVerifyData at 4, as there is no
// signature; no ResponderVerifyData inside of the session. "END_SESSION request": bit 0 of Param1.
#[test]
fn finish_and_end_session() {
    let layout = [&[0x12, 0xe5, 0, 0][..], &[1; 48]].concat();
    assert_layout(&Finish { verify_data: [1; 48] }, (), V, &layout);
    assert_layout(&FinishResponse, (), V, &[0x12, 0x65, 0, 0]);
    assert_layout(&EndSession { clear_negotiated_state: true }, (), V, &[0x12, 0xec, 1, 0]);
    assert_layout(&EndSessionAck, (), V, &[0x12, 0x6c, 0, 0]);
}

// "HEARTBEAT" and "KEY_UPDATE request and KEY_UPDATE_ACK response messages": operation in Param1, tag
// in Param2.
#[test]
fn heartbeat_and_key_update() {
    for (version, byte) in [(Version::V1_1, 0x11), (Version::V1_2, 0x12), (Version::V1_3, 0x13)] {
        assert_layout(&Heartbeat, (), version, &[byte, 0xe8, 0, 0]);
        assert_layout(&HeartbeatAck, (), version, &[byte, 0x68, 0, 0]);
        for (number, operation) in
            [(1, Operation::UpdateKey), (2, Operation::UpdateAllKeys), (3, Operation::VerifyNewKey)]
        {
            let request = KeyUpdate { operation, tag: 9 };
            assert_layout(&request, (), version, &[byte, 0xe9, number, 9]);
            let response = KeyUpdateAck { operation, tag: 9 };
            assert_layout(&response, (), version, &[byte, 0x69, number, 9]);
        }
        for unknown in (0..=0xff).filter(|number| !(1..=3).contains(number)) {
            assert!(decode::<KeyUpdate>(&[byte, 0xe9, unknown, 9], version, ()).is_err());
        }
    }
}

#[test]
fn a_finish_with_a_signature_is_refused() {
    let bytes = [&[0x12, 0xe5, 1, 0][..], &[1; 48]].concat();
    assert!(decode::<Finish>(&bytes, V, ()).is_err());
}
