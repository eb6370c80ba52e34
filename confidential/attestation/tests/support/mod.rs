//! A world in which everything is in order, for tests to break one thing at a time.
//!
//! The SPDM messages are written by hand, byte by byte from DSP0274 1.2, so that the verifier is
//! held to the specification and not to the project's own encoder.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use p384::SecretKey;
use p384::ecdsa::signature::Signer;
use p384::ecdsa::{Signature, SigningKey};
use ravelin_attestation::corim::Manifest;
use ravelin_attestation::{
    Clock, Code, Evidence, Freshness, Policy, ReferenceValues, RevocationList, TrustAnchor,
    UnixTime, Verdict, verify, verify_chain,
};
use ravelin_dice::issue::{self, Issuer};
use ravelin_dice::security::encode_svn;
use ravelin_dice::time::Validity;
use ravelin_dice::{
    CertificateId, Component, DeviceInfo, Digest, Mode, SecurityConfiguration, TcbInfo,
};
use ravelin_maker::{DeviceIdentity, FirmwareSet, MODEL, Maker, VENDOR, reference_values};
use ravelin_spdm::measurements::MeasurementTranscript;
use sha2::{Digest as _, Sha384};
use std::collections::BTreeSet;
use std::sync::OnceLock;

/// 2026-11-24.
pub const NOW: UnixTime = UnixTime(1_795_478_400);
/// A century around it.
pub const LONG: Validity = Validity { not_before: UnixTime(1), not_after: UnixTime(4_000_000_000) };

/// A key that is always the same for the same number.
pub fn key(number: u8) -> SigningKey {
    SecretKey::from_slice(&[number; 48]).expect("a small number is a scalar").into()
}

/// The development maker. One for all: making it costs three signatures.
pub fn maker() -> &'static Maker {
    static MAKER: OnceLock<Maker> = OnceLock::new();
    MAKER.get_or_init(|| Maker::development().expect("the development maker"))
}

/// The development maker's reference values. One for all: reading them costs two verifications.
pub fn development_references() -> ReferenceValues {
    static REFERENCES: OnceLock<ReferenceValues> = OnceLock::new();
    REFERENCES.get_or_init(|| references(maker(), &reference_values::manifest())).clone()
}

pub fn freshness(nonce: u8, guest: u8) -> Freshness {
    Freshness::new(&[nonce; 32], &[guest; 96]).expect("32 bytes")
}

/// What a GPU booted: the root of trust's side of the story.
#[derive(Clone)]
pub struct Boot {
    pub firmware: FirmwareSet,
    pub configuration: SecurityConfiguration,
    /// The attestation key of this boot.
    pub key: u8,
}

impl Boot {
    pub fn good() -> Boot {
        let firmware = FirmwareSet::current();
        let configuration = SecurityConfiguration {
            mode: Mode::On,
            debug: false,
            svn: firmware.svn(),
            protected_base: 1 << 28,
            protected_end: 80 << 30,
        };
        Boot { firmware, configuration, key: 30 }
    }

    pub fn of(firmware: FirmwareSet) -> Boot {
        let mut boot = Boot::good();
        boot.configuration.svn = firmware.svn();
        boot.firmware = firmware;
        boot
    }

    pub fn with(change: impl FnOnce(&mut SecurityConfiguration)) -> Boot {
        let mut boot = Boot::good();
        change(&mut boot.configuration);
        boot
    }

    pub fn tcb(&self) -> TcbInfo {
        TcbInfo {
            vendor: VENDOR.into(),
            model: MODEL.into(),
            version: self.firmware.version().into(),
            svn: self.configuration.svn,
            layer: 1,
            firmware_id: self.firmware.id(),
            flags: self.configuration.flags(),
        }
    }

    pub fn evidence(&self, device: &DeviceIdentity, nonce: &Freshness) -> Evidence {
        let leaf = device.endorse(key(self.key).verifying_key(), &self.tcb()).expect("a leaf");
        let identity = device.issuer().certificate().to_vec();
        Evidence {
            certificates: vec![device.root_certificate().to_vec(), identity, leaf],
            measurements: self.transcript(nonce),
        }
    }

    pub fn blocks(&self) -> Vec<u8> {
        let digests = self.firmware.measurements();
        let mut blocks = Vec::new();
        for (component, digest) in Component::ALL.into_iter().zip(&digests) {
            let kind = if component == Component::BootRom { 0x00 } else { 0x01 };
            blocks.extend(block(component.index(), kind, digest));
        }
        blocks.extend(block(6, 0x80 | 0x02, &self.configuration.encode()));
        blocks.extend(block(7, 0x80 | 0x07, &encode_svn(self.configuration.svn)));
        blocks
    }

    pub fn transcript(&self, nonce: &Freshness) -> MeasurementTranscript {
        transcript(&key(self.key), nonce, 7, &self.blocks())
    }
}

/// A measurement block of the DMTF's specification: index, specification, size, type, size, value.
pub fn block(index: u8, kind: u8, value: &[u8]) -> Vec<u8> {
    let length = value.len() as u16;
    let mut block = vec![index, 1];
    block.extend((length + 3).to_le_bytes());
    block.push(kind);
    block.extend(length.to_le_bytes());
    block.extend(value);
    block
}

/// GET_MEASUREMENTS for all, signed, and its answer.
pub fn transcript(
    key: &SigningKey,
    nonce: &Freshness,
    number_of_blocks: u8,
    blocks: &[u8],
) -> MeasurementTranscript {
    let vca = b"the negotiation, which is opaque here".to_vec();
    let mut request = vec![0x12, 0xe0, 0x01, 0xff];
    request.extend(nonce.nonce());
    request.push(0);

    let mut response = vec![0x12, 0x60, 0x00, 0x00, number_of_blocks];
    response.extend(&(blocks.len() as u32).to_le_bytes()[..3]);
    response.extend(blocks);
    response.extend([0x5a; 32]);
    response.extend([0, 0]);

    // combined_spdm_prefix: four times the version, zeros up to the context, which ends at 100.
    let context = b"responder-measurements signing";
    let mut message = b"dmtf-spdm-v1.2.*".repeat(4);
    message.resize(100 - context.len(), 0);
    message.extend(context);
    let signed = [vca.as_slice(), &request, &response].concat();
    message.extend(Sha384::digest(&signed));
    let signature: Signature = key.sign(&message);
    response.extend(signature.to_bytes());
    MeasurementTranscript { vca, request, response }
}

/// All that a verification needs.
#[derive(Clone)]
pub struct Setup {
    pub evidence: Evidence,
    pub policy: Policy,
    pub references: ReferenceValues,
    pub revocation: RevocationList,
    pub now: Clock,
    pub expected: Freshness,
}

impl Setup {
    /// The development maker's first device, in order.
    pub fn good() -> Setup {
        Setup::of(&Boot::good())
    }

    /// The development maker's first device after this boot.
    pub fn of(boot: &Boot) -> Setup {
        Setup::device(&maker().provision("0001").expect("a device"), boot)
    }

    /// A device after a boot, before a verifier that pins the development maker's root.
    pub fn device(device: &DeviceIdentity, boot: &Boot) -> Setup {
        let expected = freshness(1, 2);
        Setup {
            evidence: boot.evidence(device, &expected),
            policy: Policy::strict(FirmwareSet::current().svn()),
            references: development_references(),
            revocation: revocation(maker(), [], reference_values::VALIDITY),
            now: Clock::At(NOW),
            expected,
        }
    }

    /// A device and a maker whose keys the test knows, with an intermediate between them, so that
    /// it can make certificates that the project's own code would not.
    pub fn hand_made() -> (Setup, HandMade) {
        let root = Issuer::root(key(10), "Hand made", LONG).expect("a root");
        let der = issue::intermediate_certificate(&root, key(11).verifying_key(), "Factory", LONG);
        let factory = Issuer::new(key(11), der.expect("a certificate")).expect("an intermediate");
        let device = DeviceInfo::parse(&format!("{VENDOR}:{MODEL}:0001")).expect("a name");
        let der =
            issue::device_identity_certificate(&factory, key(12).verifying_key(), &device, LONG);
        let identity = Issuer::new(key(12), der.expect("a certificate")).expect("an identity");
        let boot = Boot::good();
        let leaf = issue::attestation_certificate(
            &identity,
            key(boot.key).verifying_key(),
            &boot.tcb(),
            LONG,
        );
        let signer =
            issue::reference_signer_certificate(&root, key(13).verifying_key(), "Signer", LONG);
        let document =
            sign(&key(13), &signer.expect("a certificate"), &reference_values::manifest());

        let mut setup = Setup::good();
        setup.evidence.certificates = [&root, &factory, &identity]
            .map(|issuer| issuer.certificate().to_vec())
            .into_iter()
            .chain([leaf.expect("a leaf")])
            .collect();
        let anchor = TrustAnchor::new(root.certificate()).expect("a root");
        setup.references = ReferenceValues::verify(&document, anchor).expect("reference values");
        let hand_made = HandMade { root };
        setup.revocation = hand_made.revoke([]);
        (setup, hand_made)
    }

    pub fn verdict(&self) -> Verdict {
        verify(
            &self.evidence,
            &self.policy,
            &self.references,
            &self.revocation,
            self.now,
            &self.expected,
        )
    }

    pub fn code(&self) -> &'static str {
        self.verdict().code()
    }

    /// The certificates below the root, by issuer and serial number, in a setup that is in order.
    pub fn path(&self) -> Vec<CertificateId> {
        let chain: Vec<&[u8]> = self.evidence.certificates.iter().map(Vec::as_slice).collect();
        verify_chain(&chain, &self.policy, &self.references, &self.revocation, self.now)
            .expect("a good chain")
            .path
    }

    pub fn leaf_mut(&mut self) -> &mut Vec<u8> {
        self.evidence.certificates.last_mut().expect("a leaf")
    }
}

/// A maker whose keys the test knows.
pub struct HandMade {
    root: Issuer,
}

impl HandMade {
    pub fn revoke<const N: usize>(&self, revoked: [CertificateId; N]) -> RevocationList {
        let list = issue::revocation_list(
            &self.root,
            &BTreeSet::from(revoked),
            1,
            reference_values::VALIDITY,
        );
        let anchor = TrustAnchor::new(self.root.certificate()).expect("a root");
        RevocationList::verify(&list.expect("a list"), &anchor).expect("a list")
    }

    /// Changes bytes of the leaf and signs it again with the device's key.
    pub fn rewrite_leaf(leaf: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
        let tbs = ravelin_dice::certificate::signed_part(leaf).expect("a certificate");
        let at = tbs.windows(from.len()).position(|window| window == from).expect("the bytes");
        let tbs = [&tbs[..at], to, &tbs[at + from.len()..]].concat();
        let signature: p384::ecdsa::DerSignature = key(12).sign(&tbs);
        let algorithm = [0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
        let signature = [&[0], signature.as_bytes()].concat();
        let body = [&tbs, &algorithm[..], &[3, signature.len() as u8], &signature].concat();
        let length = (body.len() as u16).to_be_bytes();
        [&[0x30, 0x82], &length[..], &body].concat()
    }
}

pub fn references(maker: &Maker, manifest: &Manifest) -> ReferenceValues {
    let document = maker.sign_reference_values(manifest).expect("a document");
    let root = TrustAnchor::new(maker.root().certificate()).expect("a root");
    ReferenceValues::verify(&document, root).expect("reference values")
}

pub fn revocation<const N: usize>(
    maker: &Maker,
    revoked: [CertificateId; N],
    validity: Validity,
) -> RevocationList {
    let list = maker.revoke(revoked, 1, validity).expect("a list");
    let root = TrustAnchor::new(maker.root().certificate()).expect("a root");
    RevocationList::verify(&list, &root).expect("a list")
}

pub fn sign(key: &SigningKey, certificate: &[u8], manifest: &Manifest) -> Vec<u8> {
    let sign = |message: &[u8]| {
        let signature: Signature = key.sign(message);
        signature.to_vec()
    };
    ReferenceValues::sign(manifest, certificate, "Test", sign).expect("a document")
}

pub fn refused(code: Code, identity: Option<Digest>) -> Verdict {
    Verdict::Refused { code, identity }
}
