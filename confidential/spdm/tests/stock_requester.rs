//! A requester that knows nothing of this crate: the bytes of DSP0274 and DSP0277 as their tables
//! give them, a P-384, a SHA-384 and an AES-256-GCM. The responder has to come to an end with it, in
//! every version, and every signature, verify data and record has to be what the specifications
//! say, computed here a second time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panics")]

use p384::ecdsa::Signature;
use p384::ecdsa::signature::hazmat::PrehashVerifier;
use p384::elliptic_curve::sec1::ToSec1Point;
use p384::{PublicKey, SecretKey};
use ravelin_spdm::Message;
use ravelin_spdm::responder::Responder;
use ravelin_spdm::transport::mctp;
use sha2::{Digest, Sha384};

#[path = "support/device.rs"]
#[allow(dead_code, reason = "not all of the device is met here")]
mod device;
#[path = "support/stock.rs"]
mod stock;

use device::{TestDevice, TestRng};
use stock::{Direction, digest_to_sign, expand, hmac};

fn assert_signed(version: u8, context: &str, transcript: &[u8], signature: &[u8]) {
    let digest = digest_to_sign(version, context, transcript);
    let signature = Signature::from_slice(signature).unwrap();
    let device = TestDevice::genuine(1);
    device.key.verifying_key().verify_prehash(&digest, &signature).expect(context);
}

/// The requester.
struct Stock {
    version: u8,
    responder: Responder<TestDevice, TestRng>,
    vca: Vec<u8>,
}

impl Stock {
    fn exchange(&mut self, request: &[u8]) -> Vec<u8> {
        let reply = self.responder.respond(&Message::Clear(request.to_vec()));
        assert!(matches!(reply.message, Message::Clear(_)));
        reply.message.as_bytes().to_vec()
    }

    /// A request of the version with this code and rest.
    fn ask(&mut self, code: u8, rest: &[&[u8]]) -> (Vec<u8>, Vec<u8>) {
        let request = [&[self.version, code], rest.concat().as_slice()].concat();
        let response = self.exchange(&request);
        assert_eq!(response[..2], [self.version, code & 0x7f], "{response:02x?}");
        (request, response)
    }

    /// From nothing to ALGORITHMS. Takes long messages whole.
    fn connect(version: u8) -> Stock {
        Stock::connect_with(version, 0, [0x1200, 0x1200])
    }

    /// With these flags in the third byte, DataTransferSize and MaxSPDMmsgSize.
    fn connect_with(version: u8, flags: u8, sizes: [u32; 2]) -> Stock {
        let responder = Responder::new(TestDevice::genuine(1), TestRng::new(1), mctp::FRAMING);
        let mut stock = Stock { version, responder, vca: vec![] };
        let response = stock.exchange(&[0x10, 0x84, 0, 0]);
        assert_eq!(response, [0x10, 0x04, 0, 0, 0, 3, 0x00, 0x11, 0x00, 0x12, 0x00, 0x13]);
        stock.vca = [&[0x10, 0x84, 0, 0][..], &response].concat();
        // MAC, ENCRYPT, KEY_EX, HBEAT, KEY_UPD.
        let flags = [0, 0, 20, 0, 0, 0xc0, 0x62, flags, 0];
        let sizes = sizes.map(u32::to_le_bytes);
        let sizes = if version == 0x11 { &[] } else { sizes.as_flattened() };
        let (request, response) = stock.ask(0xe1, &[&[0], &flags, sizes]);
        assert_eq!(response.len(), request.len());
        // CERT, CHAL, MEAS_SIG, ENCRYPT, MAC; KEY_EX, HBEAT, KEY_UPD.
        assert_eq!(response[8..10], [0xd6, 0x62]);
        stock.vca.extend([request, response].concat());
        // Everything that a stock requester may offer, P-256 and SHA-256 among it.
        let other = if version == 0x11 { 0 } else { 2 };
        let fixed = [4, 0, 48, 0, 1, other, 0x90, 0, 0, 0, 3, 0, 0, 0];
        let dhe = [2, 0x20, 0x18, 0, 3, 0x20, 7, 0, 4, 0x20, 0x80, 0, 5, 0x20, 1, 0];
        let (request, response) = stock.ask(0xe3, &[&fixed, &[0; 16], &dhe]);
        let chosen = [4, 0, 52, 0, 1, other, 4, 0, 0, 0, 0x80, 0, 0, 0, 2, 0, 0, 0];
        assert_eq!(response[2..20], chosen);
        assert_eq!(response[20..36], [0; 16]);
        let chosen = [2, 0x20, 0x10, 0, 3, 0x20, 2, 0, 4, 0x20, 0, 0, 5, 0x20, 1, 0];
        assert_eq!(response[36..], chosen);
        stock.vca.extend([request, response].concat());
        stock
    }

    /// RequesterContext, where the version has one.
    fn context(&self) -> &'static [u8] {
        if self.version == 0x13 { b"context!" } else { b"" }
    }

    /// GET_DIGESTS, GET_CERTIFICATE and CHALLENGE. Gives the digest of the chain.
    fn identify(&mut self) -> [u8; 48] {
        let (request, response) = self.ask(0x81, &[&[0, 0]]);
        let supported = u8::from(self.version == 0x13);
        assert_eq!(response[2..4], [supported, 1]);
        let digest: [u8; 48] = response[4..].try_into().unwrap();
        let mut b = [request, response].concat();
        let (request, response) = self.ask(0x82, &[&[0, 0, 0, 0, 0, 4]]);
        let length = response.len() - 8;
        assert_eq!(response[2..8], [0, 0, length as u8, 0, 0, 0]);
        let chain = &response[8..];
        assert_eq!(<[u8; 48]>::from(Sha384::digest(chain)), digest);
        assert_eq!(chain[..4], [length as u8, 0, 0, 0]);
        b.extend([request, response].concat());

        let nonce = [5; 32];
        let context = self.context();
        let (request, response) = self.ask(0x83, &[&[0, 0xff], &nonce, context]);
        assert_eq!(response[2..4], [0, 1]);
        assert_eq!(response[4..52], digest);
        let opaque = 52 + 32 + 48;
        assert_eq!(response[opaque..opaque + 2], [0, 0]);
        assert_eq!(response[opaque + 2..response.len() - 96], *context);
        // M1/M2: A, B and C without the signature.
        let (signed, signature) = response.split_at(response.len() - 96);
        let m1 = [self.vca.as_slice(), &b, &request, signed].concat();
        assert_signed(self.version, "responder-challenge_auth signing", &m1, signature);
        digest
    }

    /// GET_MEASUREMENTS: one unsigned, all signed. Gives the record of all.
    fn measure(&mut self) -> Vec<u8> {
        let context = self.context();
        let (request, response) = self.ask(0xe0, &[&[0, 2], context]);
        let mut l1 = if self.version == 0x11 { vec![] } else { self.vca.clone() };
        l1.extend([request, response].concat());
        let (request, response) = self.ask(0xe0, &[&[1, 0xff], &[6; 32], &[0], context]);
        let (signed, signature) = response.split_at(response.len() - 96);
        l1.extend([&request, signed].concat());
        assert_signed(self.version, "responder-measurements signing", &l1, signature);
        assert_eq!(response[2..5], [0, 0, 3]);
        let length = usize::from(response[5]);
        response[8..8 + length].to_vec()
    }

    /// KEY_EXCHANGE and FINISH, with the summary of this record.
    fn establish(mut self, chain_digest: [u8; 48], record: &[u8]) -> Session {
        let version = self.version;
        let secret = SecretKey::from_slice(&[9; 48]).unwrap();
        let point = secret.public_key().to_sec1_point(false);
        let elements: &[u8] = &[0, 0, 7, 0, 1, 1, 2, 0x00, 0x11, 0x00, 0x10, 0];
        let opaque = match version {
            0x11 => [&[20, 0, 0x46, 0x54, 0x4d, 0x44, 1, 1, 0, 0], elements].concat(),
            _ => [&[16, 0, 1, 0, 0, 0], elements].concat(),
        };
        let fixed = [0xff, 0, 0x34, 0x12, 0, 0];
        let parts: &[&[u8]] = &[&fixed, &[3; 32], &point.as_bytes()[1..], &opaque];
        let (request, response) = self.ask(0xe4, parts);
        assert_eq!((response[2], response[3], response[6], response[7]), (0, 0, 0, 0));
        assert_eq!(response[136..184], *Sha384::digest(record));
        let selected: &[u8] = match version {
            0x11 => &[16, 0, 0x46, 0x54, 0x4d, 0x44, 1, 1, 0, 0, 0, 0, 4, 0, 1, 0, 0x00, 0x11],
            _ => &[12, 0, 1, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0x00, 0x11],
        };
        let (signed, rest) = response.split_at(184 + selected.len());
        assert_eq!(signed[184..], *selected);
        let (signature, verify_data) = rest.split_at(96);
        let mut th = [&self.vca, chain_digest.as_slice(), &request, signed].concat();
        assert_signed(version, "responder-key_exchange_rsp signing", &th, signature);
        th.extend_from_slice(signature);

        let peer = PublicKey::from_sec1_bytes(&[&[4], &response[40..136]].concat()).unwrap();
        let shared = p384::ecdh::diffie_hellman(secret.to_nonzero_scalar(), peer.as_affine());
        let handshake = hmac(&[0; 48], shared.raw_secret_bytes());
        let th1 = Sha384::digest(&th);
        let secrets = ["req hs data", "rsp hs data"]
            .map(|label| expand(version, &handshake, 48, label, &th1));
        let [finish_key, respond_key] =
            [0, 1].map(|side| expand(version, &secrets[side], 48, "finished", &[]));
        assert_eq!(hmac(&respond_key, &th1), verify_data);
        th.extend_from_slice(verify_data);

        let id = [0x34, 0x12, response[4], response[5]];
        let [sending, receiving] = secrets.map(|secret| Direction::new(version, secret));
        let mut session = Session { responder: self.responder, id, version, sending, receiving };
        th.extend_from_slice(&[version, 0xe5, 0, 0]);
        let verify_data = hmac(&finish_key, &Sha384::digest(&th));
        let answer = session.ask(0xe5, &[&[0, 0], verify_data.as_slice()].concat());
        assert_eq!(answer, [version, 0x65, 0, 0]);
        th.extend([verify_data, answer].concat());

        let salt = expand(version, &handshake, 48, "derived", &[]);
        let master = hmac(&salt, &[0; 48]);
        let th2 = Sha384::digest(&th);
        [session.sending, session.receiving] = ["req app data", "rsp app data"]
            .map(|label| Direction::new(version, expand(version, &master, 48, label, &th2)));
        session
    }
}

/// An established session.
struct Session {
    responder: Responder<TestDevice, TestRng>,
    id: [u8; 4],
    version: u8,
    sending: Direction,
    receiving: Direction,
}

impl Session {
    fn send(&mut self, code: u8, rest: &[u8]) -> Vec<u8> {
        let request = [&[self.version, code], rest].concat();
        let record = self.sending.seal(self.id, &request);
        let Message::Secured(record) = self.responder.respond(&Message::Secured(record)).message
        else {
            panic!("an answer in clear")
        };
        record
    }

    fn ask(&mut self, code: u8, rest: &[u8]) -> Vec<u8> {
        let record = self.send(code, rest);
        self.receiving.open(self.id, &record)
    }
}

#[test]
fn a_stock_requester_comes_to_an_end_in_every_version() {
    for version in [0x11, 0x12, 0x13] {
        let mut stock = Stock::connect(version);
        let chain_digest = stock.identify();
        let record = stock.measure();
        let mut session = stock.establish(chain_digest, &record);
        assert_eq!(session.ask(0xe8, &[0, 0]), [version, 0x68, 0, 0]);
        // The requester's key, then both: the answer comes under the responder's new one.
        assert_eq!(session.ask(0xe9, &[1, 7]), [version, 0x69, 1, 7]);
        session.sending.update();
        assert_eq!(session.ask(0xe9, &[3, 8]), [version, 0x69, 3, 8]);
        let answer = session.send(0xe9, &[2, 9]);
        session.receiving.update();
        assert_eq!(session.receiving.open(session.id, &answer), [version, 0x69, 2, 9]);
        session.sending.update();
        assert_eq!(session.ask(0xe9, &[3, 10]), [version, 0x69, 3, 10]);
        // Not what anybody knows, and the session goes on.
        let vendor = [0, 0, 3, 0, 2, 0xde, 0x10, 0, 0];
        assert_eq!(session.ask(0xfe, &vendor), [version, 0x7f, 7, 0xfe]);
        assert_eq!(session.ask(0xec, &[0, 0]), [version, 0x6c, 0, 0]);
        assert_eq!(session.responder.session(), None);
    }
}

/// "CHUNK_GET request and CHUNK_RESPONSE response message": all of a large response.
fn fetch(stock: &mut Stock, handle: u8) -> Vec<u8> {
    let mut message = vec![];
    let mut size = usize::MAX;
    for sequence in 0u8.. {
        let (_, response) = stock.ask(0x86, &[&[0, handle, sequence, 0]]);
        assert_eq!(response[3..8], [handle, sequence, 0, 0, 0]);
        let mut rest = &response[8..];
        let length = u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize;
        rest = &rest[4..];
        if sequence == 0 {
            size = u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize;
            rest = &rest[4..];
        }
        assert_eq!(rest.len(), length);
        message.extend_from_slice(rest);
        let last = response[2] == 1;
        assert_eq!(last, message.len() == size);
        if last {
            break;
        }
        assert_eq!(response.len(), 64, "a piece that is not full");
    }
    message
}

#[test]
fn a_stock_requester_sends_and_fetches_large_messages() {
    for version in [0x12, 0x13] {
        // CHUNK, 64 bytes in one piece and 4096 in several.
        let mut stock = Stock::connect_with(version, 2, [64, 0x1000]);
        let request = [version, 0x82, 0, 0, 0, 0, 0, 4];
        // LargeResponse, with a handle.
        let answer = stock.exchange(&request);
        let [v, 0x7f, 0x0f, 0, handle] = answer[..] else { panic!("{answer:02x?}") };
        assert_eq!(v, version);
        let whole = fetch(&mut stock, handle);
        assert_eq!(whole[..6], [version, 0x02, 0, 0, (whole.len() - 8) as u8, 0]);
        // The same request in two pieces of 4 bytes; the last acknowledgement carries the response,
        // which is large again.
        let (_, ack) =
            stock.ask(0x85, &[&[0, 9, 0, 0, 0, 0, 4, 0, 0, 0, 8, 0, 0, 0], &request[..4]]);
        assert_eq!(ack, [version, 0x05, 0, 9, 0, 0]);
        let (_, ack) = stock.ask(0x85, &[&[1, 9, 1, 0, 0, 0, 4, 0, 0, 0], &request[4..]]);
        let next = handle + 1;
        assert_eq!(ack, [version, 0x05, 0, 9, 1, 0, version, 0x7f, 0x0f, 0, next]);
        assert_eq!(fetch(&mut stock, next), whole);
        // A piece out of order: EarlyErrorDetected, and InvalidRequest in the acknowledgement.
        let (_, ack) = stock.ask(0x85, &[&[1, 9, 3, 0, 0, 0, 4, 0, 0, 0], &request[4..]]);
        assert_eq!(ack, [version, 0x05, 1, 9, 3, 0, version, 0x7f, 0x01, 0]);
    }
}
