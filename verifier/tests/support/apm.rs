//! A GPU of the model, by hand: what a device of the development maker says after a boot, with the
//! SPDM messages written byte by byte from DSP0274 1.2.

use std::path::Path;

use p384::ecdsa::signature::Signer;
use p384::ecdsa::{Signature, SigningKey};
use ravelin_attestation::{Evidence, Freshness};
use ravelin_dice::security::encode_svn;
use ravelin_dice::time::Validity;
use ravelin_dice::{Component, Mode, SecurityConfiguration, TcbInfo};
use ravelin_maker::{DeviceIdentity, FirmwareSet, MODEL, Maker, VENDOR};
use ravelin_spdm::measurements::MeasurementTranscript;
use ravelin_verifier::model::evidence::{FILE, Gpu, to_json};
use sha2::{Digest, Sha384};

/// The verifier's nonce.
pub const NONCE: [u8; 32] = [1; 32];
/// The guest's share in the key exchange.
pub const SHARE: [u8; 96] = [2; 96];
/// While the development maker's documents are valid.
pub const AT: &str = "2026-11-24T00:00:00Z";

/// One boot of one device.
#[derive(Clone)]
pub struct Boot {
    pub serial: &'static str,
    pub firmware: FirmwareSet,
    pub mode: Mode,
    /// The nonce that the guest was told.
    pub nonce: [u8; 32],
    /// The identity's time, if it is not the root's.
    pub validity: Option<Validity>,
}

impl Boot {
    /// A boot as it should be.
    pub fn of(serial: &'static str) -> Boot {
        Boot {
            serial,
            firmware: FirmwareSet::current(),
            mode: Mode::On,
            nonce: NONCE,
            validity: None,
        }
    }

    /// The same with one thing changed.
    pub fn with(serial: &'static str, change: impl FnOnce(&mut Boot)) -> Boot {
        let mut boot = Boot::of(serial);
        change(&mut boot);
        boot
    }

    /// The device, as the development maker provisions it.
    pub fn device(&self) -> DeviceIdentity {
        let maker = Maker::development().unwrap();
        match self.validity {
            Some(validity) => maker.provision_with(self.serial, validity).unwrap(),
            None => maker.provision(self.serial).unwrap(),
        }
    }

    /// What the development maker's device presents.
    pub fn gpu(&self) -> Gpu {
        self.gpu_of(&self.device())
    }

    /// What a device presents.
    pub fn gpu_of(&self, device: &DeviceIdentity) -> Gpu {
        let configuration = SecurityConfiguration {
            mode: self.mode,
            debug: false,
            svn: self.firmware.svn(),
            protected_base: 1 << 28,
            protected_end: 80 << 30,
        };
        let tcb = TcbInfo {
            vendor: VENDOR.into(),
            model: MODEL.into(),
            version: self.firmware.version().into(),
            svn: configuration.svn,
            layer: 1,
            firmware_id: self.firmware.id(),
            flags: configuration.flags(),
        };
        let mut blocks = Vec::new();
        for (component, digest) in Component::ALL.into_iter().zip(&self.firmware.measurements()) {
            let kind = if component == Component::BootRom { 0x00 } else { 0x01 };
            blocks.extend(block(component.index(), kind, digest));
        }
        blocks.extend(block(6, 0x82, &configuration.encode()));
        blocks.extend(block(7, 0x87, &encode_svn(configuration.svn)));

        let key = SigningKey::from_slice(&[30; 48]).unwrap();
        let leaf = device.endorse(key.verifying_key(), &tcb).unwrap();
        Gpu {
            evidence: Evidence {
                certificates: vec![
                    device.root_certificate().to_vec(),
                    device.issuer().certificate().to_vec(),
                    leaf,
                ],
                measurements: transcript(&key, &self.nonce, &blocks),
            },
            nonce: self.nonce,
            exchange_key: SHARE,
        }
    }
}

/// Writes evidence as `ravelin run --save-evidence` does.
pub fn save(directory: &Path, gpus: &[Gpu]) {
    std::fs::write(directory.join(FILE), to_json(gpus).unwrap()).unwrap();
}

/// A measurement block of the DMTF's specification.
fn block(index: u8, kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap();
    let mut block = vec![index, 1];
    block.extend((length + 3).to_le_bytes());
    block.push(kind);
    block.extend(length.to_le_bytes());
    block.extend(value);
    block
}

/// GET_MEASUREMENTS and its answer.
fn transcript(key: &SigningKey, nonce: &[u8; 32], blocks: &[u8]) -> MeasurementTranscript {
    let freshness = Freshness::new(nonce, &SHARE).unwrap();
    let vca = b"the negotiation".to_vec();
    let mut request = vec![0x12, 0xe0, 0x01, 0xff];
    request.extend(freshness.nonce());
    request.push(0);
    let mut response = vec![0x12, 0x60, 0, 0, 7];
    response.extend(&u32::try_from(blocks.len()).unwrap().to_le_bytes()[..3]);
    response.extend(blocks);
    response.extend([0x5a; 32]);
    response.extend([0, 0]);
    let context = b"responder-measurements signing";
    let mut message = b"dmtf-spdm-v1.2.*".repeat(4);
    message.resize(100 - context.len(), 0);
    message.extend(context);
    message.extend(Sha384::digest([vca.as_slice(), &request, &response].concat()));
    let signature: Signature = key.sign(&message);
    response.extend(signature.to_bytes());
    MeasurementTranscript { vca, request, response }
}
