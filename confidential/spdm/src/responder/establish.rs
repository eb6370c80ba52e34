//! KEY_EXCHANGE and FINISH: how a session comes about.

use alloc::vec::Vec;

use rand_core::CryptoRng;

use super::answer::Asked;
use super::{Device, SLOT};
use crate::exchange::Exchange;
use crate::key_schedule::{DataSecrets, HandshakeSecrets};
use crate::measurements::{ValueType, summary};
use crate::message::capabilities::Flags;
use crate::message::error::{ErrorCode, ErrorResponse};
use crate::message::finish::{Finish, FinishResponse};
use crate::message::key_exchange::{
    EVENT_ALL_POLICY, KeyExchange, KeyExchangeResponse, SIGNATURE_SIZE, SummaryType,
    VERIFY_DATA_SIZE,
};
use crate::message::opaque::{SECURED_MESSAGE_VERSIONS, decode_supported, encode_selection};
use crate::message::{Codec, decode_padded};
use crate::session::SecuredSession;
use crate::signature::{Purpose, sign};
use crate::suite;
use crate::transcript::SessionTranscript;
use crate::transport::Framing;
use crate::version::Version;

/// A session whose requester has not proved yet that it has the keys.
pub(super) struct Handshake {
    pub(super) secured: SecuredSession,
    /// Taken by the FINISH that is right.
    secrets: Option<HandshakeSecrets>,
    transcript: SessionTranscript,
}

/// What FINISH leads to.
pub(super) struct Finished {
    pub(super) response: Vec<u8>,
    pub(super) secured: SecuredSession,
    pub(super) data: DataSecrets,
}

/// Answers KEY_EXCHANGE with `number` as the responder's half of the session's id.
pub(super) fn key_exchange<D: Device, R: CryptoRng>(
    asked: &mut Asked<'_, D, R>,
    framing: Framing,
    number: u16,
    request: &[u8],
) -> Result<(Vec<u8>, Handshake), ErrorResponse> {
    let invalid = || ErrorResponse::new(ErrorCode::InvalidRequest);
    let (device, version) = (asked.device, asked.peer.version);
    if !asked.peer.agrees(suite::SESSION_FLAGS) {
        return Err(ErrorResponse::unsupported(KeyExchange::CODE));
    }
    if !asked.settled.sessions {
        return Err(ErrorCode::UnexpectedRequest.into());
    }
    let (fields, request) = asked.decode::<KeyExchange>(request)?;
    // Nobody here tells events.
    let events = version >= Version::V1_3 && fields.session_policy & EVENT_ALL_POLICY != 0;
    if fields.slot != SLOT || events {
        return Err(invalid());
    }
    let offered = decode_supported(version, &fields.opaque)?;
    let secured_version = SECURED_MESSAGE_VERSIONS
        .into_iter()
        .find(|version| offered.contains(version))
        .ok_or_else(invalid)?;
    let summary = measurement_summary(asked, fields.summary)?;
    let exchange = Exchange::new(asked.rng);
    let shared = exchange.agree(&fields.exchange_data).ok_or_else(invalid)?;
    let mut random = [0; 32];
    asked.rng.fill_bytes(&mut random);

    let heartbeats = asked.peer.agrees(Flags::HBEAT);
    let response = KeyExchangeResponse {
        heartbeat_period: if heartbeats { device.heartbeat_period() } else { 0 },
        responder_session_id: number,
        mutual_authentication: 0,
        requester_slot: 0,
        random,
        exchange_data: exchange.share(),
        summary,
        opaque: encode_selection(version, secured_version),
        // Places for both, for now.
        signature: [0; SIGNATURE_SIZE],
        verify_data: [0; VERIFY_DATA_SIZE],
    };
    let mut response = asked.fitting(response.encode(version))?;
    response.truncate(response.len() - KeyExchangeResponse::UNSIGNED);

    let mut transcript = SessionTranscript::new(asked.vca, &device.certificate_chain().digest());
    transcript.add(request);
    transcript.add(&response);
    let signature = sign(device, version, Purpose::KeyExchange, &transcript.digest())
        .ok_or(ErrorResponse::new(ErrorCode::Unspecified))?;
    transcript.add(&signature);
    response.extend_from_slice(&signature);

    let th1 = transcript.digest();
    let secrets = HandshakeSecrets::derive(version, shared.as_slice(), &th1);
    let verify_data = secrets.responder_finished.verify_data(&th1);
    transcript.add(&verify_data);
    response.extend_from_slice(&verify_data);

    let id = u32::from(fields.requester_session_id) | u32::from(number) << 16;
    let secured = SecuredSession::new(id, framing, &secrets.responder, &secrets.requester);
    Ok((response, Handshake { secured, secrets: Some(secrets), transcript }))
}

/// MeasurementSummaryHash, as KEY_EXCHANGE and CHALLENGE ask for it: zeros where no measurement is
/// of the kind.
pub(super) fn measurement_summary<D: Device, R>(
    asked: &Asked<'_, D, R>,
    kind: SummaryType,
) -> Result<Option<[u8; 48]>, ErrorResponse> {
    let mut blocks = match kind {
        SummaryType::None => return Ok(None),
        SummaryType::Tcb | SummaryType::All => asked.device.measurements(),
    };
    if !asked.settled.measurements {
        return Err(ErrorCode::InvalidRequest.into());
    }
    if kind == SummaryType::Tcb {
        blocks.retain(|block| {
            matches!(block.value_type, ValueType::ImmutableRom | ValueType::MutableFirmware)
        });
    }
    Ok(Some(if blocks.is_empty() { [0; 48] } else { summary(&blocks) }))
}

impl Handshake {
    /// Answers FINISH. Verify data that is wrong is a DecryptError, which ends the session.
    pub(super) fn finish(
        &mut self,
        version: Version,
        request: &[u8],
    ) -> Result<Finished, ErrorResponse> {
        let (finish, request) = decode_padded::<Finish>(request, version, (), 1)?;
        let mut transcript = self.transcript.clone();
        let unverified = request.len() - VERIFY_DATA_SIZE;
        transcript.add(request.get(..unverified).unwrap_or_default());
        let wrong = ErrorResponse::new(ErrorCode::DecryptError);
        let secrets = self
            .secrets
            .take_if(|secrets| {
                secrets.requester_finished.verify(&transcript.digest(), &finish.verify_data)
            })
            .ok_or(wrong)?;
        transcript.add(&finish.verify_data);
        let response = FinishResponse.encode(version);
        transcript.add(&response);
        let data = secrets.into_data(&transcript.digest());
        Ok(Finished {
            response,
            secured: self.secured.with_keys(&data.responder, &data.requester),
            data,
        })
    }
}
