//! The guest's own word on its GPUs: a report by the AMD-SP that binds the guest's key and what every
//! GPU has presented.
//!
//! What is bound and how is [`ravelin_attestation::composite`]'s. The key is made at the guest's start
//! and never leaves it: what a relying party seals to it after judging the evidence, only this guest
//! opens.

use alloc::boxed::Box;
use alloc::vec::Vec;

use base64ct::{Base64, Encoding};
use p384::SecretKey;
use p384::elliptic_curve::Generate;
use p384::elliptic_curve::sec1::ToSec1Point;
use rand_core::CryptoRng;
use ravelin_attestation::composite::{self, KEY_SIZE, REPORT_DATA_SIZE};
use ravelin_report::{Event, GuestReport};

/// Why there is no report: the reporter's own words.
#[derive(Debug, thiserror::Error)]
#[error("nobody reports on the guest")]
pub struct Error(#[source] pub Box<dyn core::error::Error + Send + Sync>);

/// A report, and the certificates that the host has for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedReport {
    /// ATTESTATION_REPORT.
    pub report: Vec<u8>,
    /// ASK and VCEK, DER; empty where the host has none. Whoever verifies may have their own.
    pub certificates: [Vec<u8>; 2],
}

/// Whoever signs reports on this guest.
pub trait Reporter {
    /// A report that says `data`.
    ///
    /// # Errors
    /// There is none.
    fn report(&mut self, data: &[u8; REPORT_DATA_SIZE]) -> Result<SignedReport, Error>;
}

/// Who testifies to a guest's GPUs.
pub struct Witness<'a> {
    key: SecretKey,
    nonce: [u8; 32],
    policy: Option<composite::Digest>,
    reporter: Box<dyn Reporter + 'a>,
    /// The GPUs of the last report.
    said: Option<Vec<composite::Digest>>,
}

impl<'a> Witness<'a> {
    /// A witness with a new key. `nonce` is what the GPUs answer, `policy` the digest of the one that
    /// the guest was told it will be judged by.
    pub fn new<R: CryptoRng>(
        rng: &mut R,
        nonce: [u8; 32],
        policy: Option<composite::Digest>,
        reporter: impl Reporter + 'a,
    ) -> Witness<'a> {
        let key = SecretKey::generate_from_rng(rng);
        Witness { key, nonce, policy, reporter: Box::new(reporter), said: None }
    }

    /// Testifies to these GPUs, in the order of their places, if it has not already.
    ///
    /// # Errors
    /// There is no report.
    pub fn testify(&mut self, gpus: Vec<composite::Digest>) -> Result<Option<Event>, Error> {
        if self.said.as_ref() == Some(&gpus) {
            return Ok(None);
        }
        let key = self.public_key();
        let Witness { nonce, policy, .. } = self;
        let statement =
            composite::Statement { nonce, key: &key, policy: policy.as_ref(), gpus: &gpus };
        let signed = self.reporter.report(&statement.report_data())?;
        let [ask, vcek] = signed.certificates.map(|der| Base64::encode_string(&der));
        let event = Event::Report(GuestReport {
            report: Base64::encode_string(&signed.report),
            ask,
            vcek,
            statement: ravelin_report::Statement {
                nonce: Base64::encode_string(nonce),
                key: Base64::encode_string(&key),
                policy: policy.as_ref().map(|digest| Base64::encode_string(digest)),
                gpus: gpus.iter().map(|digest| Base64::encode_string(digest)).collect(),
            },
        });
        self.said = Some(gpus);
        Ok(Some(event))
    }

    fn public_key(&self) -> [u8; KEY_SIZE] {
        let point = self.key.public_key().to_sec1_point(false);
        let mut key = [0; KEY_SIZE];
        // An uncompressed point of P-384 has this length.
        if let Some(bytes) = point.as_bytes().first_chunk::<KEY_SIZE>() {
            key = *bytes;
        }
        key
    }
}
