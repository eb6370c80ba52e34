//! KEY_EXCHANGE_RSP and FINISH_RSP: how a session comes about.

use alloc::boxed::Box;
use alloc::vec::Vec;

use rand_core::CryptoRng;

use super::before::Known;
use super::measure::{AwaitMeasurements, Proven};
use super::{Answered, Config, Error, State, Turn};
use crate::exchange::Exchange;
use crate::key_schedule::HandshakeSecrets;
use crate::message::Codec;
use crate::message::capabilities::Flags;
use crate::message::finish::{Finish, FinishResponse};
use crate::message::key_exchange::{
    EXCHANGE_DATA_SIZE, KeyExchange, KeyExchangeResponse, SummaryType, VERIFY_DATA_SIZE,
};
use crate::message::opaque::{SECURED_MESSAGE_VERSIONS, decode_selection, encode_supported};
use crate::session::SecuredSession;
use crate::signature::{Purpose, verify};
use crate::transcript::SessionTranscript;

/// The responder's identity, believed but not proved yet.
struct Claimed {
    known: Known,
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
    heartbeat_period: u8,
    pub(super) secured: SecuredSession,
    secrets: HandshakeSecrets,
    transcript: SessionTranscript,
}

/// Asks for a session with the owner of the key.
pub(super) fn key_exchange(rng: &mut impl CryptoRng, config: &Config, known: Known) -> Turn {
    let connection = &known.connection;
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
        opaque: encode_supported(connection.version, &SECURED_MESSAGE_VERSIONS),
    };
    let request = request.encode(connection.version);
    let mut transcript = SessionTranscript::new(&connection.vca, &known.chain.digest());
    transcript.add(&request);
    let claimed = Claimed { known, exchange_key };
    let next = AwaitKeyExchange { claimed, exchange, requester_session_id, transcript };
    (request, State::KeyExchange(Box::new(next)))
}

impl AwaitKeyExchange {
    pub(super) fn receive(mut self, config: &Config, answer: Answered<'_>) -> Result<Turn, Error> {
        let Known { connection, key, .. } = &self.claimed.known;
        let version = connection.version;
        let (answer, bytes) = answer.decode::<KeyExchangeResponse>(version, SummaryType::All)?;
        // Signature first: what else is wrong may be somebody else's doing.
        let signed = bytes.len() - KeyExchangeResponse::UNSIGNED;
        self.transcript.add(bytes.get(..signed).unwrap_or_default());
        let digest = self.transcript.digest();
        if !verify(key, version, Purpose::KeyExchange, &digest, &answer.signature) {
            return Err(Error::BadSignature);
        }
        self.transcript.add(&answer.signature);
        let heartbeats = connection.features.contains(Flags::HBEAT);
        for (field, found) in [
            ("HeartbeatPeriod", if heartbeats { 0 } else { answer.heartbeat_period }),
            ("MutAuthRequested", answer.mutual_authentication),
            ("SlotIDParam", answer.requester_slot),
        ] {
            if found != 0 {
                return Err(Error::NotAgreed { field, found });
            }
        }
        let selected = decode_selection(version, &answer.opaque)?;
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
        let secured =
            SecuredSession::new(id, config.framing, &secrets.requester, &secrets.responder);
        let request = self.finish(&secrets);
        let next = AwaitFinish {
            claimed: self.claimed,
            summary,
            heartbeat_period: answer.heartbeat_period,
            secured,
            secrets,
            transcript: self.transcript,
        };
        Ok((request, State::Finish(Box::new(next))))
    }

    /// FINISH, which proves the keys with all that was said before, its own header included.
    fn finish(&mut self, secrets: &HandshakeSecrets) -> Vec<u8> {
        let version = self.claimed.known.connection.version;
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
    pub(super) fn receive(mut self, config: &Config, answer: Answered<'_>) -> Result<Turn, Error> {
        let version = self.claimed.known.connection.version;
        let (FinishResponse, bytes) = answer.decode(version, ())?;
        self.transcript.add(bytes);
        let data = self.secrets.into_data(&self.transcript.digest());
        let secured = self.secured.with_keys(&data.requester, &data.responder);
        let proven = Proven {
            known: self.claimed.known,
            exchange_key: self.claimed.exchange_key,
            summary: self.summary,
            heartbeat_period: self.heartbeat_period,
            export_secret: data.export,
            traffic: data.traffic,
        };
        let (request, next) = AwaitMeasurements::request(config, proven, secured);
        Ok((request, State::Measurements(Box::new(next))))
    }
}
