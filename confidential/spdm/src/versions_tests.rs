//! Whole conversations in every version and on every transport, with everything that may be asked.

use alloc::boxed::Box;
use alloc::vec::Vec;

use subtle::ConstantTimeEq;

use crate::message::capabilities::Flags;
use crate::message::code;
use crate::message::error::ErrorCode;
use crate::message::measurements::{Operation, SignatureRequest};
use crate::message::vendor::VendorDefined;
use crate::requester::{Answer, Ask, Error, Established, Progress, Session, Step};
use crate::responder::{Event, Responder};
use crate::suite::FEATURES;
use crate::test_support::{TestDevice, TestResponder, TestRng, requester_of};
use crate::transport::carrier::{Carrier, Transport};
use crate::transport::{Message, doe};
use crate::version::Version;

const TRANSPORTS: [Transport; 3] = [Transport::Doe, Transport::Mctp, Transport::None];

/// Both ends of a wire.
struct Wire {
    near: Carrier,
    far: Carrier,
    responder: TestResponder,
    events: Vec<Event>,
}

impl Wire {
    fn new(transport: Transport, device: TestDevice) -> Wire {
        let responder = Responder::new(device, TestRng::new(1), transport.framing());
        let carrier = || Carrier::new(transport);
        Wire { near: carrier(), far: carrier(), responder, events: Vec::new() }
    }

    fn exchange(&mut self, request: &Message) -> Message {
        let there = self.near.encode(request).unwrap();
        let reply = self.responder.respond(&self.far.decode(&there).unwrap());
        self.events.extend(reply.event);
        let back = self.far.encode(&reply.message).unwrap();
        self.near.decode(&back).unwrap()
    }

    fn establish(&mut self, version: Version, features: Flags) -> Result<Box<Established>, Error> {
        let framing = self.near.transport().framing();
        let mut requester = requester_of(7, framing)
            .with_versions([version])
            .with_features(features)
            .with_challenge()
            .with_measurements_before(Operation::Count, false)
            .with_measurements_before(Operation::One(2), false)
            .with_measurements_before(Operation::All, true);
        let mut request = requester.start();
        loop {
            match requester.receive(&self.exchange(&request))? {
                Step::Send(next) => request = next,
                Step::Done(established) => return Ok(established),
            }
        }
    }

    fn ask(&mut self, session: &mut Session, ask: Ask) -> Result<Answer, Error> {
        let mut request = session.ask(ask)?;
        loop {
            match session.receive(&self.exchange(&request))? {
                Progress::Send(next) => request = next,
                Progress::Done(answer) => return Ok(answer),
            }
        }
    }
}

fn signed(operation: Operation) -> Ask {
    let signature = Some(SignatureRequest { nonce: [3; 32], slot: 0 });
    Ask::Measurements { operation, signature }
}

#[test]
fn every_version_on_every_transport_comes_to_a_good_end() {
    for version in Version::NEGOTIABLE {
        for transport in TRANSPORTS {
            let mut wire = Wire::new(transport, TestDevice::genuine(1));
            let established = wire.establish(version, FEATURES).unwrap();
            let [Event::SessionEstablished { export_secret, .. }] = wire.events.as_slice() else {
                panic!("one session")
            };
            assert!(bool::from(established.export_secret.ct_eq(export_secret)));
            let [count, one, all] = established.before.as_slice() else { panic!("three answers") };
            assert_eq!((count.count, one.blocks.len(), all.blocks.len()), (3, 1, 3));
            let key = crate::test_support::verifier(&established.evidence.chain).unwrap();
            established.evidence.measurements.verify(&key).unwrap();
            assert_eq!(established.evidence.measurements.request[0], version as u8);

            let mut session = established.session;
            assert_eq!(session.version(), version);
            assert_eq!(wire.ask(&mut session, Ask::Heartbeat), Ok(Answer::Alive));
            for all in [false, true, true, false] {
                let updated = wire.ask(&mut session, Ask::UpdateKeys { all });
                assert_eq!(updated, Ok(Answer::KeysUpdated), "{version:?} {transport:?}");
            }
            for operation in [Operation::Count, Operation::One(6), Operation::All] {
                let unsigned = Ask::Measurements { operation, signature: None };
                for ask in [unsigned, signed(operation)] {
                    let answer = wire.ask(&mut session, ask).unwrap();
                    assert!(matches!(answer, Answer::Measurements(_)));
                }
            }
            let fields =
                VendorDefined { standard_id: 3, vendor_id: [1, 2].into(), payload: [5].into() };
            let unknown = wire.ask(&mut session, Ask::VendorDefined(fields));
            let refused = Error::Refused {
                code: ErrorCode::UnsupportedRequest,
                data: code::VENDOR_DEFINED_REQUEST,
            };
            assert_eq!(unknown, Err(refused));
            // A refusal is not the end.
            assert_eq!(wire.ask(&mut session, Ask::End), Ok(Answer::Ended));
            assert_eq!(wire.responder.session(), None);
            assert_eq!(session.ask(Ask::Heartbeat), Err(Error::NotStarted));
        }
    }
}

#[test]
fn the_highest_version_that_both_speak_is_taken() {
    let mut wire = Wire::new(Transport::Doe, TestDevice::genuine(1));
    for (versions, expected) in [
        (&[Version::V1_1][..], Version::V1_1),
        (&[Version::V1_2, Version::V1_1], Version::V1_2),
        (&Version::NEGOTIABLE, Version::V1_3),
    ] {
        let mut requester = requester_of(7, doe::FRAMING).with_versions(versions.iter().copied());
        let answer = wire.exchange(&requester.start());
        let Ok(Step::Send(request)) = requester.receive(&answer) else { panic!("goes on") };
        assert_eq!(request.as_bytes()[0], expected as u8);
        assert_eq!(requester.version(), Some(expected));
    }
}

#[test]
fn what_was_not_agreed_is_not_asked() {
    let mut wire = Wire::new(Transport::Doe, TestDevice::genuine(1));
    let mut session = wire.establish(Version::V1_3, Flags::empty()).unwrap().session;
    let missing = |missing| Err(Error::MissingCapabilities { missing });
    assert_eq!(session.ask(Ask::Heartbeat), missing(Flags::HBEAT));
    assert_eq!(session.ask(Ask::UpdateKeys { all: true }), missing(Flags::KEY_UPD));
    assert_eq!(wire.ask(&mut session, Ask::End), Ok(Answer::Ended));
}

#[test]
fn a_long_chain_is_fetched_in_chunks() {
    for version in [Version::V1_2, Version::V1_3] {
        let mut device = TestDevice::genuine(1);
        for _ in 0..4 {
            device = device_with_one_more(device);
        }
        let chain = device.chain.clone();
        assert!(chain.as_bytes().len() > crate::suite::DATA_TRANSFER_SIZE as usize);
        let mut wire = Wire::new(Transport::Mctp, device);
        let established = wire.establish(version, FEATURES).unwrap();
        assert_eq!(established.evidence.chain, chain);
    }
}

/// The device with one more long certificate in the middle of its chain.
fn device_with_one_more(device: TestDevice) -> TestDevice {
    let filler: Vec<u8> = [&[0x04, 0x82, 0x08, 0x00], [0x55; 2048].as_slice()].concat();
    let mut certificates: Vec<Vec<u8>> = device.chain.certificates().map(<[u8]>::to_vec).collect();
    certificates.insert(1, filler);
    let chain = crate::CertificateChain::new(certificates.iter().map(Vec::as_slice)).unwrap();
    TestDevice { chain, ..device }
}
