//! Chunks, what vendors define, and errors, byte by byte.

use std::vec;

use super::*;
use crate::message::chunk::{Chunk, ChunkGet, ChunkResponse, ChunkSend, ChunkSendAck};
use crate::message::error::{ErrorCode, ErrorResponse, NotReady};
use crate::message::respond_if_ready::RespondIfReady;
use crate::message::vendor::{VendorDefined, VendorDefinedRequest, VendorDefinedResponse};

// DSP0274 1.2, "CHUNK_SEND request and CHUNK_SEND_ACK response message": attributes in Param1 (bit 0:
// last), handle in Param2, ChunkSeqNo at 4, ChunkSize at 8, LargeMessageSize at 12 in the first one
// only. CHUNK_RESPONSE has the same layout.
#[test]
fn chunks() {
    let first = Chunk {
        last: false,
        handle: 7,
        sequence: 0,
        message_size: Some(0x0102),
        bytes: vec![8, 9],
    };
    let rest = [7, 0, 0, 0, 0, 2, 0, 0, 0, 2, 1, 0, 0, 8, 9];
    let (send, answer) = (ChunkSend(first.clone()), ChunkResponse(first));
    assert_layout(&send, (), V, &[&[0x12, 0x85, 0][..], &rest].concat());
    assert_layout(&answer, (), V, &[&[0x12, 0x06, 0][..], &rest].concat());
    let last =
        Chunk { last: true, handle: 7, sequence: 0x0304, message_size: None, bytes: vec![8, 9] };
    let rest = [7, 4, 3, 0, 0, 2, 0, 0, 0, 8, 9];
    let (send, answer) = (ChunkSend(last.clone()), ChunkResponse(last));
    assert_layout(&send, (), V, &[&[0x12, 0x85, 1][..], &rest].concat());
    assert_layout(&answer, (), V, &[&[0x12, 0x06, 1][..], &rest].concat());
    assert_layout(&ChunkGet { handle: 7, sequence: 0x0304 }, (), V, &[0x12, 0x86, 0, 7, 4, 3]);
    // An acknowledgement ends where the response that it carries does.
    for (early_error, attributes) in [(false, 0), (true, 1)] {
        let ack = ChunkSendAck { early_error, handle: 7, sequence: 2, response: vec![5, 6] };
        let layout = [0x12, 0x05, attributes, 7, 2, 0, 5, 6];
        assert_eq!(ack.encode(V), layout);
        assert_eq!(decode(&layout, V, ()), Ok(ack));
    }
    assert!(decode::<ChunkSendAck>(&[0x12, 0x05, 0, 7, 2], V, ()).is_err());
    // A chunk of nothing would never come to an end.
    let empty = [0x12, 0x85, 0, 7, 1, 0, 0, 0, 0, 0, 0, 0];
    assert!(decode::<ChunkSend>(&empty, V, ()).is_err());
}

// "VENDOR_DEFINED_REQUEST" and "_RESPONSE": StandardID at 4, Len at 6, VendorID, ReqLength, payload.
#[test]
fn vendor_defined() {
    let fields =
        VendorDefined { standard_id: 0x0003, vendor_id: vec![0xde, 0x10], payload: vec![1, 2, 3] };
    let rest = [0, 0, 3, 0, 2, 0xde, 0x10, 3, 0, 1, 2, 3];
    let request = VendorDefinedRequest(fields.clone());
    assert_layout(&request, (), V, &[&[0x12, 0xfe][..], &rest].concat());
    let response = VendorDefinedResponse(fields);
    assert_layout(&response, (), V, &[&[0x12, 0x7e][..], &rest].concat());
}

// "RESPOND_IF_READY request message": the original request's code in Param1, the token in Param2.
#[test]
fn respond_if_ready() {
    let request = RespondIfReady { request: 0x83, token: 5 };
    assert_layout(&request, (), V, &[0x12, 0xff, 0x83, 5]);
}

// "ERROR response message", table "Error code and error data".
#[test]
fn errors() {
    assert_layout(&ErrorResponse::from(ErrorCode::InvalidRequest), (), V, &[0x12, 0x7f, 1, 0]);
    assert_layout(&ErrorResponse::unsupported(0x83), (), V, &[0x12, 0x7f, 7, 0x83]);
    let layout = [0x12, 0x7f, 0x0d, 0, 4, 3, 2, 1];
    assert_layout(&ErrorResponse::response_too_large(0x0102_0304), (), V, &layout);
}

#[test]
fn error_codes_have_the_specifications_numbers() {
    use ErrorCode::*;
    for (number, code) in [
        (0x01, InvalidRequest),
        (0x02, InvalidSession),
        (0x03, Busy),
        (0x04, UnexpectedRequest),
        (0x05, Unspecified),
        (0x06, DecryptError),
        (0x07, UnsupportedRequest),
        (0x08, RequestInFlight),
        (0x09, InvalidResponseCode),
        (0x0a, SessionLimitExceeded),
        (0x0b, SessionRequired),
        (0x0c, ResetRequired),
        (0x0d, ResponseTooLarge),
        (0x0e, RequestTooLarge),
        (0x0f, LargeResponse),
        (0x10, MessageLost),
        (0x11, InvalidPolicy),
        (0x41, VersionMismatch),
        (0x42, ResponseNotReady),
        (0x43, RequestResynch),
        (0x44, OperationFailed),
        (0x45, NoPendingRequests),
        (0xff, VendorDefined),
    ] {
        assert_layout(&ErrorResponse::from(code), (), V, &[0x12, 0x7f, number, 0]);
    }
    assert!(decode::<ErrorResponse>(&[0x12, 0x7f, 0, 0], V, ()).is_err());
    assert!(decode::<ErrorResponse>(&[0x12, 0x7f, 0x46, 0], V, ()).is_err());
}

// Tables "ResponseNotReady extended error data" and "LargeResponse extended error data".
#[test]
fn extended_error_data() {
    let layout = [0x12, 0x7f, 0x42, 0, 20, 0x83, 5, 2];
    let error: ErrorResponse = decode(&layout, V, ()).unwrap();
    let expected = NotReady { exponent: 20, request: 0x83, token: 5, multiplier: 2 };
    assert_eq!(NotReady::of(&error), Some(expected));
    assert_eq!(ErrorResponse::large_response(9).encode(V), [0x12, 0x7f, 0x0f, 0, 9]);
}

#[test]
fn an_older_version_has_fewer_codes() {
    use ErrorCode::*;
    for (code, older) in [
        (SessionRequired, UnexpectedRequest),
        (RequestTooLarge, InvalidRequest),
        (ResponseTooLarge, Unspecified),
    ] {
        for version in [Version::V1_0, Version::V1_1] {
            assert_eq!(ErrorResponse::from(code).in_version(version).code, older);
        }
        for version in [Version::V1_2, Version::V1_3] {
            assert_eq!(ErrorResponse::from(code).in_version(version).code, code);
        }
    }
}
