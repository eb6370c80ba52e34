//! A genuine GPU: the development maker's, with an attestation key that is always the same.

use std::sync::LazyLock;

use p384::SecretKey;
use p384::ecdsa::signature::Signer;
use p384::ecdsa::signature::hazmat::PrehashSigner;
use p384::ecdsa::{Signature, SigningKey, VerifyingKey};
use ravelin_dice::issue::Issuer;
use ravelin_dice::security::encode_svn;
use ravelin_dice::{Component, DeviceInfo, Mode, SecurityConfiguration, TcbInfo};
use ravelin_maker::{Authority, FirmwareSet, MODEL, Maker, VENDOR};
use ravelin_spdm::measurements::{Block, Value, ValueType};
use ravelin_spdm::message::vendor::VendorDefined;
use ravelin_spdm::responder::Device;
use ravelin_spdm::{CertificateChain, ChainRefused, SIGNED_SIZE};

/// The GPU.
pub struct Genuine {
    key: SigningKey,
    chain: CertificateChain,
    blocks: Vec<Block>,
}

/// The key's file of a device that a maker of these targets' own has provisioned.
pub static DEVICE_KEY: LazyLock<String> = LazyLock::new(|| {
    let key = SecretKey::from_slice(&[9; 48]).unwrap();
    ravelin_maker::key::to_pem(&key).unwrap().to_string()
});

/// The chain's file of that device.
pub fn device_chain() -> Vec<u8> {
    let validity = Maker::development().unwrap().root().validity();
    let root = SigningKey::from_slice(&[8; 48]).unwrap();
    let root = Authority::root(Issuer::root(root, "Fuzz", validity).unwrap());
    let info =
        DeviceInfo { manufacturer: VENDOR.into(), product: MODEL.into(), serial: "1".into() };
    root.device(SigningKey::from_slice(&[9; 48]).unwrap(), &info, validity).unwrap().chain()
}

/// The one that every target talks to: to make one takes as long as a hundred inputs.
pub static GPU: LazyLock<Genuine> = LazyLock::new(Genuine::new);

impl Genuine {
    fn new() -> Genuine {
        let firmware = FirmwareSet::current();
        let configuration = SecurityConfiguration {
            mode: Mode::On,
            debug: false,
            svn: firmware.svn(),
            protected_base: 1 << 28,
            protected_end: 80 << 30,
        };
        let tcb = TcbInfo {
            vendor: VENDOR.into(),
            model: MODEL.into(),
            version: firmware.version().into(),
            svn: configuration.svn,
            layer: 1,
            firmware_id: firmware.id(),
            flags: configuration.flags(),
        };
        let key = SigningKey::from_slice(&[30; 48]).unwrap();
        let device = Maker::development().unwrap().provision("0001").unwrap();
        let leaf = device.endorse(key.verifying_key(), &tcb).unwrap();
        let certificates =
            [device.root_certificate(), device.issuer().certificate(), leaf.as_slice()];
        let chain = CertificateChain::new(certificates).unwrap();
        let digests = Component::ALL.into_iter().zip(firmware.measurements());
        let mut blocks: Vec<Block> = digests
            .map(|(component, digest)| Block {
                index: component.index(),
                value_type: match component {
                    Component::BootRom => ValueType::ImmutableRom,
                    _ => ValueType::MutableFirmware,
                },
                value: Value::Digest(digest),
            })
            .collect();
        blocks.push(Block {
            index: 6,
            value_type: ValueType::HardwareConfiguration,
            value: Value::Raw(configuration.encode().to_vec()),
        });
        blocks.push(Block {
            index: 7,
            value_type: ValueType::SecureVersionNumber,
            value: Value::Raw(encode_svn(configuration.svn).to_vec()),
        });
        Genuine { key, chain, blocks }
    }

    /// Its attestation key.
    pub fn key(&self) -> &VerifyingKey {
        self.key.verifying_key()
    }

    /// Believes this GPU and no other. What a certificate must say is another target's business.
    pub fn verifier(&self, chain: &CertificateChain) -> Result<VerifyingKey, ChainRefused> {
        match *chain == self.chain {
            true => Ok(*self.key()),
            false => Err(ChainRefused { code: "unknown-root" }),
        }
    }
}

impl Device for &'static Genuine {
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
        30
    }

    fn vendor_defined(&self, request: &VendorDefined, in_session: bool) -> Option<Vec<u8>> {
        in_session.then(|| request.payload.clone())
    }
}
