//! A device with a genuine key that signs what it should not, or what it has signed before: threats 10
//! and 11, and everything that was not agreed.

use super::*;

/// What the requester makes of a device that signs a key exchange with one field changed.
fn signed_anew(change: impl Fn(&mut KeyExchangeResponse)) -> Error {
    let device = TestDevice::genuine(1);
    let mut vca = Vec::new();
    let mut request = Vec::new();
    let outcome = handshake(&mut requester(7), &mut responder(), |_, way, message| {
        match way {
            Way::Request(code::KEY_EXCHANGE) => {
                // The mailbox has added two bytes.
                request = message.as_bytes()[..message.as_bytes().len() - 2].to_vec();
            }
            Way::Response(code::KEY_EXCHANGE) => {
                return map(message, |bytes| {
                    let summary = SummaryType::All;
                    let (mut answer, _) =
                        decode_padded::<KeyExchangeResponse>(bytes, Version::V1_2, summary, 4)
                            .unwrap();
                    change(&mut answer);
                    let encoded = answer.encode(Version::V1_2);
                    let digest = Sha384::new()
                        .chain_update(&vca)
                        .chain_update(device.chain.digest())
                        .chain_update(&request)
                        .chain_update(&encoded[..encoded.len() - KeyExchangeResponse::UNSIGNED])
                        .finalize();
                    let signed =
                        signed_message(Version::V1_2, Purpose::KeyExchange, &digest.into())
                            .unwrap();
                    answer.signature = device.sign(&signed).unwrap();
                    *bytes = answer.encode(Version::V1_2);
                });
            }
            Way::Request(code) | Way::Response(code) => {
                let negotiation =
                    [code::GET_VERSION, code::GET_CAPABILITIES, code::NEGOTIATE_ALGORITHMS];
                if negotiation.contains(&code) {
                    vca.extend_from_slice(message.as_bytes());
                }
            }
        }
        message
    });
    outcome.error()
}

#[test]
fn what_was_not_agreed_is_refused_even_if_it_is_signed() {
    // The device has other keys now than its verify data was made with.
    assert_eq!(signed_anew(|answer| answer.random[0] ^= 1), Error::BadVerifyData);
    let not_agreed = |field, found| Error::NotAgreed { field, found };
    let error = signed_anew(|answer| answer.heartbeat_period = 5);
    assert_eq!(error, not_agreed("HeartbeatPeriod", 5));
    let error = signed_anew(|answer| answer.mutual_authentication = 1);
    assert_eq!(error, not_agreed("MutAuthRequested", 1));
    let error = signed_anew(|answer| answer.requester_slot = 2);
    assert_eq!(error, not_agreed("SlotIDParam", 2));
    let error = signed_anew(|answer| {
        answer.opaque = encode_selection(Version::V1_2, VersionNumber(0x2000))
    });
    assert_eq!(error, Error::SecuredVersion);
    assert_eq!(signed_anew(|answer| answer.opaque.clear()), Error::SecuredVersion);
    assert_eq!(signed_anew(|answer| answer.exchange_data = [1; 96]), Error::ExchangeData);
}

#[test]
fn measurements_other_than_those_vouched_for_are_refused() {
    // Firmware changes between key exchange and measurements.
    struct Shifty(TestDevice, core::cell::Cell<u8>);
    impl Device for Shifty {
        fn certificate_chain(&self) -> &CertificateChain {
            &self.0.chain
        }
        fn sign(&self, message: &[u8; crate::SIGNED_SIZE]) -> Option<[u8; 96]> {
            self.0.sign(message)
        }
        fn sign_digest(&self, digest: &[u8; 48]) -> Option<[u8; 96]> {
            self.0.sign_digest(digest)
        }
        fn measurements(&self) -> Vec<crate::measurements::Block> {
            self.1.set(self.1.get() + 1);
            let mut blocks = self.0.blocks.clone();
            blocks[0].value = crate::measurements::Value::Digest([self.1.get(); 48]);
            blocks
        }
    }
    let device = Shifty(TestDevice::genuine(1), core::cell::Cell::new(0));
    let mut shifty = Responder::new(device, TestRng::new(1), doe::FRAMING);
    let mut requester = requester(7);
    let mut request = requester.start();
    let error = loop {
        match requester.receive(&shifty.respond(&request).message) {
            Ok(Step::Send(next)) => request = next,
            Ok(Step::Done(_)) => panic!("the handshake went through"),
            Err(error) => break error,
        }
    };
    assert_eq!(error, Error::SummaryMismatch);
}

#[test]
fn measurements_of_an_earlier_session_are_refused() {
    // The responder replays what it has signed before, inside of a new session.
    let mut old = handshake(&mut requester(7), &mut responder(), honest).result.unwrap();
    let new = handshake(&mut requester(8), &mut responder(), honest).result.unwrap();
    let key = verifier(&new.evidence.chain).unwrap();
    let Evidence { measurements, verifier_nonce, exchange_key, .. } = new.evidence;
    // Where only the response is replayed, the signature does not cover the new nonce.
    let replayed = MeasurementTranscript {
        response: core::mem::take(&mut old.evidence.measurements.response),
        ..measurements
    };
    assert_eq!(replayed.verify(&key), Err(TranscriptError::BadSignature));
    // Where the request is, too, the nonce is not the one that belongs to verifier and session.
    let replayed = MeasurementTranscript { request: old.evidence.measurements.request, ..replayed };
    let nonce = replayed.verify(&key).unwrap().nonce;
    assert_ne!(nonce, bound_nonce(&verifier_nonce, &exchange_key));
    assert_ne!(nonce, bound_nonce(&verifier_nonce, &old.evidence.exchange_key));
    assert_ne!(nonce, bound_nonce(&old.evidence.verifier_nonce, &exchange_key));
}
