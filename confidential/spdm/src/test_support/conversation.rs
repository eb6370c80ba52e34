//! A whole conversation, message by message: what is carried, and what it says even where that is
//! sealed.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{TestDevice, TestRequester, TestResponder, TestRng, requester_of};
use crate::message::capabilities::Flags;
use crate::message::error::{ErrorCode, ErrorResponse};
use crate::message::measurements::{Operation, SignatureRequest};
use crate::message::vendor::VendorDefined;
use crate::message::{Codec, code};
use crate::requester::{Ask, Error, Progress, Session, Step};
use crate::responder::Responder;
use crate::session::SecuredSession;
use crate::suite::FEATURES;
use crate::transport::{Message, mctp};
use crate::version::Version;

/// What is said between whom.
pub(crate) struct Setup {
    pub(crate) version: Version,
    pub(crate) features: Flags,
    pub(crate) challenge: bool,
    /// Measurements before there is a session.
    pub(crate) before: Vec<(Operation, bool)>,
    /// What is asked in the session.
    pub(crate) asks: Vec<Ask>,
    /// The responder is not ready at once for a request of this code in clear.
    pub(crate) slow: Option<u8>,
}

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leg {
    pub(crate) carried: Message,
    /// The message itself, or what the record says.
    pub(crate) plain: Vec<u8>,
}

/// A request and its response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exchange {
    pub(crate) request: Leg,
    pub(crate) response: Leg,
}

/// The requester's end.
pub(crate) struct Near {
    end: End,
    asks: Vec<Ask>,
    /// What is to be sent.
    next: Option<Message>,
}

enum End {
    Requester(Box<TestRequester>),
    Session(Box<Session>),
}

/// The responder's end, which may be slow.
pub(crate) struct Far {
    pub(crate) responder: TestResponder,
    version: Version,
    slow: Option<u8>,
    held: Option<Message>,
}

impl Setup {
    /// Nothing but the line from GET_VERSION to measurements in a session.
    pub(crate) fn bare(version: Version) -> Setup {
        Setup {
            version,
            features: Flags::empty(),
            challenge: false,
            before: Vec::new(),
            asks: Vec::new(),
            slow: None,
        }
    }

    /// Everything that a version has.
    pub(crate) fn everything(version: Version) -> Setup {
        let signature = Some(SignatureRequest { nonce: [3; 32], slot: 0 });
        let measure = |operation, signature| Ask::Measurements { operation, signature };
        // Where there are chunks, the vendor's request and its response both need some.
        let length = if version >= Version::V1_2 { 4090 } else { 9 };
        let payload = (0..length).map(|number: u32| number as u8).collect();
        let vendor = VendorDefined { standard_id: 3, vendor_id: [0xde, 0x10].into(), payload };
        Setup {
            features: FEATURES,
            challenge: true,
            before: [(Operation::Count, false), (Operation::One(2), false), (Operation::All, true)]
                .into(),
            asks: [
                Ask::Heartbeat,
                measure(Operation::Count, None),
                measure(Operation::One(6), signature),
                Ask::UpdateKeys { all: false },
                Ask::UpdateKeys { all: true },
                Ask::VendorDefined(vendor),
                Ask::End,
            ]
            .into(),
            slow: Some(code::CHALLENGE),
            ..Setup::bare(version)
        }
    }

    pub(crate) fn near(&self) -> Near {
        let mut requester = requester_of(7, mctp::FRAMING)
            .with_versions([self.version])
            .with_features(self.features);
        if self.challenge {
            requester = requester.with_challenge();
        }
        for (operation, signed) in &self.before {
            requester = requester.with_measurements_before(*operation, *signed);
        }
        let next = Some(requester.start());
        let asks = self.asks.iter().rev().cloned().collect();
        Near { end: End::Requester(Box::new(requester)), asks, next }
    }

    pub(crate) fn far(&self) -> Far {
        let device = TestDevice { echoes: true, heartbeat_period: 5, ..TestDevice::genuine(1) };
        let responder = Responder::new(device, TestRng::new(1), mctp::FRAMING);
        Far { responder, version: self.version, slow: self.slow, held: None }
    }

    /// The conversation between the two.
    pub(crate) fn record(&self) -> Vec<Exchange> {
        let (mut near, mut far) = (self.near(), self.far());
        let mut exchanges = Vec::new();
        while let Some(request) = near.next() {
            let request = far.read(&request);
            let response = near.read(&far.respond(&request.carried));
            near.receive(&response.carried).unwrap();
            exchanges.push(Exchange { request, response });
        }
        exchanges
    }
}

impl Near {
    /// The next request; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Message> {
        self.next.take()
    }

    pub(crate) fn receive(&mut self, answer: &Message) -> Result<(), Error> {
        let established = match &mut self.end {
            End::Requester(requester) => match requester.receive(answer)? {
                Step::Send(request) => {
                    self.next = Some(request);
                    return Ok(());
                }
                Step::Done(established) => established,
            },
            End::Session(session) => match session.receive(answer)? {
                Progress::Send(request) => {
                    self.next = Some(request);
                    return Ok(());
                }
                Progress::Done(_) => return self.ask(),
            },
        };
        self.end = End::Session(Box::new(established.session));
        self.ask()
    }

    fn ask(&mut self) -> Result<(), Error> {
        if let (End::Session(session), Some(ask)) = (&mut self.end, self.asks.pop()) {
            self.next = Some(session.ask(ask)?);
        }
        Ok(())
    }

    /// The session's records.
    pub(crate) fn secured_session(&mut self) -> Option<&SecuredSession> {
        match &mut self.end {
            End::Requester(requester) => requester.secured_session(),
            End::Session(session) => session.secured_session(),
        }
    }

    /// What an answer says.
    pub(crate) fn read(&mut self, answer: &Message) -> Leg {
        read(self.secured_session(), answer)
    }
}

impl Far {
    pub(crate) fn respond(&mut self, request: &Message) -> Message {
        let code = match request {
            Message::Clear(bytes) => bytes.get(1).copied(),
            Message::Secured(_) => None,
        };
        if code == Some(code::RESPOND_IF_READY)
            && let Some(held) = self.held.take()
        {
            return held;
        }
        let answer = self.responder.respond(request).message;
        if code.is_none() || code != self.slow.take_if(|slow| Some(*slow) == code) {
            return answer;
        }
        self.held = Some(answer);
        let extended = [4, code.unwrap_or_default(), 0x77, 3].into();
        let error = ErrorResponse { code: ErrorCode::ResponseNotReady, data: 0, extended };
        Message::Clear(error.encode(self.version))
    }

    /// What a request says.
    pub(crate) fn read(&self, request: &Message) -> Leg {
        read(self.responder.secured_session(), request)
    }
}

fn read(session: Option<&SecuredSession>, message: &Message) -> Leg {
    let plain = match message {
        Message::Clear(bytes) => bytes.clone(),
        Message::Secured(record) => session.unwrap().peek(record).unwrap().0,
    };
    Leg { carried: message.clone(), plain }
}
