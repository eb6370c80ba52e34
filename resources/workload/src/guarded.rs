//! The GPU of a workload: attested before use, attested again after a loss, and reported each time.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use base64ct::{Base64, Encoding};
use rand_core::CryptoRng;
use ravelin_attestation::composite;
use ravelin_driver::attest::{Attested, Presented, Standing, Trust};
use ravelin_driver::{Bus, Clock, Gpu, SharedMemory, Traffic};
use ravelin_report::{Event, Evidence, Transfer};

use crate::task::{Error, Host, hex, in_words};

/// Between a loss and the next attestation: a reset takes its time.
const AFTER_LOSS_US: u64 = 10_000;
/// Losses in a row, without any work done in between, after which a workload gives up.
const MOST_LOSSES: u32 = 20;

/// SHA-384 of a device identity's public key.
type Identity = [u8; 48];

/// A GPU, and what it takes to attest it.
pub struct Guarded<'a, B, M, C, R, H> {
    /// The driver.
    pub gpu: Gpu<B, M, C>,
    /// The way out.
    pub host: H,
    /// Place of the GPU among the guest's GPUs.
    index: u32,
    rng: R,
    trust: Trust<'a>,
    losses: u32,
    /// Who it proved to be last.
    identity: Option<Identity>,
    /// Who it must not be.
    others: Vec<Identity>,
    /// Whether what it presents is reported.
    shown: bool,
}

/// What came of an attestation. Nobody has been told yet.
pub struct Judged {
    outcome: Result<Attested, Error>,
    attest_us: u64,
}

impl Judged {
    /// Who the GPU proved to be, if it passed.
    pub fn identity(&self) -> Option<Identity> {
        match &self.outcome {
            Ok(Attested { standing: Standing::Trusted(gpu), .. }) => Some(gpu.identity),
            _ => None,
        }
    }

    /// Refuses a GPU that proved to be one of these devices.
    pub fn must_not_be(&mut self, others: &[Identity]) {
        if let Some(identity) = self.identity().filter(|identity| others.contains(identity)) {
            self.outcome = Err(Error::Repeated { identity });
        }
    }

    /// The report on it.
    fn event(&self, index: u32) -> Event {
        let (mut name, mut who, mut runs, mut number) =
            (String::new(), String::new(), String::new(), 0);
        let word = match &self.outcome {
            Ok(attested) => {
                number = attested.session;
                match &attested.standing {
                    Standing::Trusted(gpu) => {
                        name = gpu.model.clone();
                        who = hex(&gpu.identity);
                        runs = hex(&gpu.firmware);
                        "trusted"
                    }
                    Standing::Unprotected => "unprotected",
                }
            }
            Err(error) => {
                who = error.identity().map(|identity| hex(identity)).unwrap_or_default();
                error.code()
            }
        };
        Event::Gpu {
            index,
            model: name,
            identity: who,
            verdict: word.to_string(),
            firmware: runs,
            session: number,
            attest_us: self.attest_us,
        }
    }
}

impl<'a, B: Bus, M: SharedMemory, C: Clock, R: CryptoRng, H: Host> Guarded<'a, B, M, C, R, H> {
    /// Takes charge of a GPU.
    pub fn new(gpu: Gpu<B, M, C>, index: u32, rng: R, trust: Trust<'a>, host: H) -> Self {
        Guarded {
            gpu,
            host,
            index,
            rng,
            trust,
            losses: 0,
            identity: None,
            others: Vec::new(),
            shown: false,
        }
    }

    /// Place of the GPU among the guest's GPUs.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Who the GPU proved to be last.
    pub fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// A digest of what the GPU has presented last; `None` where it has presented nothing.
    pub fn presented(&self) -> Option<composite::Digest> {
        let Presented { evidence, nonce, exchange_key } = self.gpu.presented()?;
        Some(composite::evidence_digest(evidence, nonce, exchange_key))
    }

    /// Reports what the GPU presents from now on, for a relying party to judge.
    pub fn show_evidence(&mut self) {
        self.shown = true;
    }

    /// From now on the GPU is refused where it proves to be one of these devices.
    pub fn set_others(&mut self, others: Vec<Identity>) {
        self.others = others;
    }

    /// Attests the GPU until there is a verdict, whatever it is. A reset in between is none.
    pub fn judge(&mut self) -> Judged {
        loop {
            let start = self.gpu.clock().now_us();
            let outcome = match self.gpu.attest(&mut self.rng, &self.trust) {
                Err(error) if error.session_is_lost() => match self.lost(&error) {
                    Ok(()) => continue,
                    Err(error) => Err(error),
                },
                attested => attested.map_err(Error::from),
            };
            let attest_us = self.gpu.clock().now_us().saturating_sub(start);
            return Judged { outcome, attest_us };
        }
    }

    /// Reports the verdict and acts on it: a GPU that is refused has no session.
    ///
    /// # Errors
    /// The refusal.
    pub fn conclude(&mut self, judged: Judged) -> Result<(), Error> {
        self.host.report(&judged.event(self.index));
        if self.shown
            && let Some(presented) = self.gpu.presented()
        {
            let evidence = encoded(presented);
            self.host.report(&Event::Evidence { index: self.index, evidence });
        }
        self.identity = judged.identity();
        if judged.outcome.is_err() {
            self.gpu.end_session();
        }
        judged.outcome.map(|_| ())
    }

    /// Attests the GPU and reports the verdict.
    ///
    /// # Errors
    /// The refusal.
    pub fn attest(&mut self) -> Result<(), Error> {
        let mut judged = self.judge();
        judged.must_not_be(&self.others);
        self.conclude(judged)
    }

    /// Does `work` with an attested GPU. If the session is lost in it, that is reported, the GPU is
    /// attested again, and the work is done again from its beginning.
    pub fn work<T>(
        &mut self,
        mut work: impl FnMut(&mut Gpu<B, M, C>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        loop {
            let attempt = if self.gpu.has_session() { Ok(()) } else { self.attest() }
                .and_then(|()| work(&mut self.gpu));
            match attempt {
                Ok(done) => {
                    self.losses = 0;
                    return Ok(done);
                }
                Err(Error::Driver(error)) if error.session_is_lost() => self.lost(&error)?,
                Err(error) => return Err(error),
            }
        }
    }

    /// The same GPU with other memory for its rings, unattested, and the memory that it had.
    pub fn with_memory(self, memory: M) -> Result<(Self, M), Error> {
        let layout = self.gpu.layout();
        let (bus, before, clock) = self.gpu.into_parts();
        let gpu = Gpu::open(bus, memory, clock, layout)?;
        Ok((Guarded { gpu, ..self }, before))
    }

    /// Random bytes, as the workload's own.
    pub fn rng(&mut self) -> &mut R {
        &mut self.rng
    }

    /// Reports a loss and lets the GPU come back.
    fn lost(&mut self, error: &ravelin_driver::Error) -> Result<(), Error> {
        self.host.report(&Event::GpuLost { index: self.index, reason: in_words(error) });
        self.losses += 1;
        if self.losses >= MOST_LOSSES {
            return Err(Error::KeepsGoing(self.losses));
        }
        self.host.pause(AFTER_LOSS_US);
        Ok(())
    }
}

/// What a GPU presented, in the report's words.
fn encoded(Presented { evidence, nonce, exchange_key }: &Presented) -> Evidence {
    let measurements = &evidence.measurements;
    Evidence {
        certificates: evidence.certificates.iter().map(|der| Base64::encode_string(der)).collect(),
        vca: Base64::encode_string(&measurements.vca),
        request: Base64::encode_string(&measurements.request),
        response: Base64::encode_string(&measurements.response),
        nonce: Base64::encode_string(nonce),
        exchange_key: Base64::encode_string(exchange_key),
    }
}

/// What crossed the bus between two looks at the driver's counters.
pub fn transfer(before: Traffic, after: Traffic) -> Transfer {
    Transfer {
        h2d_bytes: after.to_gpu - before.to_gpu,
        d2h_bytes: after.from_gpu - before.from_gpu,
        records: after.records - before.records,
    }
}
