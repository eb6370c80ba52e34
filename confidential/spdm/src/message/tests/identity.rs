//! GET_DIGESTS to CHALLENGE_AUTH, byte by byte.

use std::vec;

use super::*;
use crate::message::certificate::{Certificate, GetCertificate};
use crate::message::challenge::{Challenge, ChallengeAuth};
use crate::message::digests::{Digests, GetDigests};
use crate::message::key_exchange::SummaryType;

// DSP0274, "GET_DIGESTS request and DIGESTS response messages": the slot mask is Param2, the digests
// follow by ascending slot. "GET_CERTIFICATE request and CERTIFICATE response messages": slot in
// Param1, Offset at 4, Length at 6; PortionLength at 4, RemainderLength at 6.
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

// DSP0274 1.3: SupportedSlotMask is Param1 of DIGESTS, SlotSizeRequested bit 0 of Param2 of
// GET_CERTIFICATE.
#[test]
fn slots_of_1_3_are_told_apart() {
    let v = Version::V1_3;
    let response = Digests { slot_mask: 1, digests: vec![[7; 48]] };
    assert_layout(&response, (), v, &[&[0x13, 0x01, 1, 1][..], &[7; 48]].concat());
    let request = GetCertificate { slot: 0, slot_size: true, offset: 0, length: 0 };
    assert_layout(&request, (), v, &[0x13, 0x82, 0, 1, 0, 0, 0, 0]);
    let ignored = GetCertificate { slot_size: false, ..request };
    assert_eq!(decode(&[0x12, 0x82, 0, 1, 0, 0, 0, 0], V, ()), Ok(ignored));
}

// "CHALLENGE request and CHALLENGE_AUTH response messages": slot in Param1, summary in Param2, nonce
// at 4; the response has CertChainHash at 4, its nonce behind it, the summary if asked for, opaque
// data, from 1.3 on the request's 8 bytes of context, and the signature.
#[test]
fn challenge() {
    for (version, byte) in [(Version::V1_1, 0x11), (Version::V1_2, 0x12), (Version::V1_3, 0x13)] {
        let context = if version == Version::V1_3 { [6; 8] } else { [0; 8] };
        let told = if version == Version::V1_3 { &[6; 8][..] } else { &[] };
        let request = Challenge { slot: 2, summary: SummaryType::Tcb, nonce: [5; 32], context };
        let layout = [&[byte, 0x83, 2, 1][..], &[5; 32], told].concat();
        assert_layout(&request, (), version, &layout);

        let response = ChallengeAuth {
            slot: 2,
            mutual_authentication: false,
            slot_mask: 5,
            chain_digest: [1; 48],
            nonce: [2; 32],
            summary: Some([3; 48]),
            opaque: vec![4],
            context,
            signature: [7; 96],
        };
        let layout =
            [&[byte, 0x03, 2, 5][..], &[1; 48], &[2; 32], &[3; 48], &[1, 0, 4], told, &[7; 96]]
                .concat();
        assert_layout(&response, SummaryType::Tcb, version, &layout);
        let mutual = ChallengeAuth { mutual_authentication: true, ..response.clone() };
        assert_eq!(mutual.encode(version)[2], 0x82);
        let without = ChallengeAuth { summary: None, ..response };
        let layout = [&layout[..84], &layout[132..]].concat();
        assert_layout(&without, SummaryType::None, version, &layout);
    }
}

#[test]
fn a_slot_or_summary_that_does_not_exist_is_refused() {
    let request = [&[0x12, 0x83, 0, 0][..], &[5; 32]].concat();
    for (at, wrong) in [(2, 8), (2, 0xff), (3, 2), (3, 0xfe)] {
        let mut bytes = request.clone();
        bytes[at] = wrong;
        assert!(decode::<Challenge>(&bytes, V, ()).is_err(), "byte {at} may be {wrong}");
    }
    assert!(decode::<GetCertificate>(&[0x12, 0x82, 8, 0, 0, 0, 1, 0], V, ()).is_err());
}
