//! Requests whose values are out of range, and requests of nonsense. What is cut, lengthened or not
//! due is tried for every request in `systematic_tests`.

use proptest::prelude::*;

use super::*;

#[test]
fn requests_with_values_out_of_range_are_invalid() {
    let exchange = Exchange::new(&mut TestRng::new(5));
    let good = key_exchange(&exchange);
    let off_curve = KeyExchange { exchange_data: [1; 96], ..good.clone() };
    let no_versions = KeyExchange { opaque: Vec::new(), ..good.clone() };
    let other_version =
        KeyExchange { opaque: encode_supported(V, &[VersionNumber(0x2000)]), ..good.clone() };
    let other_slot = KeyExchange { slot: 1, ..good };
    let signature = Some(SignatureRequest { nonce: [0; 32], slot: 3 });
    let one = |index| GetMeasurements {
        operation: Operation::One(index),
        raw: false,
        signature: None,
        context: [0; 8],
    };
    let requests = [
        clear(&off_curve),
        clear(&no_versions),
        clear(&other_version),
        clear(&other_slot),
        clear(&GetCertificate { slot: 1, slot_size: false, offset: 0, length: 10 }),
        clear(&GetCertificate { slot: 0, slot_size: false, offset: 60_000, length: 10 }),
        clear(&GetCertificate { slot: 0, slot_size: false, offset: 0, length: 0 }),
        clear(&one(99)),
        clear(&GetMeasurements {
            operation: Operation::All,
            raw: false,
            signature,
            context: [0; 8],
        }),
    ];
    let mut hand = connected();
    for request in requests {
        let found = error(&mut hand.responder, &request);
        assert_eq!(found, ErrorCode::InvalidRequest.into(), "{request:?}");
    }
    hand.established();
}

#[test]
fn a_key_exchange_without_the_capability_is_unsupported() {
    let mut responder = responder();
    responder.respond(&Message::Clear(GetVersion.encode(Version::V1_0)));
    let mut capabilities = suite::requester_capabilities(V, Flags::empty());
    capabilities.flags = Flags::empty();
    responder.respond(&clear(&GetCapabilities(capabilities)));
    responder.respond(&clear(&suite::offer(V)));
    let request = clear(&key_exchange(&Exchange::new(&mut TestRng::new(5))));
    let found = error(&mut responder, &request);
    assert_eq!(found, ErrorResponse::unsupported(code::KEY_EXCHANGE));
}

#[test]
fn a_response_that_the_requester_cannot_take_is_too_large() {
    let mut responder = responder();
    responder.respond(&Message::Clear(GetVersion.encode(Version::V1_0)));
    let mut capabilities = suite::requester_capabilities(V, Flags::empty());
    (capabilities.data_transfer_size, capabilities.max_message_size) = (60, 60);
    responder.respond(&clear(&GetCapabilities(capabilities)));
    responder.respond(&clear(&suite::offer(V)));
    let request = clear(&key_exchange(&Exchange::new(&mut TestRng::new(5))));
    let found = error(&mut responder, &request);
    assert_eq!(found.code, ErrorCode::ResponseTooLarge);
    assert_eq!(found.extended, 342u32.to_le_bytes());
    // A certificate comes in portions that fit.
    let request = clear(&GetCertificate { slot: 0, slot_size: false, offset: 0, length: 1000 });
    let reply = responder.respond(&request).message;
    assert_eq!(reply.as_bytes().len(), 60);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn arbitrary_bytes_get_an_error_and_change_nothing(
        secured in any::<bool>(),
        header in prop_oneof![
            Just(None),
            (prop::sample::select(SUPPORTED.as_slice()), any::<bool>()).prop_map(Some),
        ],
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        if let (Some((code, first)), Some(header)) = (header, bytes.get_mut(..2)) {
            header.copy_from_slice(&[if first { 0x10 } else { 0x12 }, code]);
        }
        // A well-formed one would be answered, and rightly so.
        let well_formed = [
            [0x10, code::GET_VERSION, 0, 0],
            [0x12, code::GET_DIGESTS, 0, 0],
        ];
        prop_assume!(!well_formed.iter().any(|request| bytes.starts_with(request)));
        let garbage =
            if secured { Message::Secured(bytes) } else { Message::Clear(bytes) };
        disturbed(|responder, _, _| {
            let reply = responder.respond(&garbage);
            assert!(reply.event.is_none());
            assert!(matches!(reply.message, Message::Clear(_)));
        });
    }

    #[test]
    fn changed_requests_do_no_harm(
        at in any::<prop::sample::Index>(),
        change in 1u8..,
        due in prop::sample::select(SUPPORTED.as_slice()),
    ) {
        // Whatever is made of the changed request, the responder is there for the next requester.
        let mut responder = responder();
        let _ = handshake(&mut requester(7), &mut responder, |_, way, message| {
            if way == Way::Request(due) {
                map(message, |bytes| {
                    let at = at.index(bytes.len());
                    bytes[at] ^= change;
                })
            } else {
                message
            }
        });
        prop_assert!(handshake(&mut requester(8), &mut responder, honest).result.is_ok());
    }
}
