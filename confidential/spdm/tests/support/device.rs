//! A device and the randomness of both ends, the same in each run. Shared by the crate's own tests
//! and by those that see only what is public.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panics")]

use core::convert::Infallible;
use std::vec::Vec;

use p384::ecdsa::signature::Signer;
use p384::ecdsa::signature::hazmat::PrehashSigner;
use p384::ecdsa::{Signature, SigningKey, VerifyingKey};
use rand_core::{TryCryptoRng, TryRng};
use ravelin_spdm::measurements::{Block, Value, ValueType};
use ravelin_spdm::message::vendor::VendorDefined;
use ravelin_spdm::responder::Device;
use ravelin_spdm::{CertificateChain, ChainRefused, SIGNED_SIZE};
use sha2::{Digest, Sha384};

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
    /// Whether it gives a vendor's payload back, rather than not to know it.
    pub(crate) echoes: bool,
    /// Seconds between heartbeats.
    pub(crate) heartbeat_period: u8,
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
        TestDevice { key, chain, blocks, echoes: false, heartbeat_period: 0 }
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

    fn sign(&self, message: &[u8; SIGNED_SIZE]) -> Option<[u8; 96]> {
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

    fn heartbeat_period(&self) -> u8 {
        self.heartbeat_period
    }

    fn vendor_defined(&self, request: &VendorDefined, _: bool) -> Option<Vec<u8>> {
        self.echoes.then(|| request.payload.clone())
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
