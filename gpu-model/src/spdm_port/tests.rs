//! SEC2 over the emulators' socket: sessions, their distance from the guest's, and nonsense.

use getrandom::SysRng;
use p384::ecdsa::VerifyingKey;
use proptest::prelude::*;
use rand_core::UnwrapErr;
use ravelin_dice::{Chain, Clock, TrustAnchor, UnixTime};
use ravelin_gpu_abi::registers::{self, Mode};
use ravelin_gpu_abi::ring::Outcome;
use ravelin_spdm::message::code;
use ravelin_spdm::requester::{Config, Established, Requester, Step};
use ravelin_spdm::transport::carrier::{Carrier, Transport};
use ravelin_spdm::transport::doe::{Discovered, Discovery};
use ravelin_spdm::transport::socket::{CLIENT_HELLO, Command, HEADER_SIZE, Header, encode};
use ravelin_spdm::{CertificateChain, ChainRefused};

use super::*;
use crate::admin::ResetKind;
use crate::testing::{BASE, Guest};

const TRANSPORTS: [Transport; 3] = [Transport::Doe, Transport::Mctp, Transport::None];

fn socket(guest: &Guest, transport: Transport) -> SpdmSocket {
    SpdmSocket::new(guest.gpu.spdm_port(transport))
}

/// The one answer to one frame.
fn serve(socket: &mut SpdmSocket, frame: &[u8]) -> Served {
    let mut input = frame;
    let served = socket.receive(&mut input).unwrap();
    assert!(input.is_empty());
    served
}

/// What the transport carries back.
fn exchange(socket: &mut SpdmSocket, transport: Transport, payload: &[u8]) -> Vec<u8> {
    let served = serve(socket, &encode(Command::Normal, transport, payload).unwrap());
    let carried = served.carried.unwrap();
    assert_eq!(served.frame, encode(Command::Normal, transport, &carried.response).unwrap());
    assert_eq!(carried.request, payload);
    carried.response
}

fn leaf_key(chain: &CertificateChain) -> Result<VerifyingKey, ChainRefused> {
    let certificates: Vec<&[u8]> = chain.certificates().collect();
    let anchor = TrustAnchor::new(certificates[0]).unwrap();
    Ok(Chain::verify(&certificates, &anchor, Clock::At(UnixTime(1_800_000_000)))
        .unwrap()
        .public_key)
}

/// Establishes a session, to the signed measurements.
fn converse(socket: &mut SpdmSocket, carrier: &mut Carrier) -> Box<Established> {
    converse_in(Version::V1_3, socket, carrier)
}

fn converse_in(
    version: Version,
    socket: &mut SpdmSocket,
    carrier: &mut Carrier,
) -> Box<Established> {
    let transport = carrier.transport();
    let config = Config { framing: transport.framing(), slot: 0, verifier_nonce: [7; 32] };
    let mut requester =
        Requester::new(UnwrapErr(SysRng), leaf_key, config).with_versions([version]);
    let mut message = requester.start();
    loop {
        let response = exchange(socket, transport, &carrier.encode(&message).unwrap());
        match requester.receive(&carrier.decode(&response).unwrap()).unwrap() {
            Step::Send(next) => message = next,
            Step::Done(established) => return established,
        }
    }
}

/// The code of the ERROR in clear that this is.
fn error_code(carrier: &mut Carrier, response: &[u8]) -> u8 {
    match carrier.decode(response).unwrap() {
        Message::Clear(bytes) if bytes.get(1) == Some(&code::ERROR) => bytes[2],
        other => panic!("{other:?} is no ERROR"),
    }
}

#[test]
fn a_session_of_every_version_is_established_and_ended_on_every_transport() {
    for transport in TRANSPORTS {
        let guest = Guest::new(Mode::On);
        let mut socket = socket(&guest, transport);
        let mut carrier = Carrier::new(transport);
        // On one connection, on which a requester may begin again.
        for version in Version::NEGOTIABLE {
            let mut established = converse_in(version, &mut socket, &mut carrier);
            assert_eq!(established.session.version(), version);
            let key = leaf_key(&established.evidence.chain).unwrap();
            assert!(established.evidence.measurements.verify(&key).is_ok());
            let end = carrier.encode(&established.session.end().unwrap()).unwrap();
            let answer = exchange(&mut socket, transport, &end);
            established.session.confirm_end(&carrier.decode(&answer).unwrap()).unwrap();
        }
    }
}

#[test]
fn who_speaks_on_a_port_does_not_disturb_the_guest() {
    for transport in TRANSPORTS {
        let mut guest = Guest::attached();
        let mut socket = socket(&guest, transport);
        converse(&mut socket, &mut Carrier::new(transport));
        assert_eq!(guest.read32(registers::SESSION_COUNT), 1);
        assert_eq!(guest.copy_in(BASE, b"the guest's own"), Outcome::Done);
    }
}

#[test]
fn ports_hold_conversations_of_their_own() {
    let guest = Guest::new(Mode::On);
    let (mut one, mut other) = (socket(&guest, Transport::Mctp), socket(&guest, Transport::Mctp));
    let (mut one_carrier, mut other_carrier) =
        (Carrier::new(Transport::Mctp), Carrier::new(Transport::Mctp));
    let mut first = converse(&mut one, &mut one_carrier);
    let second = converse(&mut other, &mut other_carrier);
    // Both have the number 1, so only their keys tell them apart.
    let end = one_carrier.encode(&first.session.end().unwrap()).unwrap();
    let answer = exchange(&mut one, Transport::Mctp, &end);
    first.session.confirm_end(&one_carrier.decode(&answer).unwrap()).unwrap();
    let mut second = second.session;
    let end = other_carrier.encode(&second.end().unwrap()).unwrap();
    let answer = exchange(&mut other, Transport::Mctp, &end);
    second.confirm_end(&other_carrier.decode(&answer).unwrap()).unwrap();
}

#[test]
fn a_reset_ends_a_ports_session_and_a_dropped_port_is_forgotten() {
    let guest = Guest::new(Mode::On);
    let mut carrier = Carrier::new(Transport::Doe);
    let mut socket = socket(&guest, Transport::Doe);
    let mut before = converse(&mut socket, &mut carrier);
    guest.gpu.admin().reset(ResetKind::Flr).unwrap();
    let end = carrier.encode(&before.session.end().unwrap()).unwrap();
    let answer = exchange(&mut socket, Transport::Doe, &end);
    assert!(before.session.confirm_end(&carrier.decode(&answer).unwrap()).is_err());
    let after = converse(&mut socket, &mut carrier);
    assert_ne!(leaf_key(&before.evidence.chain).unwrap(), leaf_key(&after.evidence.chain).unwrap());
    let ports = || guest.gpu.machine().life.read().as_ref().unwrap().sec2.lock().ports();
    assert_eq!(ports(), 1);
    drop(socket);
    assert_eq!(ports(), 0);
}

#[test]
fn a_booting_gpu_says_that_it_is_busy() {
    let guest = Guest::new(Mode::On);
    let mut socket = socket(&guest, Transport::Mctp);
    let life = guest.gpu.machine().life.write().take();
    let answer = exchange(&mut socket, Transport::Mctp, &[5, 0x10, code::GET_VERSION, 0, 0]);
    assert_eq!(answer, [5, 0x10, code::ERROR, ErrorCode::Busy as u8, 0]);
    *guest.gpu.machine().life.write() = life;
}

#[test]
fn the_emulators_commands_are_answered() {
    let guest = Guest::new(Mode::On);
    for transport in TRANSPORTS {
        let mut socket = socket(&guest, transport);
        let test = serve(&mut socket, &encode(Command::Test, transport, CLIENT_HELLO).unwrap());
        assert_eq!(test.frame, encode(Command::Test, transport, b"Server Hello!\0").unwrap());
        assert!(!test.last && test.carried.is_none());
        for (command, last) in [(Command::Continue, false), (Command::Shutdown, true)] {
            for payload in [&[][..], &[1, 0, 0, 0, 2, 0, 0, 0]] {
                let served = serve(&mut socket, &encode(command, transport, payload).unwrap());
                assert_eq!(served.frame, encode(command, transport, &[]).unwrap());
                assert_eq!(served.last, last);
            }
        }
    }
}

#[test]
fn discovery_walks_over_what_the_port_speaks() {
    let guest = Guest::new(Mode::On);
    let mut socket = socket(&guest, Transport::Doe);
    for (index, next) in [(0, 1), (1, 2), (2, 0)] {
        let request = doe::encode(ObjectType::Discovery, &Discovery { index }.encode()).unwrap();
        let answer = exchange(&mut socket, Transport::Doe, &request);
        let (_, payload) = doe::decode(&answer).unwrap();
        let found = Discovered::decode(payload).unwrap();
        assert_eq!((found.object_type, found.next), (index, next));
    }
}

#[test]
fn what_is_no_message_of_the_transport_is_an_invalid_request() {
    let guest = Guest::new(Mode::On);
    for transport in TRANSPORTS {
        let mut socket = socket(&guest, transport);
        let mut carrier = Carrier::new(transport);
        let payloads: [&[u8]; 5] =
            [&[], &[7], &[1, 0, 9, 0, 2, 0, 0, 0], &[1, 0, 0, 0, 2, 0, 0, 0], b"GET /"];
        for payload in payloads {
            let answer = exchange(&mut socket, transport, payload);
            let code = error_code(&mut carrier, &answer);
            assert!(code == 1 || code == 7 || code == 0x41, "{payload:x?} is answered with {code}");
        }
        converse(&mut socket, &mut carrier);
    }
}

#[test]
fn an_unknown_command_or_another_transport_is_unknown() {
    let guest = Guest::new(Mode::On);
    let mut socket = socket(&guest, Transport::Doe);
    let unknown = encode(Command::Unknown, Transport::Doe, &[]).unwrap();
    for (command, transport) in [(0, 2), (2, 2), (0xffff, 2), (1, 0), (1, 1), (1, 3), (0xdead, 1)] {
        let frame = [&Header { command, transport, size: 3 }.encode()[..], b"abc"].concat();
        let served = serve(&mut socket, &frame);
        assert_eq!(served, Served { frame: unknown.clone(), carried: None, last: false });
    }
}

#[test]
fn a_payload_too_long_is_refused_and_takes_no_memory() {
    let guest = Guest::new(Mode::On);
    for transport in TRANSPORTS {
        let mut socket = socket(&guest, transport);
        let mut carrier = Carrier::new(transport);
        let size = 64 << 20;
        let header = Header { command: 1, transport: transport.number(), size }.encode();
        assert_eq!(socket.receive(&mut &header[..]), None);
        let piece = vec![0x12; 1 << 20];
        for _ in 0..63 {
            assert_eq!(socket.receive(&mut piece.as_slice()), None);
            assert!(matches!(socket.state, socket::State::TooLong { .. }));
        }
        let served = serve(&mut socket, &piece);
        let answer = &served.frame[HEADER_SIZE..];
        assert_eq!(error_code(&mut carrier, answer), ErrorCode::InvalidRequest as u8);
        // The next frame is found behind it.
        converse(&mut socket, &mut carrier);
    }
}

#[test]
fn frames_are_found_however_the_stream_is_cut() {
    let guest = Guest::new(Mode::On);
    let mut socket = socket(&guest, Transport::None);
    let frame = encode(Command::Normal, Transport::None, &[0x10, code::GET_VERSION, 0, 0]).unwrap();
    let whole = serve(&mut socket, &frame);
    let stream = [frame.as_slice(), &frame, &frame].concat();
    for size in 1..stream.len() {
        let mut served = Vec::new();
        for mut piece in stream.chunks(size) {
            while let Some(answer) = socket.receive(&mut piece) {
                served.push(answer);
            }
        }
        assert_eq!(served, vec![whole.clone(); 3], "in pieces of {size}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_payload_is_left_without_an_answer(
        payloads in prop::collection::vec(
            (any::<bool>(), prop::collection::vec(any::<u8>(), 0..128)), 1..48,
        ),
    ) {
        let guest = Guest::new(Mode::On);
        for transport in TRANSPORTS {
            let mut socket = socket(&guest, transport);
            let mut carrier = Carrier::new(transport);
            for (framed, bytes) in &payloads {
                let payload = match framed {
                    true => carrier.clone().encode(&Message::Clear(bytes.clone())).unwrap(),
                    false => bytes.clone(),
                };
                prop_assert!(!exchange(&mut socket, transport, &payload).is_empty());
            }
            converse(&mut socket, &mut carrier);
        }
    }
}
