//! KEY_EXCHANGE_RSP and FINISH_RSP: how a session comes about.

use alloc::vec::Vec;

use p384::ecdsa::VerifyingKey;
use rand_core::CryptoRng;

use super::measure::{AwaitMeasurements, Proven};
use super::negotiate::Connection;
use super::{Config, Error, inside};
use crate::certificate_chain::CertificateChain;
use crate::exchange::Exchange;
use crate::key_schedule::HandshakeSecrets;
use crate::message::finish::{Finish, FinishResponse};
use crate::message::key_exchange::{
    EXCHANGE_DATA_SIZE, KeyExchange, KeyExchangeResponse, SummaryType, VERIFY_DATA_SIZE,
};
use crate::message::opaque::{SECURED_MESSAGE_VERSIONS, decode_selection, encode_supported};
use crate::message::{Codec, decode, decode_padded};
use crate::session::SecuredSession;
use crate::signature::{Purpose, verify};
use crate::transcript::SessionTranscript;
use crate::transport::Message;

/// The responder's identity, believed but not proved yet.
struct Claimed {
    connection: Connection,
    chain: CertificateChain,
    key: VerifyingKey,
    exchange_key: [u8; EXCHANGE_DATA_SIZE],
}

pub(super) struct AwaitKeyExchange {
    claimed: Claimed,
    exchange: Exchange,
    requester_session_id: u16,
    transcript: SessionTranscript,
}

pub(super) struct AwaitFinish {
    claimed: Claimed,
    summary: [u8; 48],
    secured: SecuredSession,
    secrets: HandshakeSecrets,
    transcript: SessionTranscript,
}

/// Asks for a session with the owner of `key`.
pub(super) fn key_exchange(
    rng: &mut impl CryptoRng,
    config: &Config,
    connection: Connection,
    chain: CertificateChain,
    key: VerifyingKey,
) -> (Vec<u8>, AwaitKeyExchange) {
    let exchange = Exchange::new(rng);
    let exchange_key = exchange.share();
    let mut random = [0; 32];
    rng.fill_bytes(&mut random);
    // Zero and all ones are reserved.
    let requester_session_id = (rng.next_u32() as u16).clamp(1, u16::MAX - 1);
    let request = KeyExchange {
        summary: SummaryType::All,
        slot: config.slot,
        requester_session_id,
        session_policy: 0,
        random,
        exchange_data: exchange_key,
        opaque: encode_supported(&SECURED_MESSAGE_VERSIONS),
    };
    let request = request.encode(connection.version);
    let mut transcript = SessionTranscript::new(&connection.vca, &chain.digest());
    transcript.add(&request);
    let claimed = Claimed { connection, chain, key, exchange_key };
    (request, AwaitKeyExchange { claimed, exchange, requester_session_id, transcript })
}

impl AwaitKeyExchange {
    pub(super) fn receive(
        mut self,
        config: &Config,
        answer: &[u8],
    ) -> Result<(Vec<u8>, AwaitFinish), Error> {
        let version = self.claimed.connection.version;
        let (answer, bytes) = decode_padded::<KeyExchangeResponse>(
            answer,
            version,
            SummaryType::All,
            config.framing.alignment,
        )?;
        // Signature first: what else is wrong may be somebody else's doing.
        let signed = bytes.len() - KeyExchangeResponse::UNSIGNED;
        self.transcript.add(bytes.get(..signed).unwrap_or_default());
        let digest = self.transcript.digest();
        if !verify(&self.claimed.key, Purpose::KeyExchange, &digest, &answer.signature) {
            return Err(Error::BadSignature);
        }
        self.transcript.add(&answer.signature);
        for (field, found) in [
            ("HeartbeatPeriod", answer.heartbeat_period),
            ("MutAuthRequested", answer.mutual_authentication),
            ("SlotIDParam", answer.requester_slot),
        ] {
            if found != 0 {
                return Err(Error::NotAgreed { field, found });
            }
        }
        let selected = decode_selection(&answer.opaque)?;
        if !selected.is_some_and(|version| SECURED_MESSAGE_VERSIONS.contains(&version)) {
            return Err(Error::SecuredVersion);
        }
        let summary = answer.summary.ok_or(Error::SummaryMismatch)?;

        let shared = self.exchange.agree(&answer.exchange_data).ok_or(Error::ExchangeData)?;
        let th1 = self.transcript.digest();
        let secrets = HandshakeSecrets::derive(version, shared.as_slice(), &th1);
        if !secrets.responder_finished.verify(&th1, &answer.verify_data) {
            return Err(Error::BadVerifyData);
        }
        self.transcript.add(&answer.verify_data);

        let id =
            u32::from(self.requester_session_id) | u32::from(answer.responder_session_id) << 16;
        let mut secured =
            SecuredSession::new(id, config.framing, &secrets.requester, &secrets.responder);
        let request = self.finish(&secrets);
        let record = secured.seal(&request)?;
        let next = AwaitFinish {
            claimed: self.claimed,
            summary,
            secured,
            secrets,
            transcript: self.transcript,
        };
        Ok((record, next))
    }

    /// FINISH, which proves the keys with all that was said before, its own header included.
    fn finish(&mut self, secrets: &HandshakeSecrets) -> Vec<u8> {
        let version = self.claimed.connection.version;
        let mut request = Finish { verify_data: [0; VERIFY_DATA_SIZE] }.encode(version);
        request.truncate(request.len() - VERIFY_DATA_SIZE);
        self.transcript.add(&request);
        let verify_data = secrets.requester_finished.verify_data(&self.transcript.digest());
        self.transcript.add(&verify_data);
        request.extend_from_slice(&verify_data);
        request
    }
}

impl AwaitFinish {
    pub(super) fn receive(
        mut self,
        config: &Config,
        answer: &Message,
    ) -> Result<(Vec<u8>, AwaitMeasurements), Error> {
        let version = self.claimed.connection.version;
        let answer = inside(&mut self.secured, answer)?;
        decode::<FinishResponse>(&answer, version, ())?;
        self.transcript.add(&answer);
        let data = self.secrets.into_data(&self.transcript.digest());
        let proven = Proven {
            connection: self.claimed.connection,
            chain: self.claimed.chain,
            key: self.claimed.key,
            exchange_key: self.claimed.exchange_key,
            summary: self.summary,
            export_secret: data.export,
        };
        let secured = self.secured.with_keys(&data.requester, &data.responder);
        AwaitMeasurements::request(config, proven, secured)
    }
}
