//! What may be asked in an established session: one question at a time, each answered or refused.
//!
//! A refusal leaves the session as it was, unless it says that there is none any more. Any other
//! error is the end of it, keys and all.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use p384::ecdsa::VerifyingKey;
use zeroize::Zeroizing;

use super::before::AskedMeasurements;
use super::link::{Link, Received};
use super::negotiate::Connection;
use super::{Answered, Error, Inside, refuse_error};
use crate::key_schedule::TrafficSecrets;
use crate::message::capabilities::Flags;
use crate::message::end_session::{EndSession, EndSessionAck};
use crate::message::error::ErrorCode;
use crate::message::heartbeat::{Heartbeat, HeartbeatAck};
use crate::message::key_update::{KeyUpdate, KeyUpdateAck, Operation as KeyOperation};
use crate::message::measurements::{
    GetMeasurements, MeasurementsResponse, Operation, SignatureRequest,
};
use crate::message::vendor::{VendorDefined, VendorDefinedRequest, VendorDefinedResponse};
use crate::message::{Codec, Header, code};
use crate::session::{SecuredSession, Under};
use crate::transcript::MeasurementLog;
use crate::transport::Message;
use crate::version::Version;
use crate::wire::value;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Is the session still there?
    Heartbeat,
    /// New keys for what the requester sends, or for both directions.
    UpdateKeys {
        /// Both directions.
        all: bool,
    },
    /// Measurements; signed, if there is a nonce.
    Measurements {
        /// Which.
        operation: Operation,
        /// Slot of the key that signs, and the nonce.
        signature: Option<SignatureRequest>,
    },
    /// Something that somebody else defines.
    VendorDefined(VendorDefined),
    /// The end of the session.
    End,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The session is still there.
    Alive,
    /// The keys are new, and the responder has seen the requester's.
    KeysUpdated,
    /// Measurements, which the responder's key has signed if that was asked for.
    Measurements(MeasurementsResponse),
    /// Somebody else's.
    VendorDefined(VendorDefined),
    /// The session is over.
    Ended,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Send this, and give its answer to [`Session::receive`].
    Send(Message),
    /// The question is answered.
    Done(Answer),
}

/// An established session, to be ended in good order.
pub struct Session {
    id: u32,
    version: Version,
    heartbeat_period: u8,
    inside: Inside,
    state: State,
}

enum State {
    Live(Box<Live>, Due),
    Over,
}

struct Live {
    connection: Connection,
    key: VerifyingKey,
    secured: SecuredSession,
    traffic: TrafficSecrets,
    measurements: MeasurementLog,
    link: Link,
    /// Tells one KEY_UPDATE from the next.
    tag: u8,
}

/// Which answer is due.
enum Due {
    Nothing,
    Heartbeat,
    KeyUpdate(KeyUpdate),
    Measurements(Box<AskedMeasurements>),
    /// Whose the request was: nobody else's answer will do.
    VendorDefined {
        standard_id: u16,
        vendor_id: Vec<u8>,
    },
    End,
}

impl Session {
    pub(super) fn new(
        connection: Connection,
        key: VerifyingKey,
        heartbeat_period: u8,
        secured: SecuredSession,
        traffic: TrafficSecrets,
        link: Link,
    ) -> Session {
        let (id, version) = (secured.id(), connection.version);
        let measurements = MeasurementLog::default();
        let live = Live { connection, key, secured, traffic, measurements, link, tag: 0 };
        let (inside, state) = (Inside::default(), State::Live(Box::new(live), Due::Nothing));
        Session { id, version, heartbeat_period, inside, state }
    }

    /// The session's id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The version that was agreed.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Within how many seconds the responder wants to hear something; 0: it does not mind.
    pub fn heartbeat_period(&self) -> u8 {
        self.heartbeat_period
    }

    /// How long to wait before sending what [`Session::receive`] gave last.
    pub fn wait(&self) -> Duration {
        match &self.state {
            State::Live(live, _) => live.link.wait(),
            State::Over => Duration::ZERO,
        }
    }

    /// What is in the record of the last request.
    pub fn sealed(&self) -> Option<&[u8]> {
        self.inside.sealed.as_deref().map(Vec::as_slice)
    }

    /// What was in the record of the last answer; `None` if that was in clear, or does not open.
    pub fn opened(&self) -> Option<&[u8]> {
        self.inside.opened.as_deref().map(Vec::as_slice)
    }

    /// The request for this; its answer goes to [`Session::receive`].
    pub fn ask(&mut self, ask: Ask) -> Result<Message, Error> {
        let State::Live(live, due) = &mut self.state else { return Err(Error::NotStarted) };
        let (request, next) = live.request(ask)?;
        let request = live.link.send(request)?;
        *due = next;
        let message = Message::Secured(live.secured.seal(&request)?);
        self.inside = Inside { sealed: Some(Zeroizing::new(request)), opened: None };
        Ok(message)
    }

    /// Takes the answer to the last request.
    pub fn receive(&mut self, answer: &Message) -> Result<Progress, Error> {
        self.inside.opened = None;
        // Taken out, so that an error leaves nothing behind.
        let State::Live(mut live, due) = core::mem::replace(&mut self.state, State::Over) else {
            return Err(Error::NotStarted);
        };
        let (bytes, under) = match answer {
            Message::Clear(bytes) => {
                refuse_error(bytes, usize::MAX)?;
                return Err(Error::NotSecured);
            }
            Message::Secured(record) => live.secured.open_either(record)?,
        };
        self.inside.opened = Some(bytes.clone());
        let message = match live.link.receive(&bytes, 1)? {
            Received::Next(request) => {
                let message = Message::Secured(live.secured.seal(&request)?);
                self.inside.sealed = Some(Zeroizing::new(request));
                self.state = State::Live(live, due);
                return Ok(Progress::Send(message));
            }
            Received::Whole { message, .. } => message,
        };
        if let Err(refused) = refuse_error(&message, 1) {
            if outlives(&refused, &due) {
                live.secured.reinstate_superseded();
                self.state = State::Live(live, Due::Nothing);
            }
            return Err(refused);
        }
        let (progress, next) = live.judge(due, &message, under)?;
        if let Due::KeyUpdate(verify) = &next {
            self.inside.sealed = Some(Zeroizing::new(verify.encode(self.version)));
        }
        if progress != Progress::Done(Answer::Ended) {
            self.state = State::Live(live, next);
        }
        Ok(progress)
    }

    /// The request that ends the session; its answer goes to [`Session::confirm_end`].
    pub fn end(&mut self) -> Result<Message, Error> {
        self.ask(Ask::End)
    }

    /// Takes the answer to END_SESSION; the keys are wiped either way.
    pub fn confirm_end(mut self, answer: &Message) -> Result<(), Error> {
        match self.receive(answer)? {
            Progress::Done(Answer::Ended) => Ok(()),
            Progress::Done(_) | Progress::Send(_) => Err(Error::NotStarted),
        }
    }
}

/// Whether the session goes on after a refusal of what was asked.
fn outlives(refused: &Error, due: &Due) -> bool {
    let Error::Refused { code, .. } = refused else { return false };
    let lost = matches!(
        code,
        ErrorCode::DecryptError | ErrorCode::InvalidSession | ErrorCode::RequestResynch
    );
    // A key that the responder does not verify is one that the two do not share.
    let verify = KeyOperation::VerifyNewKey;
    let unverified = matches!(due, Due::KeyUpdate(request) if request.operation == verify);
    !lost && !unverified && !matches!(due, Due::End)
}

impl Live {
    fn request(&mut self, ask: Ask) -> Result<(Vec<u8>, Due), Error> {
        let (request, due) = self.encode(ask)?;
        self.measurements.meet(Header::peek(&request)?.code);
        Ok((request, due))
    }

    fn encode(&mut self, ask: Ask) -> Result<(Vec<u8>, Due), Error> {
        let version = self.connection.version;
        Ok(match ask {
            Ask::Heartbeat => {
                self.needs(Flags::HBEAT)?;
                (Heartbeat.encode(version), Due::Heartbeat)
            }
            Ask::UpdateKeys { all } => {
                self.needs(Flags::KEY_UPD)?;
                let operation =
                    if all { KeyOperation::UpdateAllKeys } else { KeyOperation::UpdateKey };
                let request = self.key_update(operation);
                if all {
                    // The answer comes under the new key, unless it is a refusal.
                    self.secured.update_receiving(&self.traffic.responder_ahead());
                }
                (request.encode(version), Due::KeyUpdate(request))
            }
            Ask::Measurements { operation, signature } => {
                let fields = GetMeasurements { operation, raw: false, signature, context: [0; 8] };
                let asked = AskedMeasurements::new(version, fields);
                (asked.request.clone(), Due::Measurements(Box::new(asked)))
            }
            Ask::VendorDefined(fields) => {
                let (standard_id, vendor_id) = (fields.standard_id, fields.vendor_id.clone());
                let request = VendorDefinedRequest(fields).encode(version);
                (request, Due::VendorDefined { standard_id, vendor_id })
            }
            Ask::End => (EndSession { clear_negotiated_state: false }.encode(version), Due::End),
        })
    }

    fn needs(&self, flags: Flags) -> Result<(), Error> {
        let missing = flags.difference(self.connection.features);
        if missing.is_empty() { Ok(()) } else { Err(Error::MissingCapabilities { missing }) }
    }

    fn key_update(&mut self, operation: KeyOperation) -> KeyUpdate {
        self.tag = self.tag.wrapping_add(1);
        KeyUpdate { operation, tag: self.tag }
    }

    /// Judges a whole answer that is no ERROR.
    fn judge(&mut self, due: Due, bytes: &[u8], under: Under) -> Result<(Progress, Due), Error> {
        let version = self.connection.version;
        let answer = Answered { bytes, alignment: 1 };
        let done = |answer| Ok((Progress::Done(answer), Due::Nothing));
        match due {
            Due::Nothing => Err(Error::NotStarted),
            Due::Heartbeat => {
                answer.decode::<HeartbeatAck>(version, ())?;
                done(Answer::Alive)
            }
            Due::KeyUpdate(request) => {
                let (ack, _) = answer.decode::<KeyUpdateAck>(version, ())?;
                if (ack.operation, ack.tag) != (request.operation, request.tag) {
                    return Err(Error::NotAgreed { field: "Tag", found: ack.tag });
                }
                self.keys_updated(request, under)
            }
            Due::Measurements(asked) => {
                let vca = &self.connection.vca;
                let response = asked.judge(&self.key, vca, &mut self.measurements, answer)?;
                done(Answer::Measurements(response))
            }
            Due::VendorDefined { standard_id, vendor_id } => {
                let (VendorDefinedResponse(fields), _) = answer.decode(version, ())?;
                if fields.standard_id != standard_id {
                    return Err(value("StandardID", fields.standard_id).into());
                }
                if fields.vendor_id != vendor_id {
                    return Err(value("VendorID", fields.vendor_id.len() as u64).into());
                }
                done(Answer::VendorDefined(fields))
            }
            Due::End => {
                answer.decode::<EndSessionAck>(version, ())?;
                done(Answer::Ended)
            }
        }
    }

    /// The responder has new keys; now it is to see that the requester has them, too.
    fn keys_updated(&mut self, request: KeyUpdate, under: Under) -> Result<(Progress, Due), Error> {
        match request.operation {
            KeyOperation::VerifyNewKey => {
                return Ok((Progress::Done(Answer::KeysUpdated), Due::Nothing));
            }
            KeyOperation::UpdateAllKeys => {
                if under == Under::Superseded {
                    return Err(Error::NotAgreed {
                        field: "Key Operation",
                        found: code::KEY_UPDATE,
                    });
                }
                self.traffic.update_responder();
                self.secured.forget_superseded();
            }
            KeyOperation::UpdateKey => {}
        }
        self.secured.update_sending(&self.traffic.update_requester());
        let verify = self.key_update(KeyOperation::VerifyNewKey);
        let request = self.link.send(verify.encode(self.connection.version))?;
        let record = self.secured.seal(&request)?;
        Ok((Progress::Send(Message::Secured(record)), Due::KeyUpdate(verify)))
    }
}

#[cfg(test)]
mod tests;
