//! A device, a requester that trusts it, and a wire between them that an attacker may stand on.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::convert::Infallible;

use p384::ecdsa::signature::Signer;
use p384::ecdsa::signature::hazmat::PrehashSigner;
use p384::ecdsa::{Signature, SigningKey, VerifyingKey};
use rand_core::{TryCryptoRng, TryRng};
use sha2::{Digest, Sha384};

use crate::certificate_chain::{CertificateChain, ChainRefused, ChainVerifier};
use crate::measurements::{Block, Value, ValueType};
use crate::message::code;
use crate::requester::{Config, Error, Established, Requester, Step};
use crate::responder::{Device, Event, Reply, Responder};
use crate::transport::{Framing, Message, doe};
use crate::version::Version;

/// Random enough for tests, and the same in each run.
pub(crate) struct TestRng {
    seed: u64,
    drawn: u64,
}

impl TestRng {
    pub(crate) fn new(seed: u64) -> TestRng {
        TestRng { seed, drawn: 0 }
    }
}

impl TryRng for TestRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|number| number as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(48) {
            self.drawn += 1;
            let block = Sha384::new()
                .chain_update(self.seed.to_le_bytes())
                .chain_update(self.drawn.to_le_bytes())
                .finalize();
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for TestRng {}

/// A device whose "certificates" are DER octet strings: the maker's name, and its public key.
pub(crate) struct TestDevice {
    pub(crate) key: SigningKey,
    pub(crate) chain: CertificateChain,
    pub(crate) blocks: Vec<Block>,
}

const ROOT: &[u8] = b"\x04\x09The maker";

impl TestDevice {
    /// The genuine device of this number.
    pub(crate) fn genuine(number: u8) -> TestDevice {
        TestDevice::of_maker(ROOT, number)
    }

    /// A device that anyone can make.
    pub(crate) fn counterfeit() -> TestDevice {
        TestDevice::of_maker(b"\x04\x09Not maker", 0xee)
    }

    fn of_maker(root: &[u8], number: u8) -> TestDevice {
        let key = SigningKey::from_slice(&[number; 48]).unwrap();
        let public = key.verifying_key().to_sec1_point(false);
        let leaf = [&[0x04, 97], public.as_bytes()].concat();
        let chain = CertificateChain::new([root, &leaf]).unwrap();
        let digest = |byte| Value::Digest([byte; 48]);
        let blocks = Vec::from([
            Block { index: 1, value_type: ValueType::ImmutableRom, value: digest(1) },
            Block { index: 2, value_type: ValueType::MutableFirmware, value: digest(2) },
            Block {
                index: 6,
                value_type: ValueType::HardwareConfiguration,
                value: Value::Raw(Vec::from([1, 0, 0, 0])),
            },
        ]);
        TestDevice { key, chain, blocks }
    }

    pub(crate) fn with_long_chain(mut self) -> TestDevice {
        let filler: &[u8] = &[&[0x04, 0x82, 0x08, 0x00], [0x55; 2048].as_slice()].concat();
        let certificates: Vec<_> = self.chain.certificates().map(<[u8]>::to_vec).collect();
        let [root, leaf] = certificates.as_slice() else { panic!("two certificates") };
        self.chain = CertificateChain::new([root.as_slice(), filler, leaf]).unwrap();
        self
    }
}

impl Device for TestDevice {
    fn certificate_chain(&self) -> &CertificateChain {
        &self.chain
    }

    fn sign(&self, message: &[u8; crate::SIGNED_SIZE]) -> Option<[u8; 96]> {
        let signature: Signature = self.key.try_sign(message).ok()?;
        Some(signature.to_bytes().into())
    }

    fn sign_digest(&self, digest: &[u8; 48]) -> Option<[u8; 96]> {
        let signature: Signature = self.key.sign_prehash(digest).ok()?;
        Some(signature.to_bytes().into())
    }

    fn measurements(&self) -> Vec<Block> {
        self.blocks.clone()
    }
}

/// Believes every device of the maker's.
pub(crate) fn verifier(chain: &CertificateChain) -> Result<VerifyingKey, ChainRefused> {
    let root = chain.certificates().next().unwrap_or_default();
    if root != ROOT {
        return Err(ChainRefused { code: "unknown-root" });
    }
    let leaf = chain.certificates().next_back().unwrap_or_default();
    leaf.get(2..)
        .and_then(|key| VerifyingKey::from_sec1_bytes(key).ok())
        .ok_or(ChainRefused { code: "malformed-certificate" })
}

pub(crate) type TestResponder = Responder<TestDevice, TestRng>;

pub(crate) fn responder() -> TestResponder {
    Responder::new(TestDevice::genuine(1), TestRng::new(1), doe::FRAMING)
}

/// A requester that takes version 1.2 only.
pub(crate) fn requester(seed: u64) -> Requester<TestRng, impl ChainVerifier> {
    requester_of(seed, doe::FRAMING).with_versions([Version::V1_2])
}

/// A requester on this transport, without wishes.
pub(crate) fn requester_of(seed: u64, framing: Framing) -> Requester<TestRng, impl ChainVerifier> {
    let config = Config { framing, slot: 0, verifier_nonce: [seed as u8; 32] };
    Requester::new(TestRng::new(seed), verifier, config)
}

/// Where on the wire a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The request of this code.
    Request(u8),
    /// The response to the request of this code.
    Response(u8),
}

/// What came of a handshake.
pub(crate) struct Outcome {
    pub(crate) result: Result<Box<Established>, Error>,
    pub(crate) events: Vec<Event>,
}

impl Outcome {
    pub(crate) fn error(self) -> Error {
        self.result.map(|_| ()).expect_err("the handshake went through")
    }
}

/// Runs a handshake through mailbox objects and an attacker, who may change every message.
pub(crate) fn handshake(
    requester: &mut Requester<TestRng, impl ChainVerifier>,
    responder: &mut TestResponder,
    mut attacker: impl FnMut(&mut TestResponder, Way, Message) -> Message,
) -> Outcome {
    let mut events = Vec::new();
    let mut request = requester.start();
    let mut secured = [code::FINISH, code::GET_MEASUREMENTS].into_iter();
    loop {
        let code = match &request {
            Message::Clear(bytes) => bytes[1],
            Message::Secured(_) => secured.next().expect("two secured requests"),
        };
        let arrived = attacker(responder, Way::Request(code), through_mailbox(&request));
        let Reply { message, event } = responder.respond(&arrived);
        events.extend(event);
        let answer = attacker(responder, Way::Response(code), through_mailbox(&message));
        match requester.receive(&answer) {
            Ok(Step::Send(next)) => request = next,
            Ok(Step::Done(established)) => return Outcome { result: Ok(established), events },
            Err(error) => return Outcome { result: Err(error), events },
        }
    }
}

/// What becomes of a message in the mailbox: it gains padding.
pub(crate) fn through_mailbox(message: &Message) -> Message {
    doe::decode_message(&doe::encode_message(message).unwrap()).unwrap()
}

/// Nobody stands on the wire.
pub(crate) fn honest(_: &mut TestResponder, _: Way, message: Message) -> Message {
    message
}

/// The same kind of message with other bytes.
pub(crate) fn map(message: Message, change: impl FnOnce(&mut Vec<u8>)) -> Message {
    match message {
        Message::Clear(mut bytes) => {
            change(&mut bytes);
            Message::Clear(bytes)
        }
        Message::Secured(mut bytes) => {
            change(&mut bytes);
            Message::Secured(bytes)
        }
    }
}
