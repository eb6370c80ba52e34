//! Large messages: what may come in chunks, and what becomes of chunks that do not follow.

use super::*;
use crate::message::chunk::{Chunk, ChunkGet, ChunkResponse, ChunkSend, ChunkSendAck};
use crate::message::respond_if_ready::RespondIfReady;
use crate::message::vendor::{VendorDefined, VendorDefinedRequest};

/// A connection whose requester takes messages of this size, and more in chunks.
fn chunked(transfer_size: u32) -> TestResponder {
    let mut responder = responder();
    responder.device_mut().echoes = true;
    responder.respond(&Message::Clear(GetVersion.encode(Version::V1_0)));
    let mut capabilities = suite::requester_capabilities(V, Flags::CHUNK);
    capabilities.data_transfer_size = transfer_size;
    responder.respond(&clear(&GetCapabilities(capabilities)));
    responder.respond(&clear(&suite::offer(V)));
    responder
}

fn chunk(sequence: u16, message_size: Option<u32>, last: bool, bytes: &[u8]) -> Message {
    clear(&ChunkSend(Chunk { last, handle: 5, sequence, message_size, bytes: bytes.to_vec() }))
}

fn answer<M: Codec<Context = ()>>(responder: &mut TestResponder, request: &Message) -> M {
    decode(responder.respond(request).message.as_bytes(), V, ()).unwrap()
}

/// The two chunks of a request.
fn halves(request: &[u8]) -> [Message; 2] {
    let (one, two) = request.split_at(request.len() / 2);
    [chunk(0, Some(request.len() as u32), false, one), chunk(1, None, true, two)]
}

/// The response in the last acknowledgement.
fn in_chunks(responder: &mut TestResponder, request: &[u8]) -> Vec<u8> {
    let [one, two] = halves(request);
    let ack: ChunkSendAck = answer(responder, &one);
    let expected =
        ChunkSendAck { early_error: false, handle: 5, sequence: 0, response: Vec::new() };
    assert_eq!(ack, expected);
    let ack: ChunkSendAck = answer(responder, &two);
    assert_eq!((ack.early_error, ack.handle, ack.sequence), (false, 5, 1));
    ack.response
}

fn early_error(responder: &mut TestResponder, request: &Message) -> ErrorResponse {
    let ack: ChunkSendAck = answer(responder, request);
    assert!(ack.early_error);
    decode_error(&ack.response)
}

#[test]
fn a_request_in_chunks_is_answered_in_the_last_acknowledgement() {
    let mut responder = chunked(4096);
    let whole = responder.respond(&clear(&GetDigests)).message;
    assert_eq!(in_chunks(&mut responder, &GetDigests.encode(V)), whole.as_bytes());
    // An ERROR, too, and it is no early one.
    let response = in_chunks(&mut responder, &[0x12, 0xee, 0, 0]);
    assert_eq!(decode_error(&response), ErrorResponse::unsupported(0xee));
}

#[test]
fn what_may_not_be_large_is_invalid_in_chunks() {
    let mut responder = chunked(4096);
    let get_version = GetVersion.encode(Version::V1_0);
    let capabilities = GetCapabilities(suite::requester_capabilities(V, Flags::empty())).encode(V);
    let nested = ChunkGet { handle: 0, sequence: 0 }.encode(V);
    for request in [get_version, capabilities, nested] {
        let response = in_chunks(&mut responder, &request);
        assert_eq!(decode_error(&response), ErrorCode::InvalidRequest.into(), "{request:02x?}");
    }
    // The connection is as it was.
    assert!(matches!(responder.respond(&clear(&GetDigests)).message.as_bytes(), [_, 0x01, ..]));
}

#[test]
fn chunks_that_do_not_follow_are_an_early_error_and_end_the_transfer() {
    for wrong in [
        chunk(0, Some(6), false, &[4, 5]),
        chunk(2, None, true, &[4, 5, 6]),
        chunk(1, None, false, &[4, 5, 6]),
        chunk(1, None, true, &[4, 5]),
        chunk(1, None, true, &[4, 5, 6, 7]),
    ] {
        let mut responder = chunked(4096);
        let first = chunk(0, Some(6), false, &[1, 2, 3]);
        let ack: ChunkSendAck = answer(&mut responder, &first);
        assert!(!ack.early_error);
        let found = early_error(&mut responder, &wrong);
        assert_eq!(found, ErrorCode::InvalidRequest.into(), "{wrong:02x?}");
        // What would have been right comes too late.
        let late = chunk(1, None, true, &[4, 5, 6]);
        assert_eq!(early_error(&mut responder, &late), ErrorCode::InvalidRequest.into());
    }
}

#[test]
fn a_request_longer_than_was_agreed_is_an_early_error() {
    let mut responder = chunked(4096);
    let first = chunk(0, Some(suite::MAX_MESSAGE_SIZE + 1), false, &[1; 100]);
    assert_eq!(early_error(&mut responder, &first), ErrorCode::InvalidRequest.into());
    let first = chunk(0, Some(suite::MAX_MESSAGE_SIZE), false, &[1; 100]);
    let ack: ChunkSendAck = answer(&mut responder, &first);
    assert!(!ack.early_error);
}

#[test]
fn another_request_abandons_a_transfer() {
    let mut responder = chunked(4096);
    let [one, two] = halves(&GetDigests.encode(V));
    let _: ChunkSendAck = answer(&mut responder, &one);
    assert!(matches!(responder.respond(&clear(&GetDigests)).message.as_bytes(), [_, 0x01, ..]));
    assert_eq!(early_error(&mut responder, &two), ErrorCode::InvalidRequest.into());
}

/// The handle of the large response that this request has.
fn large(responder: &mut TestResponder, request: &Message) -> u8 {
    let large = error(responder, request);
    assert_eq!(large.code, ErrorCode::LargeResponse);
    large.extended[0]
}

#[test]
fn a_large_response_is_fetched_chunk_by_chunk() {
    let mut responder = chunked(100);
    let fields = VendorDefined { standard_id: 3, vendor_id: vec![], payload: vec![7; 300] };
    let request = clear(&VendorDefinedRequest(fields));
    let handles = [(); 2].map(|()| large(&mut responder, &request));
    // Only the last one is there to be fetched, in order.
    assert_ne!(handles[0], handles[1]);
    let handle = handles[1];
    let get = |handle, sequence| clear(&ChunkGet { handle, sequence });
    for wrong in [get(handles[0], 0), get(handle, 1)] {
        assert_eq!(error(&mut responder, &wrong), ErrorCode::InvalidRequest.into());
    }
    let mut message = Vec::new();
    for sequence in 0.. {
        let ChunkResponse(chunk) = answer(&mut responder, &get(handle, sequence));
        assert_eq!(chunk.message_size, (sequence == 0).then_some(9 + 300));
        message.extend_from_slice(&chunk.bytes);
        if chunk.last {
            break;
        }
    }
    assert_eq!(message[..9], [0x12, 0x7e, 0, 0, 3, 0, 0, 44, 1]);
    assert_eq!(message[9..], [7; 300]);
    let late = error(&mut responder, &get(handle, 0));
    assert_eq!(late, ErrorCode::UnexpectedRequest.into());
}

#[test]
fn chunks_without_the_capability_are_unsupported() {
    let mut hand = connected();
    for (request, code) in [
        (chunk(0, Some(6), false, &[1]), code::CHUNK_SEND),
        (clear(&ChunkGet { handle: 0, sequence: 0 }), code::CHUNK_GET),
    ] {
        let found = error(&mut hand.responder, &request);
        assert_eq!(found, ErrorResponse::unsupported(code));
    }
}

#[test]
fn nothing_is_ever_asked_for_again() {
    let mut hand = connected();
    let request = clear(&RespondIfReady { request: code::GET_DIGESTS, token: 0 });
    let found = error(&mut hand.responder, &request);
    assert_eq!(found, ErrorCode::UnexpectedRequest.into());
}
