//! CHALLENGE_AUTH and MEASUREMENTS in clear: what may be asked before there is a session.

use alloc::boxed::Box;
use alloc::vec::Vec;

use p384::ecdsa::VerifyingKey;
use rand_core::CryptoRng;

use super::negotiate::Connection;
use super::{Answered, Config, Error, State, Turn, Wishes, establish};
use crate::certificate_chain::CertificateChain;
use crate::measurements::TranscriptError;
use crate::message::Codec;
use crate::message::capabilities::Flags;
use crate::message::challenge::{Challenge, ChallengeAuth};
use crate::message::key_exchange::{SIGNATURE_SIZE, SummaryType};
use crate::message::measurements::{
    CONTENT_CHANGED, CONTEXT_SIZE, GetMeasurements, MeasurementsResponse, Operation,
    SignatureRequest,
};
use crate::signature::{Purpose, verify};
use crate::transcript::{MeasurementLog, Vca};
use crate::version::Version;
use crate::wire::value;

/// What is known of the responder once its chain is believed.
pub(super) struct Known {
    pub(super) connection: Connection,
    pub(super) chain: CertificateChain,
    pub(super) key: VerifyingKey,
    /// Measurements that it told in clear.
    pub(super) before: Vec<MeasurementsResponse>,
}

pub(super) struct AwaitChallenge {
    known: Known,
    fields: Challenge,
    request: Vec<u8>,
}

pub(super) struct AwaitBefore {
    known: Known,
    asked: AskedMeasurements,
}

/// Challenges the owner of the key.
pub(super) fn challenge(
    rng: &mut impl CryptoRng,
    config: &Config,
    known: Known,
) -> Result<Turn, Error> {
    let missing = Flags::CHAL.difference(known.connection.theirs);
    if !missing.is_empty() {
        return Err(Error::MissingCapabilities { missing });
    }
    let mut fields =
        Challenge { slot: config.slot, summary: SummaryType::All, nonce: [0; 32], context: [0; 8] };
    rng.fill_bytes(&mut fields.nonce);
    let version = known.connection.version;
    fields.context = context(rng, version);
    let request = fields.encode(version);
    let next = AwaitChallenge { known, fields, request: request.clone() };
    Ok((request, State::Challenge(Box::new(next))))
}

/// A requester's context; zeros where the version has none to give back.
fn context(rng: &mut impl CryptoRng, version: Version) -> [u8; CONTEXT_SIZE] {
    let mut context = [0; CONTEXT_SIZE];
    if version >= Version::V1_3 {
        rng.fill_bytes(&mut context);
    }
    context
}

/// The next of the measurements that are wanted in clear, and KEY_EXCHANGE after the last one.
pub(super) fn next(
    rng: &mut impl CryptoRng,
    config: &Config,
    wishes: &Wishes,
    mut known: Known,
) -> Result<Turn, Error> {
    let Some((operation, signed)) = wishes.measurements.get(known.before.len()) else {
        return Ok(establish::key_exchange(rng, config, known));
    };
    known.connection.identity.clear();
    let mut nonce = [0; 32];
    rng.fill_bytes(&mut nonce);
    let context = context(rng, known.connection.version);
    let signature = signed.then_some(SignatureRequest { nonce, slot: config.slot });
    let fields = GetMeasurements { operation: *operation, raw: false, signature, context };
    let asked = AskedMeasurements::new(known.connection.version, fields);
    Ok((asked.request.clone(), State::Before(Box::new(AwaitBefore { known, asked }))))
}

impl AwaitChallenge {
    pub(super) fn receive(self, answer: Answered<'_>) -> Result<Known, Error> {
        let Challenge { slot, summary, context, .. } = self.fields;
        let mut known = self.known;
        let version = known.connection.version;
        let (answer, bytes) = answer.decode::<ChallengeAuth>(version, summary)?;
        let unsigned = bytes.get(..bytes.len() - SIGNATURE_SIZE).unwrap_or_default();
        let Connection { identity, vca, .. } = &mut known.connection;
        let digest = identity.take_digest(vca, &self.request, unsigned);
        if !verify(&known.key, version, Purpose::Challenge, &digest, &answer.signature) {
            return Err(Error::ChallengeFailed);
        }
        for (field, found, agreed) in [
            ("SlotID", answer.slot, answer.slot == slot),
            ("SlotMask", answer.slot_mask, answer.slot_mask >> slot & 1 != 0),
            ("BasicMutAuthReq", 1, !answer.mutual_authentication),
        ] {
            if !agreed {
                return Err(Error::NotAgreed { field, found });
            }
        }
        if answer.chain_digest != known.chain.digest() {
            return Err(Error::ChainDigest);
        }
        if answer.context != context {
            return Err(value("RequesterContext", u64::from_le_bytes(answer.context)).into());
        }
        Ok(known)
    }
}

impl AwaitBefore {
    pub(super) fn receive(self, answer: Answered<'_>) -> Result<Known, Error> {
        let AwaitBefore { mut known, asked } = self;
        let Connection { measurements, vca, .. } = &mut known.connection;
        let response = asked.judge(&known.key, vca, measurements, answer)?;
        known.before.push(response);
        Ok(known)
    }
}

/// Measurements that were asked for, in clear or in a session.
pub(super) struct AskedMeasurements {
    version: Version,
    fields: GetMeasurements,
    pub(super) request: Vec<u8>,
}

impl AskedMeasurements {
    pub(super) fn new(version: Version, fields: GetMeasurements) -> AskedMeasurements {
        AskedMeasurements { version, fields, request: fields.encode(version) }
    }

    /// The answer, if it is one to what was asked and, where that was asked for, signed.
    pub(super) fn judge(
        self,
        key: &VerifyingKey,
        vca: &Vca,
        log: &mut MeasurementLog,
        answer: Answered<'_>,
    ) -> Result<MeasurementsResponse, Error> {
        let AskedMeasurements { version, fields, request } = self;
        let signed = fields.signature.is_some();
        let (response, bytes) = answer.decode::<MeasurementsResponse>(version, signed)?;
        let signature_size = if signed { SIGNATURE_SIZE } else { 0 };
        let unsigned = bytes.get(..bytes.len() - signature_size).unwrap_or_default();
        log.add(version, vca, &request, unsigned);
        if let Some(signature) = &response.signature {
            let digest = log.take_digest(version, vca);
            if !verify(key, version, Purpose::Measurements, &digest, signature) {
                return Err(TranscriptError::BadSignature.into());
            }
        }
        if response.context != fields.context {
            return Err(value("RequesterContext", u64::from_le_bytes(response.context)).into());
        }
        if fields.signature.is_some_and(|signature| signature.slot != response.slot) {
            return Err(value("SlotID", response.slot).into());
        }
        if response.content_changed == CONTENT_CHANGED {
            return Err(TranscriptError::Changed.into());
        }
        let fits = match (fields.operation, response.blocks.as_slice()) {
            (Operation::Count, []) | (Operation::All, _) => true,
            (Operation::One(index), [block]) => block.index == index,
            _ => false,
        };
        if !fits {
            return Err(value("NumberOfBlocks", response.blocks.len() as u64).into());
        }
        Ok(response)
    }
}
