//! What comes in clear: which request it is, whether it is due, and large ones.

use alloc::boxed::Box;
use alloc::vec::Vec;

use rand_core::CryptoRng;

use super::answer::{Asked, Logs, answer};
use super::{Connection, Device, Event, Peer, Reply, Responder, SUPPORTED, Session, State};
use super::{establish, negotiate};
use crate::message::chunk::{ChunkGet, ChunkSend, ChunkSendAck};
use crate::message::error::{ErrorCode, ErrorResponse};
use crate::message::{Codec, Header, code, decode_padded};
use crate::suite;
use crate::transcript::{IdentityLog, MeasurementLog};
use crate::transfer::{Arrival, Transfers};
use crate::transport::Message;
use crate::version::Version;

impl<D: Device, R: CryptoRng> Responder<D, R> {
    /// A request in clear.
    pub(super) fn clear(&mut self, bytes: &[u8]) -> Result<Reply, ErrorResponse> {
        if bytes.len() > suite::DATA_TRANSFER_SIZE as usize {
            return Err(ErrorCode::RequestTooLarge.into());
        }
        let code = self.screen(bytes)?;
        let alignment = self.framing.alignment;
        let Some(peer) = self.peer() else { return self.whole(code, bytes, alignment) };
        match code {
            code::CHUNK_SEND => {
                let (request, _) = decode_padded::<ChunkSend>(bytes, peer.version, (), alignment)?;
                let most = suite::MAX_MESSAGE_SIZE as usize;
                match self.transfers.send(peer.version, request, most) {
                    Arrival::Ack(ack) => Ok(Reply::clear(ack.encode(peer.version))),
                    Arrival::Whole(request, ack) => Ok(self.acknowledge(peer, &request, ack)),
                }
            }
            code::CHUNK_GET => {
                let (request, _) = decode_padded::<ChunkGet>(bytes, peer.version, (), alignment)?;
                Ok(Reply::clear(self.transfers.get(request)?.encode(peer.version)))
            }
            _ => {
                self.transfers.abandon();
                let mut reply = self.whole(code, bytes, alignment)?;
                if let Message::Clear(response) = &mut reply.message {
                    let (whole, room) = (core::mem::take(response), peer.sizes.transfer);
                    *response = self.transfers.fit(peer.version, whole, room, peer.sizes);
                }
                Ok(reply)
            }
        }
    }

    /// Answers a request that came in chunks, in the acknowledgement of the last one.
    fn acknowledge(&mut self, peer: Peer, request: &[u8], mut ack: ChunkSendAck) -> Reply {
        let version = peer.version;
        let answer = self
            .screen(request)
            .and_then(may_be_large)
            .and_then(|code| self.whole(code, request, 1));
        let (response, event) = match answer {
            Ok(Reply { message, event }) => (message.as_bytes().to_vec(), event),
            Err(refusal) => (refusal.in_version(version).encode(version), None),
        };
        ack.response = fit_into_ack(&mut self.transfers, response, peer);
        Reply { event, ..Reply::clear(ack.encode(version)) }
    }

    /// A whole request in clear, of this code.
    fn whole(&mut self, code: u8, bytes: &[u8], alignment: usize) -> Result<Reply, ErrorResponse> {
        if code == code::GET_VERSION {
            let ended = self.session().map(|id| Event::SessionEnded { id });
            let (response, vca) = negotiate::version(bytes, alignment)?;
            self.state = State::Versions { vca };
            self.transfers.abandon();
            return Ok(Reply { event: ended, ..Reply::clear(response) });
        }
        let response = match (&mut self.state, code) {
            (State::Versions { vca }, code::GET_CAPABILITIES) => {
                let (response, vca, peer) = negotiate::capabilities(vca, bytes, alignment)?;
                self.state = State::Capabilities { vca, peer };
                response
            }
            (State::Capabilities { vca, peer }, code::NEGOTIATE_ALGORITHMS) => {
                let peer = *peer;
                let (response, vca, settled) = negotiate::algorithms(vca, peer, bytes, alignment)?;
                self.state = if settled.identity {
                    State::Connected(Box::new(Connection {
                        vca,
                        peer,
                        settled,
                        measurements: MeasurementLog::default(),
                        identity: IdentityLog::default(),
                        session: Session::None,
                        transfers: Transfers::default(),
                    }))
                } else {
                    State::Incompatible { peer }
                };
                response
            }
            (State::Incompatible { .. }, _) => return Err(ErrorCode::RequestResynch.into()),
            (State::Connected(connection), _) => {
                let Connection { vca, peer, settled, measurements, identity, session, .. } =
                    connection.as_mut();
                measurements.meet(code);
                identity.meet(code);
                let mut asked = Asked {
                    device: &self.device,
                    rng: &mut self.rng,
                    vca,
                    peer: *peer,
                    settled: *settled,
                    in_session: false,
                    alignment,
                };
                match (code, &session) {
                    (code::KEY_EXCHANGE, Session::None) => {
                        // Zero and all ones are reserved.
                        let number = self.sessions % (u16::MAX - 1) + 1;
                        let (response, handshake) =
                            establish::key_exchange(&mut asked, self.framing, number, bytes)?;
                        *session = Session::Handshake(Box::new(handshake));
                        connection.transfers.abandon();
                        self.sessions = number;
                        response
                    }
                    (code::KEY_EXCHANGE, _) => {
                        return Err(ErrorCode::SessionLimitExceeded.into());
                    }
                    (code::FINISH | code::HEARTBEAT | code::KEY_UPDATE | code::END_SESSION, _) => {
                        return Err(ErrorCode::SessionRequired.into());
                    }
                    // Between KEY_EXCHANGE and FINISH nothing else is said.
                    (_, Session::Handshake(_)) => return Err(ErrorCode::UnexpectedRequest.into()),
                    (_, Session::None | Session::Established(_)) => {
                        let logs = Logs { measurements, identity: Some(identity) };
                        answer(&mut asked, logs, code, bytes)?
                    }
                }
            }
            _ => return Err(ErrorCode::UnexpectedRequest.into()),
        };
        Ok(Reply::clear(response))
    }

    /// What can be said of a clear request without knowing its fields: its code, or why not.
    fn screen(&self, bytes: &[u8]) -> Result<u8, ErrorResponse> {
        let header = Header::peek(bytes)?;
        if !SUPPORTED.contains(&header.code) {
            return Err(ErrorResponse::unsupported(header.code));
        }
        let peer = self.peer();
        let expected = match header.code {
            code::GET_VERSION => Some(Version::V1_0),
            _ => peer.map(|peer| peer.version),
        };
        if expected.is_some_and(|version| version as u8 != header.version) {
            return Err(ErrorCode::VersionMismatch.into());
        }
        if let Some(peer) = peer {
            peer.supports(header.code)?;
        }
        Ok(header.code)
    }
}

/// Requests that must not come in chunks: those before there is an agreement on them, and chunks.
pub(super) fn may_be_large(code: u8) -> Result<u8, ErrorResponse> {
    match code {
        code::GET_VERSION | code::GET_CAPABILITIES | code::CHUNK_SEND | code::CHUNK_GET => {
            Err(ErrorCode::InvalidRequest.into())
        }
        code => Ok(code),
    }
}

/// The response to a large request, as its acknowledgement carries it.
pub(super) fn fit_into_ack(transfers: &mut Transfers, response: Vec<u8>, peer: Peer) -> Vec<u8> {
    let room = peer.sizes.transfer.saturating_sub(ChunkSendAck::OVERHEAD);
    transfers.fit(peer.version, response, room, peer.sizes)
}
