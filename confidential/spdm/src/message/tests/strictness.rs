//! What is reserved is ignored, what is not a message is refused, and no bytes do harm.

use std::vec;

use proptest::prelude::*;

use super::*;
use crate::message::algorithms::{AlgorithmsResponse, NegotiateAlgorithms};
use crate::message::capabilities::{CapabilitiesResponse, Flags, GetCapabilities};
use crate::message::certificate::{Certificate, GetCertificate};
use crate::message::challenge::{Challenge, ChallengeAuth};
use crate::message::chunk::{ChunkGet, ChunkResponse, ChunkSend, ChunkSendAck};
use crate::message::digests::{Digests, GetDigests};
use crate::message::end_session::{EndSession, EndSessionAck};
use crate::message::error::ErrorResponse;
use crate::message::finish::{Finish, FinishResponse};
use crate::message::heartbeat::{Heartbeat, HeartbeatAck};
use crate::message::key_exchange::{KeyExchange, KeyExchangeResponse, SummaryType};
use crate::message::key_update::{KeyUpdate, KeyUpdateAck};
use crate::message::measurements::{GetMeasurements, MeasurementsResponse};
use crate::message::vendor::{VendorDefinedRequest, VendorDefinedResponse};
use crate::suite;

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
    assert_reserved(&Heartbeat, (), &[2, 3]);
    assert_reserved(&HeartbeatAck, (), &[2, 3]);
}

/// Whatever is accepted says no more than what would be sent, and is as long.
fn assert_canonical<M: Codec + PartialEq + core::fmt::Debug>(bytes: &[u8], context: M::Context) {
    let Some(version) = bytes.first().and_then(|byte| Version::negotiable(*byte)) else { return };
    if let Ok(message) = decode::<M>(bytes, version, context) {
        let canonical = message.encode(version);
        assert_eq!(canonical.len(), bytes.len());
        assert_eq!(decode::<M>(&canonical, version, context), Ok(message));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_bytes_do_no_harm(
        version in 0x11u8..=0x13,
        parameters in prop_oneof![Just([0, 0]), any::<[u8; 2]>()],
        body in prop_oneof![
            prop::collection::vec(prop_oneof![Just(0), any::<u8>()], 0..300),
            prop::collection::vec(any::<u8>(), 0..300),
        ],
    ) {
        let with = |code: u8| [&[version, code], &parameters[..], &body].concat();
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
        assert_canonical::<Challenge>(&with(code::CHALLENGE), ());
        assert_canonical::<ChallengeAuth>(&with(code::CHALLENGE_AUTH), SummaryType::All);
        assert_canonical::<ChunkSend>(&with(code::CHUNK_SEND), ());
        assert_canonical::<ChunkSendAck>(&with(code::CHUNK_SEND_ACK), ());
        assert_canonical::<ChunkGet>(&with(code::CHUNK_GET), ());
        assert_canonical::<ChunkResponse>(&with(code::CHUNK_RESPONSE), ());
        assert_canonical::<VendorDefinedRequest>(&with(code::VENDOR_DEFINED_REQUEST), ());
        assert_canonical::<VendorDefinedResponse>(&with(code::VENDOR_DEFINED_RESPONSE), ());
        assert_canonical::<KeyUpdate>(&with(code::KEY_UPDATE), ());
        assert_canonical::<KeyUpdateAck>(&with(code::KEY_UPDATE_ACK), ());
        let _ = decode::<NegotiateAlgorithms>(&with(code::NEGOTIATE_ALGORITHMS), V, ());
        let _ = decode::<AlgorithmsResponse>(&with(code::ALGORITHMS), V, ());
        let _ = opaque::decode_supported(V, &body);
        let _ = opaque::decode_selection(V, &body);
        let _ = crate::CertificateChain::decode(&body);
    }
}
