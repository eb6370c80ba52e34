//! What a transcript proves to one who has only the transcript and the device's key.

use alloc::boxed::Box;
use std::vec;

use super::*;
use crate::message::Codec;
use crate::message::measurements::SignatureRequest;
use crate::requester::Established;
use crate::test_support::{TestDevice, handshake, honest, requester, responder, verifier};

fn established() -> Box<Established> {
    handshake(&mut requester(7), &mut responder(), honest).result.unwrap()
}

#[test]
fn a_transcript_is_checked_again_offline() {
    let evidence = established().evidence;
    let key = verifier(&evidence.chain).unwrap();
    let measurements = evidence.measurements.verify(&key).unwrap();
    assert_eq!(measurements.block(6).map(|block| block.value.as_bytes()), Some(&[1, 0, 0, 0][..]));
    assert_eq!(measurements.block(7), None);
    assert_eq!(evidence.measurements.parse(), Ok(measurements));
}

#[test]
fn every_byte_of_a_transcript_counts() {
    let evidence = established().evidence;
    let key = verifier(&evidence.chain).unwrap();
    let parts: [fn(&mut MeasurementTranscript) -> &mut Vec<u8>; 3] =
        [|all| &mut all.vca, |all| &mut all.request, |all| &mut all.response];
    for (part, bytes_of) in parts.into_iter().enumerate() {
        let length = bytes_of(&mut evidence.measurements.clone()).len();
        for at in 0..length {
            let mut changed = evidence.measurements.clone();
            bytes_of(&mut changed)[at] ^= 1;
            assert!(changed.verify(&key).is_err(), "byte {at} of part {part}");
            let mut cut = evidence.measurements.clone();
            bytes_of(&mut cut).truncate(at);
            assert!(cut.verify(&key).is_err(), "{at} bytes of part {part} are enough");
        }
    }
}

#[test]
fn another_devices_key_does_not_verify() {
    let evidence = established().evidence;
    let other = verifier(&TestDevice::genuine(2).chain).unwrap();
    assert_eq!(evidence.measurements.verify(&other), Err(TranscriptError::BadSignature));
}

#[test]
fn a_transcript_of_some_or_of_unsigned_measurements_is_no_evidence() {
    let transcript = established().evidence.measurements;
    let signature = Some(SignatureRequest { nonce: [0; 32], slot: 0 });
    let request =
        GetMeasurements { operation: Operation::One(1), raw: false, signature, context: [0; 8] };
    let some =
        MeasurementTranscript { request: request.encode(Version::V1_2), ..transcript.clone() };
    assert_eq!(some.parse(), Err(TranscriptError::NotAll));

    let request =
        GetMeasurements { operation: Operation::All, raw: false, signature: None, context: [0; 8] };
    let mut unsigned =
        MeasurementTranscript { request: request.encode(Version::V1_2), ..transcript };
    unsigned.response.truncate(unsigned.response.len() - 96);
    assert_eq!(unsigned.parse(), Err(TranscriptError::NotAll));
}

#[test]
fn an_answer_for_another_slot_is_no_evidence() {
    let mut transcript = established().evidence.measurements;
    transcript.response[3] |= 1;
    let refused = value("SlotID", 1u8);
    assert_eq!(transcript.parse(), Err(TranscriptError::Malformed(refused)));
}

#[test]
fn the_bound_nonce_is_its_definition() {
    let whole = Sha384::digest([vec![1; 32], vec![2; 96]].concat());
    assert_eq!(bound_nonce(&[1; 32], &[2; 96]), whole[..32]);
    assert_ne!(bound_nonce(&[1; 32], &[3; 96]), whole[..32]);
    assert_ne!(bound_nonce(&[4; 32], &[2; 96]), whole[..32]);
}

#[test]
fn the_summary_is_the_digest_of_whole_blocks() {
    let block =
        Block { index: 3, value_type: ValueType::MutableFirmware, value: Value::Digest([9; 48]) };
    let bytes = [&[3, 1, 51, 0, 1, 48, 0][..], &[9; 48]].concat();
    assert_eq!(summary([&block, &block]), Sha384::digest(bytes.repeat(2)).as_slice());
}
