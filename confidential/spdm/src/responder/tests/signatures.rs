//! What the signatures of MEASUREMENTS and CHALLENGE_AUTH cover.

use sha2::{Digest, Sha384};

use super::*;
use crate::message::challenge::{Challenge, ChallengeAuth};
use crate::message::vendor::{VendorDefined, VendorDefinedRequest};
use crate::signature::{Purpose, verify};

#[test]
fn unsigned_measurements_count_into_the_next_signature() {
    let mut hand = connected();
    let unsigned = GetMeasurements {
        operation: Operation::One(2),
        raw: false,
        signature: None,
        context: [0; 8],
    };
    let signature = Some(SignatureRequest { nonce: [9; 32], slot: 0 });
    let signed =
        GetMeasurements { operation: Operation::Count, raw: false, signature, context: [0; 8] };
    let mut log = Sha384::new().chain_update(hand.vca.as_bytes());
    let first = hand.responder.respond(&clear(&unsigned)).message;
    let response: MeasurementsResponse = decode(first.as_bytes(), V, false).unwrap();
    assert_eq!(response.blocks, hand.responder.device().blocks[1..2]);
    log.update(unsigned.encode(V));
    log.update(first.as_bytes());

    let last = hand.responder.respond(&clear(&signed)).message;
    let response: MeasurementsResponse = decode(last.as_bytes(), V, true).unwrap();
    assert_eq!((response.count, response.blocks.len()), (3, 0));
    log.update(signed.encode(V));
    log.update(&last.as_bytes()[..last.as_bytes().len() - 96]);
    let digest: [u8; 48] = log.finalize().into();
    let key = hand.responder.device().key.verifying_key();
    assert!(verify(key, V, Purpose::Measurements, &digest, &response.signature.unwrap()));
}

#[test]
fn another_request_starts_the_measurement_log_anew() {
    let mut hand = connected();
    let unsigned =
        GetMeasurements { operation: Operation::All, raw: false, signature: None, context: [0; 8] };
    let signature = Some(SignatureRequest { nonce: [9; 32], slot: 0 });
    let signed =
        GetMeasurements { operation: Operation::All, raw: false, signature, context: [0; 8] };
    hand.responder.respond(&clear(&unsigned));
    hand.responder.respond(&clear(&GetDigests));
    let transcript = crate::measurements::MeasurementTranscript {
        vca: hand.vca.as_bytes().to_vec(),
        request: signed.encode(V),
        response: hand.responder.respond(&clear(&signed)).message.as_bytes().to_vec(),
    };
    assert!(transcript.verify(hand.responder.device().key.verifying_key()).is_ok());
}

/// GET_DIGESTS in clear, something else, CHALLENGE: is DIGESTS part of what is signed?
fn digests_are_signed_after(between: impl Fn(&mut Hand, &mut SecuredSession)) -> bool {
    let mut hand = connected();
    let mut session = hand.established();
    let request = clear(&GetDigests);
    let digests = hand.responder.respond(&request).message;
    between(&mut hand, &mut session);
    let fields = Challenge { slot: 0, summary: SummaryType::None, nonce: [5; 32], context: [0; 8] };
    let challenge = clear(&fields);
    let answer = hand.responder.respond(&challenge).message;
    let auth: ChallengeAuth = decode(answer.as_bytes(), V, SummaryType::None).unwrap();
    let unsigned = &answer.as_bytes()[..answer.as_bytes().len() - 96];
    let m1 = |identity: &[&[u8]]| -> [u8; 48] {
        let parts = [&[hand.vca.as_bytes()], identity, &[challenge.as_bytes(), unsigned]];
        Sha384::digest(parts.concat().concat()).into()
    };
    let key = hand.responder.device().key.verifying_key();
    let signed = |m1| verify(key, V, Purpose::Challenge, &m1, &auth.signature);
    let with = signed(m1(&[request.as_bytes(), digests.as_bytes()]));
    assert_ne!(with, signed(m1(&[])));
    with
}

#[test]
fn a_challenge_is_forgone_by_measurements_and_not_by_what_vendors_define() {
    assert!(digests_are_signed_after(|_, _| {}));
    let vendor = VendorDefined { standard_id: 3, vendor_id: vec![], payload: vec![] };
    let vendor = VendorDefinedRequest(vendor);
    assert!(digests_are_signed_after(|hand, _| {
        hand.responder.respond(&clear(&vendor));
    }));
    assert!(digests_are_signed_after(|hand, session| {
        hand.inside(session, &vendor.encode(V));
        hand.inside(session, &GetDigests.encode(V));
    }));
    let measure = GetMeasurements {
        operation: Operation::Count,
        raw: false,
        signature: None,
        context: [0; 8],
    };
    assert!(!digests_are_signed_after(|hand, _| {
        hand.responder.respond(&clear(&measure));
    }));
    assert!(!digests_are_signed_after(|hand, session| {
        hand.inside(session, &measure.encode(V));
    }));
    assert!(!digests_are_signed_after(|hand, session| {
        hand.inside(session, &EndSession { clear_negotiated_state: false }.encode(V));
    }));
}
