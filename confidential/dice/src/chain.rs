//! A certificate chain from the pinned root to an attestation key, judged as a whole.
//!
//! The role of a certificate follows from its place: first the root, last the leaf, before it the
//! device identity, between root and device identity any intermediates of the maker.

use crate::certificate::{Certificate, CertificateId, Error, Rule, key_digest};
use crate::time::Validity;
use crate::{Clock, DeviceInfo, Digest, TcbInfo, oid, spdm_extension};
use alloc::vec::Vec;
use core::fmt;
use der::{Reader, SliceReader};
use p384::ecdsa::VerifyingKey;
use x509_cert::ext::pkix::SubjectAltName;

/// Most certificates of a chain, root and leaf included.
pub const MAX_DEPTH: usize = 6;

/// A root that the verifier was built with.
#[derive(Clone)]
pub struct TrustAnchor {
    der: Vec<u8>,
    certificate: Certificate,
}

impl TrustAnchor {
    /// Takes a root certificate, whose authenticity is the caller's affair.
    ///
    /// # Errors
    /// If it is no certificate, or not one of an authority.
    pub fn new(der: &[u8]) -> Result<TrustAnchor, Error> {
        let certificate = Certificate::parse(der, 0)?;
        certificate.check_authority(0)?;
        Ok(TrustAnchor { der: der.to_vec(), certificate })
    }

    /// The certificate.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The root's public key.
    pub fn key(&self) -> &VerifyingKey {
        &self.certificate.key
    }

    /// The root's name.
    pub fn name(&self) -> &x509_cert::name::Name {
        self.certificate.subject()
    }

    pub(crate) fn certificate(&self) -> &Certificate {
        &self.certificate
    }
}

impl fmt::Debug for TrustAnchor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TrustAnchor({})", self.name())
    }
}

/// What a verified chain says about the key at its end.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The attestation key.
    pub public_key: VerifyingKey,
    /// What runs on the device: firmware id, security version, flags.
    pub tcb: TcbInfo,
    /// Manufacturer, product and serial number.
    pub device: DeviceInfo,
    /// SHA-384 of the device identity's public key: the device, for as long as it exists.
    pub identity: Digest,
    /// The certificates below the root, for revocation lists: intermediates, device identity,
    /// leaf.
    pub path: Vec<CertificateId>,
    /// When each certificate is valid, from the root to the leaf.
    pub validity: Vec<Validity>,
}

impl Leaf {
    /// Whether every certificate's time covers the present.
    ///
    /// # Errors
    /// [`Error::Time`] for the first one, from the root, that is surely out of its time.
    pub fn check_time(&self, clock: Clock) -> Result<(), Error> {
        for (index, validity) in self.validity.iter().enumerate() {
            validity.check(clock).map_err(|source| Error::Time { index, source })?;
        }
        Ok(())
    }
}

/// Chains: taking them apart and judging them.
pub enum Chain {}

impl Chain {
    /// Takes the concatenated certificates of an SPDM chain (DSP0274, "Certificate chain format",
    /// behind the root hash) apart. Every byte must belong to one.
    ///
    /// # Errors
    /// [`Error::Malformed`] where no certificate begins, [`Rule::ChainLength`] for too many.
    pub fn split(bytes: &[u8]) -> Result<Vec<&[u8]>, Error> {
        let mut certificates = Vec::new();
        let malformed = |index| move |_| Error::Malformed { index };
        let mut reader = SliceReader::new(bytes).map_err(malformed(0))?;
        while !reader.is_finished() {
            let index = certificates.len();
            if index == MAX_DEPTH {
                return Err(Error::WrongProfile { index, rule: Rule::ChainLength });
            }
            certificates.push(reader.tlv_bytes().map_err(malformed(index))?);
        }
        Ok(certificates)
    }

    /// Judges a chain, root first, leaf last: [`Chain::authenticate`], then [`Leaf::check_time`].
    ///
    /// # Errors
    /// The first failure.
    pub fn verify(certificates: &[&[u8]], root: &TrustAnchor, clock: Clock) -> Result<Leaf, Error> {
        let leaf = Chain::authenticate(certificates, root)?;
        leaf.check_time(clock)?;
        Ok(leaf)
    }

    /// Judges a chain in all but time, for who asks about time in a step of its own.
    ///
    /// In this order, each for the whole chain, from the root on: the root is the pinned one, all
    /// signatures and names, profile. So a certificate's content is only looked at once it is known
    /// who wrote it.
    ///
    /// # Errors
    /// The first failure.
    pub fn authenticate(certificates: &[&[u8]], root: &TrustAnchor) -> Result<Leaf, Error> {
        let length = Error::WrongProfile { index: 0, rule: Rule::ChainLength };
        let [first, rest @ ..] = certificates else {
            return Err(length);
        };
        if *first != root.der() {
            return Err(Error::UnknownRoot);
        }
        if certificates.len() > MAX_DEPTH {
            return Err(length);
        }
        let mut issued = Vec::with_capacity(rest.len());
        for (index, der) in (1..).zip(rest) {
            let certificate = Certificate::parse(der, index)?;
            certificate.check_issuer(issued.last().unwrap_or(root.certificate()))?;
            issued.push(certificate);
        }
        let [intermediates @ .., device_identity, leaf] = issued.as_slice() else {
            return Err(length);
        };

        // Authorities below the root: the intermediates and the device identity.
        let authorities = intermediates.len() + 1;
        root.certificate().check_authority(authorities)?;
        for (place, intermediate) in intermediates.iter().enumerate() {
            intermediate.check_authority(authorities - 1 - place)?;
        }
        let named = check_device_identity(device_identity)?;
        let (tcb, device) = check_leaf(leaf)?;
        if device != named || tcb.vendor != device.manufacturer || tcb.model != device.product {
            return Err(leaf.wrong(Rule::DeviceInfo));
        }

        Ok(Leaf {
            public_key: leaf.key,
            tcb,
            device,
            identity: key_digest(&device_identity.key)
                .ok_or(device_identity.wrong(Rule::Algorithm))?,
            path: issued.iter().map(Certificate::id).collect::<Result<_, _>>()?,
            validity: [root.certificate()]
                .into_iter()
                .chain(&issued)
                .map(Certificate::validity)
                .collect(),
        })
    }
}

fn check_device_identity(certificate: &Certificate) -> Result<DeviceInfo, Error> {
    certificate.check_authority(0)?;
    check_mark(certificate, oid::DMTF_HARDWARE_IDENTITY)?;
    device_info(certificate)
}

fn check_leaf(certificate: &Certificate) -> Result<(TcbInfo, DeviceInfo), Error> {
    certificate.check_end_entity(oid::DMTF_EKU_RESPONDER_AUTH)?;
    check_mark(certificate, oid::DMTF_MUTABLE_CERTIFICATE)?;
    let device = device_info(certificate)?;
    let value = certificate.extension(oid::TCG_DICE_TCB_INFO).ok_or(Error::TcbInfoMissing)?;
    let tcb = TcbInfo::decode(value).ok_or(certificate.wrong(Rule::TcbInfo))?;
    Ok((tcb, device))
}

fn check_mark(certificate: &Certificate, mark: der::asn1::ObjectIdentifier) -> Result<(), Error> {
    match certificate.extension(oid::DMTF_SPDM_EXTENSION) {
        Some(value) if spdm_extension::carries(value, mark) == Some(true) => Ok(()),
        _ => Err(certificate.wrong(Rule::SpdmMark)),
    }
}

fn device_info(certificate: &Certificate) -> Result<DeviceInfo, Error> {
    certificate
        .required::<SubjectAltName>(Rule::DeviceInfo)?
        .and_then(|names| DeviceInfo::from_alt_name(&names))
        .ok_or(certificate.wrong(Rule::DeviceInfo))
}
