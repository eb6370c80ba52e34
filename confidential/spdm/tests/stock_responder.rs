//! A responder that knows nothing of this crate, and is as talkative as the specifications let it
//! be: more versions, capabilities, slots and measurements than the requester wants, opaque data of
//! strangers, a chain in small portions. The requester has to come to an end with it, in every
//! version, and to take exactly what is signed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panics")]

use p384::ecdsa::Signature;
use p384::ecdsa::signature::hazmat::PrehashSigner;
use p384::elliptic_curve::sec1::ToSec1Point;
use p384::{PublicKey, SecretKey};
use ravelin_spdm::Message;
use ravelin_spdm::message::capabilities::Flags;
use ravelin_spdm::message::measurements::{Operation, SignatureRequest};
use ravelin_spdm::requester::{Answer, Ask, Config, Established, Progress, Requester, Step};
use ravelin_spdm::transport::mctp;
use ravelin_spdm::version::Version;
use sha2::{Digest, Sha384};

#[path = "support/device.rs"]
#[allow(dead_code, reason = "not all of the device is met here")]
mod device;
#[path = "support/stock.rs"]
mod stock;

use device::{TestDevice, TestRng, verifier};
use stock::{Direction, digest_to_sign, expand, hmac};

/// The responder.
struct Stock {
    version: u8,
    device: TestDevice,
    vca: Vec<u8>,
    /// B of M1/M2.
    identity: Vec<u8>,
    session: Option<Session>,
}

/// A session, established or not.
struct Session {
    id: [u8; 4],
    /// Up to ResponderVerifyData, until FINISH has come.
    th: Vec<u8>,
    finish_key: Vec<u8>,
    handshake: Vec<u8>,
    sending: Direction,
    receiving: Direction,
}

/// The measurement record: firmware, a manifest in raw bits, and device modes at their own indices.
fn record() -> Vec<u8> {
    let firmware = [&[1, 1, 51, 0, 1, 48, 0][..], &[0xaa; 48]].concat();
    let manifest = [0xfd, 1, 6, 0, 0x84, 3, 0, 7, 8, 9];
    let modes = [&[0xfe, 1, 19, 0, 0x85, 16, 0][..], &[0; 16]].concat();
    [firmware.as_slice(), &manifest, &modes].concat()
}

impl Stock {
    fn new(version: u8) -> Stock {
        let device = TestDevice::genuine(1);
        Stock { version, device, vca: vec![], identity: vec![], session: None }
    }

    fn sign(&self, context: &str, transcript: &[u8]) -> Vec<u8> {
        let digest = digest_to_sign(self.version, context, transcript);
        let signature: Signature = self.device.key.sign_prehash(&digest).unwrap();
        signature.to_bytes().to_vec()
    }

    fn respond(&mut self, request: &Message) -> Message {
        match request {
            Message::Clear(request) => Message::Clear(self.clear(request)),
            Message::Secured(record) => Message::Secured(self.secured(record)),
        }
    }

    fn clear(&mut self, request: &[u8]) -> Vec<u8> {
        let version = self.version;
        assert_eq!(request[0], if request[1] == 0x84 { 0x10 } else { version });
        let response = match request[1] {
            // 1.0 to the version, and a draft of another.
            0x84 => {
                let entries = (0x10..=version).flat_map(|version| [0x20, version]);
                let entries: Vec<u8> = entries.chain([0x01, 0x14]).collect();
                [&[0x10, 0x04, 0, 0, 0, entries.len() as u8 / 2], entries.as_slice()].concat()
            }
            0xe1 => self.capabilities(request),
            0xe3 => self.algorithms(request),
            0x81 => {
                let digest = self.device.chain.digest();
                let supported = if version == 0x13 { 0xf } else { 0 };
                [&[version, 0x01, supported, 3][..], &digest, &[0xee; 48]].concat()
            }
            // 77 bytes at a time.
            0x82 => {
                let offset = usize::from(u16::from_le_bytes([request[4], request[5]]));
                let rest = &self.device.chain.as_bytes()[offset..];
                let length = rest.len().min(77);
                let remainder = (rest.len() - length) as u8;
                let header = [version, 0x02, 0, 0, length as u8, 0, remainder, 0];
                [&header, &rest[..length]].concat()
            }
            0x83 => return self.challenge(request),
            0xe0 => self.measurements(request),
            0xe4 => return self.key_exchange(request),
            other => panic!("request {other:#04x}"),
        };
        match request[1] {
            0x84 | 0xe1 | 0xe3 => self.vca.extend([request, &response].concat()),
            0x81 | 0x82 => self.identity.extend([request, &response].concat()),
            _ => {}
        }
        response
    }

    fn capabilities(&self, request: &[u8]) -> Vec<u8> {
        // ENCRYPT and MAC; KEY_EX, HBEAT, KEY_UPD.
        assert_eq!(request[8..12], [0xc0, 0x62, 0, 0]);
        // CACHE, CERT, CHAL, MEAS_SIG, MEAS_FRESH, ENCRYPT, MAC; MUT_AUTH, KEY_EX, PSK, ENCAP, HBEAT,
        // KEY_UPD; from 1.2 on CHUNK, ALIAS_CERT, SET_CERT, CSR, CERT_INSTALL_RESET; in 1.3
        // EP_INFO_SIG, MEL, EVENT, MULTI_KEY if the requester wants to, GET_KEY_PAIR_INFO.
        let flags = match self.version {
            0x11 => [0xf7, 0x77, 0, 0],
            0x12 => [0xf7, 0x77, 0x3e, 0],
            _ => [0xf7, 0x77, 0xbe, 0x1b],
        };
        let sizes: &[u8] = if self.version == 0x11 { &[] } else { &[0, 0x12, 0, 0, 0, 0, 1, 0] };
        [&[self.version, 0x61, 0, 0, 0, 23, 0, 0][..], &flags, sizes].concat()
    }

    fn algorithms(&self, request: &[u8]) -> Vec<u8> {
        let other = if self.version == 0x11 { 0 } else { 2 };
        let fixed = [self.version, 0xe3, 3, 0, 44, 0, 1, other, 0x80, 0, 0, 0, 2, 0, 0, 0];
        let structures = [2, 0x20, 0x10, 0, 3, 0x20, 2, 0, 5, 0x20, 1, 0];
        assert_eq!(request, [&fixed[..], &[0; 16], &structures].concat());
        let fixed = [self.version, 0x63, 3, 0, 48, 0, 1, other, 4, 0, 0, 0, 0x80, 0, 0, 0];
        [&fixed[..], &[2, 0, 0, 0], &[0; 16], &structures].concat()
    }

    /// RequesterContext, where the version has one.
    fn context<'a>(&self, request: &'a [u8]) -> &'a [u8] {
        if self.version == 0x13 { &request[request.len() - 8..] } else { &[] }
    }

    fn challenge(&mut self, request: &[u8]) -> Vec<u8> {
        assert_eq!(request[2..4], [0, 0xff]);
        let summary = Sha384::digest(record());
        let mut response = [&[self.version, 0x03, 0, 3][..], &self.device.chain.digest()].concat();
        response.extend([&[5; 32][..], &summary, &[2, 0, 0xab, 0xcd]].concat());
        response.extend_from_slice(self.context(request));
        let m1 = [&self.vca, &self.identity, request, &response].concat();
        response.extend(self.sign("responder-challenge_auth signing", &m1));
        response
    }

    /// All of them, signed if that is asked for.
    fn measurements(&self, request: &[u8]) -> Vec<u8> {
        assert_eq!(request[3], 0xff);
        let record = record();
        // From 1.2 on: no change detected.
        let changed = if self.version == 0x11 { 0 } else { 0x20 };
        let mut response = vec![self.version, 0x60, 0, changed, 3, record.len() as u8, 0, 0];
        response.extend([record.as_slice(), &[6; 32], &[1, 0, 0xef]].concat());
        response.extend_from_slice(self.context(request));
        if request[2] & 1 != 0 {
            let vca = if self.version == 0x11 { &[][..] } else { &self.vca };
            let l1 = [vca, request, &response].concat();
            response.extend(self.sign("responder-measurements signing", &l1));
        }
        response
    }

    fn key_exchange(&mut self, request: &[u8]) -> Vec<u8> {
        let version = self.version;
        assert_eq!((request[2], request[3], request[7]), (0xff, 0, 0));
        let secret = SecretKey::from_slice(&[9; 48]).unwrap();
        let point = secret.public_key().to_sec1_point(false);
        // Heartbeats every 30 seconds.
        let mut response = vec![version, 0x64, 30, 0, 0xcd, 0xab, 0, 0];
        response.extend([&[3; 32][..], &point.as_bytes()[1..], &Sha384::digest(record())].concat());
        // An element of the PCI-SIG's in front of the selection of secured messages 1.1.
        let elements = [3, 2, 0xde, 0x10, 1, 0, 0x55, 0, 0, 0, 4, 0, 1, 0, 0x00, 0x11];
        let opaque = match version {
            0x11 => [&[24, 0, 0x46, 0x54, 0x4d, 0x44, 1, 2, 0, 0][..], &elements].concat(),
            _ => [&[20, 0, 2, 0, 0, 0][..], &elements].concat(),
        };
        response.extend(opaque);
        let mut th =
            [&self.vca, self.device.chain.digest().as_slice(), request, &response].concat();
        let signature = self.sign("responder-key_exchange_rsp signing", &th);
        th.extend_from_slice(&signature);

        let peer = PublicKey::from_sec1_bytes(&[&[4], &request[40..136]].concat()).unwrap();
        let shared = p384::ecdh::diffie_hellman(secret.to_nonzero_scalar(), peer.as_affine());
        let handshake = hmac(&[0; 48], shared.raw_secret_bytes());
        let th1 = Sha384::digest(&th);
        let secrets = ["req hs data", "rsp hs data"]
            .map(|label| expand(version, &handshake, 48, label, &th1));
        let [finish_key, respond_key] =
            [0, 1].map(|side| expand(version, &secrets[side], 48, "finished", &[]));
        let verify_data = hmac(&respond_key, &th1);
        th.extend_from_slice(&verify_data);
        let [receiving, sending] = secrets.map(|secret| Direction::new(version, secret));
        let id = [request[4], request[5], 0xcd, 0xab];
        self.session = Some(Session { id, th, finish_key, handshake, sending, receiving });
        [response, signature, verify_data].concat()
    }

    fn secured(&mut self, record: &[u8]) -> Vec<u8> {
        let version = self.version;
        let mut session = self.session.take().unwrap();
        let id = session.id;
        let request = session.receiving.open(id, record);
        let response = match request[1..4] {
            [0xe5, 0, 0] => return self.finish(session, &request),
            [0xe0, ..] => self.measurements(&request),
            [0xe8, ..] => vec![version, 0x68, 0, 0],
            [0xe9, operation, tag] => {
                match operation {
                    1 => session.receiving.update(),
                    2 => {
                        session.receiving.update();
                        session.sending.update();
                    }
                    _ => {}
                }
                vec![version, 0x69, operation, tag]
            }
            [0xec, ..] => vec![version, 0x6c, 0, 0],
            ref other => panic!("request {other:02x?}"),
        };
        let record = session.sending.seal(id, &response);
        self.session = Some(session);
        record
    }

    fn finish(&mut self, mut session: Session, request: &[u8]) -> Vec<u8> {
        let version = self.version;
        let (header, verify_data) = request.split_at(4);
        session.th.extend_from_slice(header);
        let expected = hmac(&session.finish_key, &Sha384::digest(&session.th));
        assert_eq!(verify_data, expected);
        let response = [version, 0x65, 0, 0];
        session.th.extend([verify_data, &response].concat());
        let record = session.sending.seal(session.id, &response);
        let salt = expand(version, &session.handshake, 48, "derived", &[]);
        let master = hmac(&salt, &[0; 48]);
        let th2 = Sha384::digest(&session.th);
        [session.receiving, session.sending] = ["req app data", "rsp app data"]
            .map(|label| Direction::new(version, expand(version, &master, 48, label, &th2)));
        self.session = Some(session);
        record
    }
}

#[test]
fn the_requester_comes_to_an_end_with_a_stock_responder_in_every_version() {
    for version in Version::NEGOTIABLE {
        let mut stock = Stock::new(version as u8);
        let config = Config { framing: mctp::FRAMING, slot: 0, verifier_nonce: [7; 32] };
        let mut requester = Requester::new(TestRng::new(7), verifier, config)
            .with_versions(Version::NEGOTIABLE)
            .with_features(Flags::HBEAT | Flags::KEY_UPD)
            .with_challenge()
            .with_measurements_before(Operation::All, true);
        let mut request = requester.start();
        let established = loop {
            match requester.receive(&stock.respond(&request)).unwrap() {
                Step::Send(next) => request = next,
                Step::Done(established) => break established,
            }
        };
        let Established { mut session, evidence, before, .. } = *established;
        assert_eq!((session.version(), session.heartbeat_period()), (version, 30));
        let key = verifier(&evidence.chain).unwrap();
        let measured = evidence.measurements.verify(&key).unwrap();
        assert_eq!(measured.blocks, before[0].blocks);
        let indices: Vec<u8> = measured.blocks.iter().map(|block| block.index).collect();
        assert_eq!((indices, measured.opaque), (vec![1, 0xfd, 0xfe], vec![0xef]));

        let signature = Some(SignatureRequest { nonce: [3; 32], slot: 0 });
        for ask in [
            Ask::Heartbeat,
            Ask::UpdateKeys { all: false },
            Ask::UpdateKeys { all: true },
            Ask::Measurements { operation: Operation::All, signature },
            Ask::End,
        ] {
            let ends = ask == Ask::End;
            let mut request = session.ask(ask).unwrap();
            let answer = loop {
                match session.receive(&stock.respond(&request)).unwrap() {
                    Progress::Send(next) => request = next,
                    Progress::Done(answer) => break answer,
                }
            };
            assert_eq!(answer == Answer::Ended, ends);
        }
    }
}
