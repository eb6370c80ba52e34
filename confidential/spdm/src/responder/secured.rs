//! Records: which session they are of, what comes out of them, and how a session ends.

use alloc::boxed::Box;
use alloc::vec::Vec;

use rand_core::CryptoRng;

use super::answer::{Asked, Logs, answer};
use super::clear::{fit_into_ack, may_be_large};
use super::{
    Connection, Device, Established, Event, Peer, Reply, Responder, SUPPORTED, Session, State,
};
use crate::message::chunk::{ChunkGet, ChunkSend};
use crate::message::end_session::{EndSession, EndSessionAck};
use crate::message::error::{ErrorCode, ErrorResponse};
use crate::message::heartbeat::{Heartbeat, HeartbeatAck};
use crate::message::key_update::{KeyUpdate, KeyUpdateAck, Operation};
use crate::message::{Codec, Header, code, decode};
use crate::session::{SecuredSession, SessionError, Under, peek_session};
use crate::suite;
use crate::transcript::MeasurementLog;
use crate::transfer::Arrival;
use crate::transport::Message;

/// What a request inside a session leads to.
struct Outcome {
    response: Vec<u8>,
    /// What becomes of the session once the response is sealed.
    then: Then,
}

enum Then {
    GoesOn,
    Established(Box<super::establish::Finished>),
    Ends,
}

impl Outcome {
    fn plain(response: Vec<u8>) -> Outcome {
        Outcome { response, then: Then::GoesOn }
    }
}

impl<D: Device, R: CryptoRng> Responder<D, R> {
    /// A secured request. A record that does not decrypt ends its session, whoever sent it
    /// (DSP0277); one of another session changes nothing.
    pub(super) fn secured(&mut self, record: &[u8]) -> Result<Reply, ErrorResponse> {
        let named = peek_session(record)?;
        let version = self.version();
        let records = self.records()?;
        if named != records.id() {
            return Err(ErrorCode::InvalidSession.into());
        }
        // In the session, whose other direction nobody has forged.
        let refused = |records, code: ErrorCode| {
            let message = seal(records, &ErrorResponse::new(code).encode(version))?;
            Ok(Reply { message, event: None })
        };
        match records.open_either(record) {
            Ok((request, under)) => self.inside(&request, under),
            Err(SessionError::Malformed(error)) => Err(error.into()),
            Err(SessionError::OtherType { .. }) => refused(records, ErrorCode::InvalidRequest),
            Err(_) => {
                let reply = refused(records, ErrorCode::DecryptError)?;
                Ok(self.end(reply))
            }
        }
    }

    /// The records of the session.
    fn records(&mut self) -> Result<&mut SecuredSession, ErrorResponse> {
        let State::Connected(connection) = &mut self.state else {
            return Err(ErrorCode::InvalidSession.into());
        };
        match &mut connection.session {
            Session::None => Err(ErrorCode::InvalidSession.into()),
            Session::Handshake(handshake) => Ok(&mut handshake.secured),
            Session::Established(established) => Ok(&mut established.secured),
        }
    }

    /// A request that has come out of a record.
    fn inside(&mut self, request: &[u8], under: Under) -> Result<Reply, ErrorResponse> {
        let peer = self.peer().ok_or(ErrorResponse::new(ErrorCode::InvalidSession))?;
        let Outcome { response, then } = self.piece(peer, request, under);
        let message = seal(self.records()?, &response)?;
        let reply = Reply { message, event: None };
        Ok(match (then, &mut self.state) {
            (Then::Ends, _) => self.end(reply),
            (Then::Established(finished), State::Connected(connection)) => {
                let id = finished.secured.id();
                connection.session = Session::Established(Box::new(Established {
                    secured: finished.secured,
                    traffic: finished.data.traffic,
                    measurements: MeasurementLog::default(),
                    update: None,
                }));
                let export_secret = finished.data.export;
                Reply { event: Some(Event::SessionEstablished { id, export_secret }), ..reply }
            }
            (Then::GoesOn | Then::Established(_), _) => reply,
        })
    }

    /// A request inside a session, which may be a chunk of one.
    fn piece(&mut self, peer: Peer, request: &[u8], under: Under) -> Outcome {
        let refused = |refusal: ErrorResponse| {
            Outcome::plain(refusal.in_version(peer.version).encode(peer.version))
        };
        let most = suite::DATA_TRANSFER_SIZE as usize;
        let screened = if request.len() > most {
            Err(ErrorCode::RequestTooLarge.into())
        } else {
            screen(request, peer)
        };
        let code = match screened {
            Ok(code) => code,
            Err(refusal) => return refused(refusal),
        };
        let State::Connected(connection) = &mut self.state else {
            return refused(ErrorCode::InvalidSession.into());
        };
        let transfers = &mut connection.transfers;
        match code {
            code::CHUNK_SEND => {
                let chunk = match decode::<ChunkSend>(request, peer.version, ()) {
                    Ok(chunk) => chunk,
                    Err(error) => return refused(error.into()),
                };
                let most = suite::MAX_MESSAGE_SIZE as usize;
                match transfers.send(peer.version, chunk, most) {
                    Arrival::Ack(ack) => Outcome::plain(ack.encode(peer.version)),
                    Arrival::Whole(request, mut ack) => {
                        let code = screen(&request, peer).and_then(may_be_large);
                        let outcome = self.whole_inside(peer, code, &request, under);
                        let Outcome { response, then } = outcome;
                        ack.response =
                            self.fit(|transfers| fit_into_ack(transfers, response, peer));
                        Outcome { response: ack.encode(peer.version), then }
                    }
                }
            }
            code::CHUNK_GET => {
                let response = decode::<ChunkGet>(request, peer.version, ())
                    .map_err(ErrorResponse::from)
                    .and_then(|request| transfers.get(request));
                match response {
                    Ok(response) => Outcome::plain(response.encode(peer.version)),
                    Err(refusal) => refused(refusal),
                }
            }
            _ => {
                transfers.abandon();
                let Outcome { response, then } = self.whole_inside(peer, Ok(code), request, under);
                let room = peer.sizes.transfer;
                let response =
                    self.fit(|transfers| transfers.fit(peer.version, response, room, peer.sizes));
                Outcome { response, then }
            }
        }
    }

    /// Lets the session's large messages see a response.
    fn fit(&mut self, fit: impl FnOnce(&mut crate::transfer::Transfers) -> Vec<u8>) -> Vec<u8> {
        match &mut self.state {
            State::Connected(connection) => fit(&mut connection.transfers),
            _ => fit(&mut self.transfers),
        }
    }

    /// A whole request inside a session.
    fn whole_inside(
        &mut self,
        peer: Peer,
        code: Result<u8, ErrorResponse>,
        request: &[u8],
        under: Under,
    ) -> Outcome {
        let version = peer.version;
        let refused = |refusal: ErrorResponse, then| Outcome {
            response: refusal.in_version(version).encode(version),
            then,
        };
        let State::Connected(connection) = &mut self.state else {
            return refused(ErrorCode::InvalidSession.into(), Then::GoesOn);
        };
        let Connection { vca, settled, session, identity, .. } = connection.as_mut();
        match session {
            Session::None => refused(ErrorCode::InvalidSession.into(), Then::GoesOn),
            Session::Handshake(handshake) => {
                let finished = code.and_then(|code| match code {
                    code::FINISH => handshake.finish(version, request),
                    _ => Err(ErrorCode::UnexpectedRequest.into()),
                });
                match finished {
                    Ok(mut finished) => Outcome {
                        response: core::mem::take(&mut finished.response),
                        then: Then::Established(Box::new(finished)),
                    },
                    Err(error) if error.code == ErrorCode::DecryptError => {
                        refused(error, Then::Ends)
                    }
                    Err(error) => refused(error, Then::GoesOn),
                }
            }
            Session::Established(established) => {
                if let Ok(code) = code {
                    established.measurements.meet(code);
                    identity.meet(code);
                }
                let mut asked = Asked {
                    device: &self.device,
                    rng: &mut self.rng,
                    vca,
                    peer,
                    settled: *settled,
                    in_session: true,
                    alignment: 1,
                };
                let ends = matches!(code, Ok(code::END_SESSION));
                let response =
                    code.and_then(|code| established.answer(&mut asked, code, request, under));
                match response {
                    Ok(response) => {
                        Outcome { response, then: if ends { Then::Ends } else { Then::GoesOn } }
                    }
                    Err(refusal) => refused(refusal, Then::GoesOn),
                }
            }
        }
    }

    /// Drops the session's keys, and says so where it was established.
    fn end(&mut self, reply: Reply) -> Reply {
        let event = self.end_session().map(|id| Event::SessionEnded { id });
        Reply { event, ..reply }
    }
}

impl Established {
    fn answer<D: Device, R: CryptoRng>(
        &mut self,
        asked: &mut Asked<'_, D, R>,
        code: u8,
        request: &[u8],
        under: Under,
    ) -> Result<Vec<u8>, ErrorResponse> {
        let version = asked.peer.version;
        // Between a new key and its proof nothing else is said.
        if self.update.is_some() && code != code::KEY_UPDATE {
            return Err(ErrorCode::UnexpectedRequest.into());
        }
        match code {
            code::HEARTBEAT => {
                asked.decode::<Heartbeat>(request)?;
                Ok(HeartbeatAck.encode(version))
            }
            code::KEY_UPDATE => {
                let (request, _) = asked.decode::<KeyUpdate>(request)?;
                self.update_keys(request, under)?;
                let KeyUpdate { operation, tag } = request;
                Ok(KeyUpdateAck { operation, tag }.encode(version))
            }
            code::END_SESSION => {
                asked.decode::<EndSession>(request)?;
                Ok(EndSessionAck.encode(version))
            }
            code => {
                let logs = Logs { measurements: &mut self.measurements, identity: None };
                answer(asked, logs, code, request)
            }
        }
    }

    /// Makes or confirms new keys. A new key of the responder's is in force for the answer.
    fn update_keys(&mut self, request: KeyUpdate, under: Under) -> Result<(), ErrorResponse> {
        match (self.update, request.operation, under) {
            (None, Operation::UpdateKey | Operation::UpdateAllKeys, Under::Current) => {
                self.secured.update_receiving(&self.traffic.update_requester());
                if request.operation == Operation::UpdateAllKeys {
                    self.secured.update_sending(&self.traffic.update_responder());
                }
                self.update = Some(request);
                Ok(())
            }
            // The answer was lost on the way; it is given again.
            (Some(pending), _, Under::Superseded) if pending == request => Ok(()),
            (Some(_), Operation::VerifyNewKey, Under::Current) => {
                self.secured.forget_superseded();
                self.update = None;
                Ok(())
            }
            _ => Err(ErrorCode::InvalidRequest.into()),
        }
    }
}

/// Supported code and negotiated version of a request inside a session.
fn screen(request: &[u8], peer: Peer) -> Result<u8, ErrorResponse> {
    let header = Header::peek(request)?;
    if !SUPPORTED.contains(&header.code) {
        return Err(ErrorResponse::unsupported(header.code));
    }
    if header.version != peer.version as u8 {
        return Err(ErrorCode::VersionMismatch.into());
    }
    peer.supports(header.code)?;
    Ok(header.code)
}

fn seal(secured: &mut SecuredSession, message: &[u8]) -> Result<Message, ErrorResponse> {
    match secured.seal(message) {
        Ok(record) => Ok(Message::Secured(record)),
        Err(_) => Err(ErrorCode::Unspecified.into()),
    }
}
