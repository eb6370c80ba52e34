//! What a signature over measurements covers.

use super::*;

#[test]
fn unsigned_measurements_count_into_the_next_signature() {
    use crate::signature::{Purpose, verify};
    use sha2::{Digest, Sha384};

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
