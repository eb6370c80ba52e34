//! The room `attest`: SPDM with the GPU, its evidence judged, and only then a session begun.
//!
//! The GPU's chain is judged before a key is agreed, everything else before a key is used. Nothing
//! is sent that is worth protecting before the verdict is good. What makes it good is
//! `ravelin_attestation`'s business; how SPDM goes is `ravelin_spdm`'s.
//!
//! A GPU in plain mode has nothing to attest. It is refused with the code `mode-off`, unless the
//! embedder's policy says outright that unprotected GPUs are allowed, as on a platform where nothing
//! is protected anyway. The bus says which mode it is, and may lie: a lie that it is off gains
//! nothing but the refusal, and a lie that it is on comes to light in the measurements.

use alloc::string::String;
use alloc::vec::Vec;

use rand_core::CryptoRng;
use ravelin_attestation::evidence::ShortNonce;
use ravelin_attestation::{
    Clock as Time, Evidence, Freshness, Policy, ReferenceValues, RevocationList, Verdict, verify,
    verify_chain,
};
use ravelin_gpu_abi::registers::{self, Mode};
use ravelin_spdm::requester::{self, Config, Established, Requester, Step};
use ravelin_spdm::transport::doe as object;
use ravelin_spdm::{CertificateChain, ChainRefused, Message};

use crate::bus::Bus;
use crate::clock::Clock;
use crate::discover::discover;
use crate::gpu::Gpu;
use crate::memory::SharedMemory;
use crate::session::{Lost, Session, State};
use crate::watch::{self, Baseline};
use crate::{discover, doe};

/// The chain's slot that a GPU proves.
const SLOT: u8 = 0;
/// The code of a refusal for plain mode, the verifier's own.
const MODE_OFF: &str = ravelin_attestation::Code::ModeOff.as_str();
/// No attestation takes more exchanges: the chain comes in portions, the rest is a dozen.
const MOST_EXCHANGES: usize = 128;

/// What a GPU is held against. All of it comes from the guest's own image.
#[derive(Clone, Copy)]
pub struct Trust<'a> {
    /// What is asked of a GPU.
    pub policy: &'a Policy,
    /// Which firmware the maker vouches for, and the pinned root.
    pub references: &'a ReferenceValues,
    /// What the maker no longer vouches for.
    pub revocations: &'a RevocationList,
    /// What is known about the time.
    pub time: Time,
}

/// A GPU that may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attested {
    /// How it stands.
    pub standing: Standing,
    /// Number of the session since the GPU's power-on, as the bus says; 0 in plain mode.
    pub session: u32,
}

/// How a GPU stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Every check passed.
    Trusted(Identity),
    /// Nothing was checked and nothing is protected, which the policy allows.
    Unprotected,
}

/// Which GPU it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// SHA-384 of the device identity's public key.
    pub identity: [u8; 48],
    /// Model name.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// Firmware id.
    pub firmware: [u8; 48],
}

/// What a GPU has presented, whatever the verdict: public by nature, and enough for anyone to judge
/// it again, with roots and a clock of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// Its chain and its signed measurements.
    pub evidence: Evidence,
    /// The verifier's nonce.
    pub nonce: [u8; 32],
    /// The guest's share in KEY_EXCHANGE (the x and y coordinates). With the nonce, what the
    /// measurements are an answer to.
    pub exchange_key: [u8; 96],
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The GPU was judged and is not good enough.
    #[error("The GPU is refused: {code}")]
    Refused {
        /// The verifier's stable code.
        code: &'static str,
        /// The device, where its chain proved which one it is.
        identity: Option<[u8; 48]>,
    },
    /// The GPU does not come up.
    #[error(transparent)]
    Discover(#[from] discover::Error),
    /// The mailbox does not work.
    #[error("The GPU's mailbox does not answer")]
    Mailbox(#[from] doe::Error),
    /// What came out of the mailbox is no data object with a message.
    #[error("The GPU's mailbox gives no SPDM message")]
    Object(#[from] ravelin_spdm::DecodeError),
    /// The protocol ended before its end.
    #[error("SPDM with the GPU fails")]
    Spdm(#[from] requester::Error),
    /// The nonce is none.
    #[error("The driver's nonce is too short")]
    Nonce(#[from] ShortNonce),
    /// The GPU goes on and on.
    #[error("The GPU does not come to an end after {MOST_EXCHANGES} messages; reset it")]
    Endless,
    /// The rings could not be started.
    #[error("The session cannot begin")]
    Begin(#[source] Lost),
}

impl Error {
    /// A stable code: the verifier's for a refusal.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Refused { code, .. } => code,
            Error::Discover(_) => "no-gpu",
            Error::Mailbox(_) => "mailbox-failed",
            Error::Object(_) | Error::Spdm(_) | Error::Nonce(_) | Error::Endless => "spdm-failed",
            Error::Begin(lost) => lost.code(),
        }
    }

    /// Whether the GPU was judged.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Error::Refused { .. })
    }
}

impl<B: Bus, M: SharedMemory, C: Clock> Gpu<B, M, C> {
    /// Attests the GPU and begins a session. An earlier session is ended first, whatever comes of
    /// this one. If the GPU was reset meanwhile, that is the error, whatever the reset made of the
    /// conversation: the GPU was not judged, and may be asked again.
    pub fn attest<R: CryptoRng>(
        &mut self,
        rng: &mut R,
        trust: &Trust<'_>,
    ) -> Result<Attested, crate::Error> {
        self.state = State::Lost;
        self.presented = None;
        self.device = discover(&mut self.bus, &self.clock).map_err(Error::Discover)?;
        let attested = match self.device.mode {
            Mode::Off => self.accept_plain(trust),
            Mode::On | Mode::Devtools => self.judge(rng, trust),
        };
        match (attested, self.reset_since_discovery()) {
            (Err(error), None) => Err(error.into()),
            (Err(error), Some(_)) if error.is_refusal() => Err(error.into()),
            // Also where the conversation began behind the reset and ended well: what was
            // discovered is from before it.
            (_, Some(lost)) => {
                self.state = State::Lost;
                Err(lost.into())
            }
            (Ok(attested), None) => Ok(attested),
        }
    }

    /// The reset that came since [`discover`] looked. The registers come through the host: one that
    /// makes resets up gains that it is asked again, no more than by resetting the GPU.
    fn reset_since_discovery(&mut self) -> Option<Lost> {
        let plain = Baseline { reset_count: self.device.reset_count, session: false };
        match plain.check(&mut self.bus) {
            Err(lost @ watch::Lost::Reset { .. }) => Some(Lost::Gpu(lost)),
            _ => None,
        }
    }

    /// Takes a GPU in plain mode into use, if that is allowed.
    fn accept_plain(&mut self, trust: &Trust<'_>) -> Result<Attested, Error> {
        // The feature exists for one test; see the crate's first page.
        let allowed = trust.policy.mode_off_allowed || cfg!(feature = "test-encryption-off");
        if !allowed {
            return Err(Error::Refused { code: MODE_OFF, identity: None });
        }
        self.begin(None)?;
        Ok(Attested { standing: Standing::Unprotected, session: 0 })
    }

    /// Has the GPU prove itself, judges it, and begins the session that it proved itself in.
    fn judge<R: CryptoRng>(&mut self, rng: &mut R, trust: &Trust<'_>) -> Result<Attested, Error> {
        let mut verifier_nonce = [0; 32];
        match self.challenge {
            Some(nonce) => verifier_nonce = nonce,
            None => rng.fill_bytes(&mut verifier_nonce),
        }
        let established = self.converse(rng, trust, verifier_nonce)?;

        let said = &established.evidence;
        let exchange_key = said.exchange_key;
        let presented = self.presented.insert(Presented {
            evidence: Evidence::new(&said.chain, said.measurements.clone()),
            nonce: verifier_nonce,
            exchange_key,
        });
        // Our own nonce and our own share: what the GPU's answer says about either is no matter.
        let fresh = Freshness::new(&verifier_nonce, &exchange_key)?;
        let Trust { policy, references, revocations, time } = *trust;
        match verify(&presented.evidence, policy, references, revocations, time, &fresh) {
            Verdict::Trusted { identity, model, serial, firmware, protected, .. } => {
                self.begin(Some(&established.export_secret))?;
                // From here on the bounds are the attested ones, not the bus's.
                self.device.protected_base = protected.start;
                self.device.protected_end = protected.end;
                let session = self.bus.register_read32(registers::SESSION_COUNT);
                let identity = Identity { identity, model, serial, firmware };
                Ok(Attested { standing: Standing::Trusted(identity), session })
            }
            Verdict::Refused { code, identity } => {
                Err(Error::Refused { code: code.as_str(), identity })
            }
        }
    }

    /// SPDM from the first message to signed measurements.
    fn converse<R: CryptoRng>(
        &mut self,
        rng: &mut R,
        trust: &Trust<'_>,
        verifier_nonce: [u8; 32],
    ) -> Result<Established, Error> {
        let Trust { policy, references, revocations, time } = *trust;
        let judge_chain = |chain: &CertificateChain| {
            let certificates: Vec<&[u8]> = chain.certificates().collect();
            verify_chain(&certificates, policy, references, revocations, time)
                .map(|leaf| leaf.public_key)
                .map_err(|code| ChainRefused { code: code.as_str() })
        };
        let config = Config { framing: object::FRAMING, slot: SLOT, verifier_nonce };
        let mut requester = Requester::new(rng, judge_chain, config);
        let mut request = requester.start();
        for _ in 0..MOST_EXCHANGES {
            let answer = self.exchange(&request)?;
            match requester.receive(&answer).map_err(refused_or_failed)? {
                Step::Send(next) => request = next,
                Step::Done(established) => return Ok(*established),
            }
        }
        Err(Error::Endless)
    }

    /// One message to the GPU, and its answer.
    fn exchange(&mut self, request: &Message) -> Result<Message, Error> {
        let object = object::encode_message(request)?;
        let answer = doe::exchange(&mut self.bus, &self.clock, self.device.mailbox, &object)?;
        Ok(object::decode_message(&answer)?)
    }

    /// Starts the rings.
    fn begin(&mut self, secret: Option<&ravelin_channel::ExportMasterSecret>) -> Result<(), Error> {
        let resets = self.device.reset_count;
        let session = Session::start(secret, resets, &self.layout, &mut self.bus, &self.memory)
            .map_err(Error::Begin)?;
        self.state = State::Live(session);
        Ok(())
    }
}

/// A chain that was refused is a verdict, not a failure of the protocol.
fn refused_or_failed(error: requester::Error) -> Error {
    match error {
        requester::Error::ChainRefused(ChainRefused { code }) => {
            Error::Refused { code, identity: None }
        }
        error => Error::Spdm(error),
    }
}
