//! KEY_EXCHANGE and FINISH: how a session comes about.

use alloc::vec::Vec;

use rand_core::CryptoRng;
use ravelin_channel::ExportMasterSecret;

use super::{Device, Peer, SLOT, fitting};
use crate::exchange::Exchange;
use crate::key_schedule::HandshakeSecrets;
use crate::measurements::{ValueType, summary};
use crate::message::error::{ErrorCode, ErrorResponse};
use crate::message::finish::{Finish, FinishResponse};
use crate::message::key_exchange::{
    KeyExchange, KeyExchangeResponse, SIGNATURE_SIZE, SummaryType, VERIFY_DATA_SIZE,
};
use crate::message::opaque::{SECURED_MESSAGE_VERSIONS, decode_supported, encode_selection};
use crate::message::{Codec, decode_padded};
use crate::session::SecuredSession;
use crate::signature::{Purpose, signed_message};
use crate::suite;
use crate::transcript::{SessionTranscript, Vca};
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
    pub(super) export_secret: ExportMasterSecret,
}

/// Answers KEY_EXCHANGE with `number` as the responder's half of the session's id.
pub(super) fn key_exchange(
    device: &impl Device,
    rng: &mut impl CryptoRng,
    framing: Framing,
    (vca, peer): (&Vca, Peer),
    number: u16,
    request: &[u8],
) -> Result<(Vec<u8>, Handshake), ErrorResponse> {
    let invalid = || ErrorResponse::new(ErrorCode::InvalidRequest);
    if !peer.flags.contains(suite::SESSION_FLAGS) {
        return Err(ErrorResponse::unsupported(KeyExchange::CODE));
    }
    let (fields, request) =
        decode_padded::<KeyExchange>(request, peer.version, (), framing.alignment)?;
    if fields.slot != SLOT {
        return Err(invalid());
    }
    let offered = decode_supported(&fields.opaque)?;
    let secured_version = SECURED_MESSAGE_VERSIONS
        .into_iter()
        .find(|version| offered.contains(version))
        .ok_or_else(invalid)?;
    let exchange = Exchange::new(rng);
    let shared = exchange.agree(&fields.exchange_data).ok_or_else(invalid)?;
    let mut random = [0; 32];
    rng.fill_bytes(&mut random);

    let response = KeyExchangeResponse {
        heartbeat_period: 0,
        responder_session_id: number,
        mutual_authentication: 0,
        requester_slot: 0,
        random,
        exchange_data: exchange.share(),
        summary: measurement_summary(device, fields.summary),
        opaque: encode_selection(secured_version),
        // Places for both, for now.
        signature: [0; SIGNATURE_SIZE],
        verify_data: [0; VERIFY_DATA_SIZE],
    };
    let mut response = fitting(response.encode(peer.version), peer)?;
    response.truncate(response.len() - KeyExchangeResponse::UNSIGNED);

    let mut transcript = SessionTranscript::new(vca, &device.certificate_chain().digest());
    transcript.add(request);
    transcript.add(&response);
    let signature = device
        .sign(&signed_message(Purpose::KeyExchange, &transcript.digest()))
        .ok_or(ErrorResponse::new(ErrorCode::Unspecified))?;
    transcript.add(&signature);
    response.extend_from_slice(&signature);

    let th1 = transcript.digest();
    let secrets = HandshakeSecrets::derive(peer.version, shared.as_slice(), &th1);
    let verify_data = secrets.responder_finished.verify_data(&th1);
    transcript.add(&verify_data);
    response.extend_from_slice(&verify_data);

    let id = u32::from(fields.requester_session_id) | u32::from(number) << 16;
    let secured = SecuredSession::new(id, framing, &secrets.responder, &secrets.requester);
    Ok((response, Handshake { secured, secrets: Some(secrets), transcript }))
}

fn measurement_summary(device: &impl Device, kind: SummaryType) -> Option<[u8; 48]> {
    let blocks = device.measurements();
    match kind {
        SummaryType::None => None,
        SummaryType::All => Some(summary(&blocks)),
        SummaryType::Tcb => Some(summary(blocks.iter().filter(|block| {
            matches!(block.value_type, ValueType::ImmutableRom | ValueType::MutableFirmware)
        }))),
    }
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
            export_secret: data.export,
        })
    }
}
