//! MEASUREMENTS: what the responder says of itself, asked for inside the session.

use alloc::vec::Vec;

use ravelin_channel::ExportMasterSecret;

use super::before::Known;
use super::link::Link;
use super::session::Session;
use super::{Answered, Config, Error, Established, Evidence};
use crate::key_schedule::TrafficSecrets;
use crate::measurements::{MeasurementTranscript, bound_nonce, summary};
use crate::message::Codec;
use crate::message::measurements::{GetMeasurements, Operation, SignatureRequest};
use crate::session::SecuredSession;

/// What is proved once the session stands.
pub(super) struct Proven {
    pub(super) known: Known,
    pub(super) exchange_key: [u8; 96],
    /// Digest of the measurements that the key exchange was signed with.
    pub(super) summary: [u8; 48],
    pub(super) heartbeat_period: u8,
    pub(super) export_secret: ExportMasterSecret,
    pub(super) traffic: TrafficSecrets,
}

pub(super) struct AwaitMeasurements {
    proven: Proven,
    pub(super) secured: SecuredSession,
    request: Vec<u8>,
}

impl AwaitMeasurements {
    /// Asks for all measurements, signed with a nonce that belongs to verifier and session.
    pub(super) fn request(
        config: &Config,
        proven: Proven,
        secured: SecuredSession,
    ) -> (Vec<u8>, AwaitMeasurements) {
        let nonce = bound_nonce(&config.verifier_nonce, &proven.exchange_key);
        let request = GetMeasurements {
            operation: Operation::All,
            raw: false,
            signature: Some(SignatureRequest { nonce, slot: config.slot }),
            // Nothing that the nonce does not say.
            context: [0; 8],
        };
        let request = request.encode(proven.known.connection.version);
        (request.clone(), AwaitMeasurements { proven, secured, request })
    }

    pub(super) fn receive(
        self,
        config: &Config,
        link: Link,
        answer: Answered<'_>,
    ) -> Result<Established, Error> {
        let Proven { known, exchange_key, heartbeat_period, export_secret, traffic, .. } =
            self.proven;
        let Known { connection, chain, key, before } = known;
        let measurements = MeasurementTranscript {
            vca: connection.vca.as_bytes().to_vec(),
            request: self.request,
            response: answer.bytes.to_vec(),
        };
        let verified = measurements.verify(&key)?;
        if summary(&verified.blocks) != self.proven.summary {
            return Err(Error::SummaryMismatch);
        }
        let session = Session::new(connection, key, heartbeat_period, self.secured, traffic, link);
        let evidence =
            Evidence { chain, measurements, verifier_nonce: config.verifier_nonce, exchange_key };
        Ok(Established { export_secret, session, evidence, before })
    }
}
