//! A requester that goes through everything that a session has, and begins anew when it is over.

use ravelin_spdm::Message;
use ravelin_spdm::message::capabilities::Flags;
use ravelin_spdm::message::measurements::{MeasurementsResponse, Operation, SignatureRequest};
use ravelin_spdm::message::vendor::VendorDefined;
use ravelin_spdm::requester::{
    Answer, Ask, Config, Error, Established, Progress, Requester, Session, Step,
};
use ravelin_spdm::transport::carrier::Transport;
use ravelin_spdm::version::Version;

use crate::device::GPU;
use crate::rng::Repeatable;

type Verifier = fn(
    &ravelin_spdm::CertificateChain,
) -> Result<p384::ecdsa::VerifyingKey, ravelin_spdm::ChainRefused>;

/// What a conversation is about, as a target's first byte tells it.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// What carries it.
    pub transport: Transport,
    /// The only version that is spoken.
    pub version: Version,
    /// Whether heartbeats, key updates and chunks are agreed on, and evidence is asked for in clear.
    pub everything: bool,
}

/// The requester.
pub struct Peer {
    terms: Terms,
    requester: Requester<Repeatable, Verifier>,
    session: Option<(Session, usize)>,
    request: Message,
}

/// What an answer has brought.
pub enum Learned {
    /// The next request.
    Nothing,
    /// A session.
    Established(Box<Secrets>),
    /// Measurements in a session, and whether they are signed.
    Measurements(MeasurementsResponse, bool),
}

/// A session, as the requester believes it.
pub struct Secrets {
    /// For the keys of the channel.
    pub export_secret: ravelin_channel::ExportMasterSecret,
    /// What the responder has proved.
    pub evidence: ravelin_spdm::requester::Evidence,
}

impl Terms {
    /// The terms of this byte.
    pub fn of(byte: u8) -> Terms {
        let transports = [Transport::Doe, Transport::Mctp, Transport::None];
        Terms {
            transport: transports[usize::from(byte) % 3],
            version: Version::NEGOTIABLE[usize::from(byte / 3) % 3],
            everything: byte / 9 % 2 == 1,
        }
    }

    /// The byte for each.
    pub fn all() -> impl Iterator<Item = u8> {
        0..18
    }
}

impl Peer {
    /// A requester that is about to begin.
    pub fn new(terms: Terms) -> Peer {
        let config =
            Config { framing: terms.transport.framing(), slot: 0, verifier_nonce: [7; 32] };
        let verifier: Verifier = |chain| GPU.verifier(chain);
        let mut requester =
            Requester::new(Repeatable::new(7), verifier, config).with_versions([terms.version]);
        if terms.everything {
            requester = requester
                .with_features(Flags::HBEAT | Flags::KEY_UPD | Flags::CHUNK)
                .with_challenge()
                .with_measurements_before(Operation::One(6), false)
                .with_measurements_before(Operation::All, true);
        }
        let request = requester.start();
        Peer { terms, requester, session: None, request }
    }

    /// What it says next.
    pub fn request(&self) -> &Message {
        &self.request
    }

    /// Whether keys are agreed or about to be.
    pub fn has_keys(&self) -> bool {
        self.session.is_some() || matches!(self.request, Message::Secured(_))
    }

    /// Takes the answer. After an error, and after the end of a session, the next request is the
    /// first one of a new conversation.
    pub fn answer(&mut self, answer: &Message) -> Result<Learned, Error> {
        let learned = match self.session.take() {
            Some((session, asked)) => self.in_session(session, asked, answer),
            None => self.before(answer),
        };
        if learned.is_err() {
            self.restart();
        }
        learned
    }

    /// Begins anew.
    pub fn restart(&mut self) {
        self.session = None;
        self.request = self.requester.start();
    }

    fn before(&mut self, answer: &Message) -> Result<Learned, Error> {
        match self.requester.receive(answer)? {
            Step::Send(request) => {
                self.request = request;
                Ok(Learned::Nothing)
            }
            Step::Done(established) => {
                let Established { export_secret, session, evidence, .. } = *established;
                self.ask(session, 0)?;
                Ok(Learned::Established(Box::new(Secrets { export_secret, evidence })))
            }
        }
    }

    fn in_session(
        &mut self,
        mut session: Session,
        asked: usize,
        answer: &Message,
    ) -> Result<Learned, Error> {
        let received = session.receive(answer);
        if let Err(error) = received {
            let over = session.ask(Ask::End) == Err(Error::NotStarted);
            assert!(
                over || matches!(error, Error::Refused { .. }),
                "{error} left the session alive"
            );
            return Err(error);
        }
        match received? {
            Progress::Send(request) => {
                self.request = request;
                self.session = Some((session, asked));
                Ok(Learned::Nothing)
            }
            Progress::Done(Answer::Ended) => {
                self.restart();
                Ok(Learned::Nothing)
            }
            Progress::Done(answer) => {
                let signed =
                    matches!(self.question(asked), Ask::Measurements { signature: Some(_), .. });
                self.ask(session, asked + 1)?;
                Ok(match answer {
                    Answer::Measurements(measurements) => {
                        Learned::Measurements(measurements, signed)
                    }
                    _ => Learned::Nothing,
                })
            }
        }
    }

    fn ask(&mut self, mut session: Session, asked: usize) -> Result<(), Error> {
        self.request = session.ask(self.question(asked))?;
        self.session = Some((session, asked));
        Ok(())
    }

    /// What is asked in a session, one after another.
    fn question(&self, number: usize) -> Ask {
        let signature = Some(SignatureRequest { nonce: [9; 32], slot: 0 });
        let features = [
            Ask::Heartbeat,
            Ask::UpdateKeys { all: false },
            Ask::UpdateKeys { all: true },
            Ask::VendorDefined(VendorDefined {
                standard_id: 3,
                vendor_id: vec![1, 2],
                payload: vec![5],
            }),
        ];
        let always = [
            Ask::Measurements { operation: Operation::Count, signature: None },
            Ask::Measurements { operation: Operation::All, signature },
            Ask::End,
        ];
        let asks = if self.terms.everything { &features[..] } else { &[] };
        asks.iter().chain(&always).nth(number).cloned().unwrap_or(Ask::End)
    }
}
