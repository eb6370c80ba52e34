//! The verdict as a signed attestation result: an EAR (draft-ietf-rats-ear) of an EAT (RFC 9711), for
//! relying parties that leave the judging to whoever holds the key.
//!
//! This file writes the claims set, by the numbers of the drafts, and has `coset` sign it: COSE_Sign1
//! (RFC 9052, tag 18) with ES384. What a check says about trust is [`claims`]'s to decide. Nothing is
//! judged here.

mod claims;

use coset::cbor::value::Value;
use coset::{CoseSign1Builder, HeaderBuilder, TaggedCborSerializable, iana};
use p384::SecretKey;
use p384::ecdsa::signature::Signer;
use p384::ecdsa::{Signature, SigningKey};
use p384::pkcs8::{DecodePrivateKey, EncodePublicKey};
use sha2::{Digest, Sha384};

use crate::result::Verdict;
use claims::Tier;

/// The profile of draft-ietf-rats-ear-04.
const PROFILE: &str = "tag:ietf.org,2026:rats/ear#04";

/// Keys of claims: RFC 8392, RFC 9711 and draft-ietf-rats-ear-04.
mod key {
    pub(super) const IAT: i64 = 6;
    pub(super) const NONCE: i64 = 10;
    pub(super) const PROFILE: i64 = 265;
    pub(super) const SUBMODS: i64 = 266;
    pub(super) const STATUS: i64 = 1000;
    pub(super) const TRUSTWORTHINESS_VECTOR: i64 = 1001;
    pub(super) const APPRAISAL_POLICY_IDS: i64 = 1003;
    pub(super) const VERIFIER_ID: i64 = 1004;
    pub(super) const VERIFIER_CLAIMS: i64 = 1006;
    /// In `ear_verifier_id`.
    pub(super) const DEVELOPER: i64 = 0;
    /// In `ear_verifier_id`.
    pub(super) const BUILD: i64 = 1;
}

/// Bytes of an `eat_nonce` (RFC 9711, 4.1).
const NONCE_LENGTHS: std::ops::RangeInclusive<usize> = 8..=64;

/// Who made this verifier, as its results say.
const DEVELOPER: &str = env!("CARGO_PKG_REPOSITORY");
/// Which build it is.
const BUILD: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key is none.
    #[error(
        "no P-384 private key in PEM (PKCS #8): make one with `openssl genpkey -algorithm EC \
             -pkeyopt ec_paramgen_curve:P-384`"
    )]
    Key,
    /// A result is about something.
    #[error("there is no device, and so nothing to sign a result about")]
    NoDevice,
    /// A nonce that EAT has no room for.
    #[error("a nonce of {0} bytes: a result has room for 8 to 64")]
    Nonce(usize),
    /// The claims cannot be written.
    #[error("the result cannot be written: {0}")]
    Write(String),
}

/// What the result says besides the verdict.
pub struct Terms {
    /// When it is issued, seconds since 1970.
    pub issued: u64,
    /// The time that the evidence was judged at, seconds since 1970.
    pub judged: u64,
    /// What the relying party chose against replay, 8 to 64 bytes, where it chose something.
    pub nonce: Option<Vec<u8>>,
    /// SHA-384 of the policy's file, where there was one.
    pub policy: Option<[u8; 48]>,
}

/// The key that signs results. Wiped when dropped; it cannot be printed or copied.
pub struct Key(SigningKey);

impl Key {
    /// The key in a PEM file.
    ///
    /// # Errors
    /// [`Error::Key`], whatever else is in the file.
    pub fn from_pem(text: &str) -> Result<Key, Error> {
        SecretKey::from_pkcs8_pem(text).map(|key| Key(key.into())).map_err(|_| Error::Key)
    }

    /// SHA-384 of the public key's SubjectPublicKeyInfo: the key id in the result.
    fn id(&self) -> Result<Vec<u8>, Error> {
        let der = self.0.verifying_key().to_public_key_der().map_err(|_| Error::Key)?;
        Ok(Sha384::digest(der.as_bytes()).to_vec())
    }
}

/// The signed result, as COSE_Sign1 in CBOR.
///
/// # Errors
/// If the verdict is about no device, or the claims cannot be written.
pub fn sign(verdict: &Verdict, terms: &Terms, key: &Key) -> Result<Vec<u8>, Error> {
    let mut payload = Vec::new();
    coset::cbor::ser::into_writer(&result(verdict, terms)?, &mut payload)
        .map_err(|error| Error::Write(error.to_string()))?;
    let protected =
        HeaderBuilder::new().algorithm(iana::Algorithm::ES384).key_id(key.id()?).build();
    CoseSign1Builder::new()
        .protected(protected)
        .payload(payload)
        .create_signature(&[], |message| {
            let signature: Signature = key.0.sign(message);
            signature.to_vec()
        })
        .build()
        .to_tagged_vec()
        .map_err(|error| Error::Write(error.to_string()))
}

fn result(verdict: &Verdict, terms: &Terms) -> Result<Value, Error> {
    let appraisals: Vec<_> =
        verdict.devices.iter().map(|device| claims::appraisal(device, terms)).collect();
    let worst = appraisals.iter().map(|appraisal| appraisal.tier).max().ok_or(Error::NoDevice)?;
    let status = if verdict.trusted { worst } else { Tier::Contraindicated };
    let submods =
        (1..).zip(&verdict.devices).zip(appraisals).map(|((number, device), appraisal)| {
            (Value::from(format!("{}-{number}", device.kind)), appraisal.encode())
        });
    let mut result = vec![(key::IAT, Value::from(terms.issued))];
    if let Some(nonce) = &terms.nonce {
        if !NONCE_LENGTHS.contains(&nonce.len()) {
            return Err(Error::Nonce(nonce.len()));
        }
        result.push((key::NONCE, Value::from(nonce.as_slice())));
    }
    let verifier = vec![(key::DEVELOPER, DEVELOPER.into()), (key::BUILD, BUILD.into())];
    result.extend([
        (key::PROFILE, Value::from(PROFILE)),
        (key::SUBMODS, Value::Map(submods.collect())),
        (key::STATUS, Value::from(status as i8)),
        (key::VERIFIER_ID, map(verifier)),
    ]);
    Ok(map(result))
}

/// A map with numbers for keys, in the order given.
fn map(entries: Vec<(i64, Value)>) -> Value {
    Value::Map(entries.into_iter().map(|(key, value)| (Value::from(key), value)).collect())
}
