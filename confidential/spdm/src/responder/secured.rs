//! Records: which session they are of, what comes out of them, and how a session ends.

use alloc::boxed::Box;

use rand_core::CryptoRng;

use super::{
    Connection, Device, Established, Event, Reply, Responder, SUPPORTED, Session, State, answer,
};
use crate::message::end_session::{EndSession, EndSessionAck};
use crate::message::error::{ErrorCode, ErrorResponse};
use crate::message::{Codec, Header, code, decode_padded};
use crate::session::{SecuredSession, SessionError, peek_session};
use crate::transcript::MeasurementLog;
use crate::transport::Message;
use crate::version::Version;

impl<D: Device, R: CryptoRng> Responder<D, R> {
    /// A secured request. A record that does not decrypt ends its session, whoever sent it
    /// (DSP0277); one of another session changes nothing.
    pub(super) fn secured(&mut self, record: &[u8]) -> Result<Reply, ErrorResponse> {
        let named = peek_session(record)?;
        let State::Connected(connection) = &mut self.state else {
            return Err(ErrorCode::InvalidSession.into());
        };
        let secured = match &mut connection.session {
            Session::None => return Err(ErrorCode::InvalidSession.into()),
            Session::Handshake(handshake) => &mut handshake.secured,
            Session::Established(established) => &mut established.secured,
        };
        let id = secured.id();
        if named != id {
            return Err(ErrorCode::InvalidSession.into());
        }
        let request = match secured.open(record) {
            Ok(request) => request,
            Err(SessionError::Malformed(error)) => return Err(error.into()),
            Err(_) => {
                let error = ErrorResponse::new(ErrorCode::DecryptError);
                let reply = Reply::clear(error.encode(connection.peer.version));
                return Ok(self.end(reply));
            }
        };
        self.inside(&request)
    }

    /// A request that has come out of a record.
    fn inside(&mut self, request: &[u8]) -> Result<Reply, ErrorResponse> {
        let State::Connected(connection) = &mut self.state else {
            return Err(ErrorCode::InvalidSession.into());
        };
        let Connection { vca, peer, session, .. } = connection.as_mut();
        let version = peer.version;
        let screened = screen_inside(request, version);
        match session {
            Session::None => Err(ErrorCode::InvalidSession.into()),
            Session::Handshake(handshake) => {
                let finished = screened.and_then(|code| match code {
                    code::FINISH => handshake.finish(version, request),
                    _ => Err(ErrorCode::UnexpectedRequest.into()),
                });
                match finished {
                    Ok(finished) => {
                        let message = seal(&mut handshake.secured, &finished.response)?;
                        let id = finished.secured.id();
                        *session = Session::Established(Box::new(Established {
                            secured: finished.secured,
                            measurements: MeasurementLog::default(),
                        }));
                        let event =
                            Event::SessionEstablished { id, export_secret: finished.export_secret };
                        Ok(Reply { message, event: Some(event) })
                    }
                    Err(error) => {
                        let message = seal(&mut handshake.secured, &error.encode(version))?;
                        if error.code == ErrorCode::DecryptError {
                            *session = Session::None;
                        }
                        Ok(Reply { message, event: None })
                    }
                }
            }
            Session::Established(established) => {
                let Established { secured, measurements } = established.as_mut();
                let ending = matches!(screened, Ok(code::END_SESSION));
                let response = screened.and_then(|code| match code {
                    code::END_SESSION => {
                        decode_padded::<EndSession>(request, version, (), 1)?;
                        Ok(EndSessionAck.encode(version))
                    }
                    code::GET_DIGESTS | code::GET_CERTIFICATE | code::GET_MEASUREMENTS => {
                        answer(&self.device, &mut self.rng, (vca, *peer), measurements, request, 1)
                    }
                    _ => Err(ErrorCode::UnexpectedRequest.into()),
                });
                let ended = ending && response.is_ok();
                let response = response.unwrap_or_else(|error| error.encode(version));
                let reply = Reply { message: seal(secured, &response)?, event: None };
                Ok(if ended { self.end(reply) } else { reply })
            }
        }
    }

    /// Drops the session's keys, and says so where it was established.
    fn end(&mut self, reply: Reply) -> Reply {
        let event = self.session().map(|id| Event::SessionEnded { id });
        if let State::Connected(connection) = &mut self.state {
            connection.session = Session::None;
        }
        Reply { event, ..reply }
    }
}

/// Supported code and negotiated version of a request inside a session.
fn screen_inside(request: &[u8], version: Version) -> Result<u8, ErrorResponse> {
    let header = Header::peek(request)?;
    if !SUPPORTED.contains(&header.code) {
        return Err(ErrorResponse::unsupported(header.code));
    }
    if header.version != version as u8 {
        return Err(ErrorCode::VersionMismatch.into());
    }
    Ok(header.code)
}

fn seal(secured: &mut SecuredSession, message: &[u8]) -> Result<Message, ErrorResponse> {
    match secured.seal(message) {
        Ok(record) => Ok(Message::Secured(record)),
        Err(_) => Err(ErrorCode::Unspecified.into()),
    }
}
