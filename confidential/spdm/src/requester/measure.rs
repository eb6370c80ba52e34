//! MEASUREMENTS: what the responder says of itself, asked for inside the session.

use alloc::vec::Vec;

use p384::ecdsa::VerifyingKey;
use ravelin_channel::ExportMasterSecret;

use super::negotiate::Connection;
use super::{Config, Error, Established, Evidence, Session, inside};
use crate::certificate_chain::CertificateChain;
use crate::measurements::{MeasurementTranscript, bound_nonce, summary};
use crate::message::Codec;
use crate::message::measurements::{GetMeasurements, Operation, SignatureRequest};
use crate::session::SecuredSession;
use crate::transport::Message;

/// What is proved once the session stands.
pub(super) struct Proven {
    pub(super) connection: Connection,
    pub(super) chain: CertificateChain,
    pub(super) key: VerifyingKey,
    pub(super) exchange_key: [u8; 96],
    /// Digest of the measurements that the key exchange was signed with.
    pub(super) summary: [u8; 48],
    pub(super) export_secret: ExportMasterSecret,
}

pub(super) struct AwaitMeasurements {
    proven: Proven,
    secured: SecuredSession,
    request: Vec<u8>,
}

impl AwaitMeasurements {
    /// Asks for all measurements, signed with a nonce that belongs to verifier and session.
    pub(super) fn request(
        config: &Config,
        proven: Proven,
        mut secured: SecuredSession,
    ) -> Result<(Vec<u8>, AwaitMeasurements), Error> {
        let nonce = bound_nonce(&config.verifier_nonce, &proven.exchange_key);
        let request = GetMeasurements {
            operation: Operation::All,
            raw: false,
            signature: Some(SignatureRequest { nonce, slot: config.slot }),
        };
        let request = request.encode(proven.connection.version);
        let record = secured.seal(&request)?;
        Ok((record, AwaitMeasurements { proven, secured, request }))
    }

    pub(super) fn receive(
        mut self,
        config: &Config,
        answer: &Message,
    ) -> Result<Established, Error> {
        let proven = self.proven;
        let version = proven.connection.version;
        let response = inside(&mut self.secured, answer)?;
        let measurements = MeasurementTranscript {
            vca: proven.connection.vca.as_bytes().to_vec(),
            request: self.request,
            response,
        };
        let verified = measurements.verify(&proven.key)?;
        if summary(&verified.blocks) != proven.summary {
            return Err(Error::SummaryMismatch);
        }
        Ok(Established {
            export_secret: proven.export_secret,
            session: Session { version, secured: self.secured },
            evidence: Evidence {
                chain: proven.chain,
                measurements,
                verifier_nonce: config.verifier_nonce,
                exchange_key: proven.exchange_key,
            },
        })
    }
}
