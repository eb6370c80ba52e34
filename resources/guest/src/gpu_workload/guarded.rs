//! The GPU of a workload: attested before use, attested again after a loss, and reported each time.

use alloc::string::{String, ToString};

use rand_core::CryptoRng;
use ravelin_driver::attest::{Standing, Trust};
use ravelin_driver::{Bus, Clock, Gpu, SharedMemory, Traffic};
use ravelin_report::{Event, Transfer};

use super::task::{Error, Host, hex, in_words};

/// Between a loss and the next attestation: a reset takes its time.
const AFTER_LOSS_US: u64 = 10_000;
/// Losses in a row, without any work done in between, after which a workload gives up.
const MOST_LOSSES: u32 = 20;

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
}

impl<'a, B: Bus, M: SharedMemory, C: Clock, R: CryptoRng, H: Host> Guarded<'a, B, M, C, R, H> {
    /// Takes charge of a GPU.
    pub fn new(gpu: Gpu<B, M, C>, index: u32, rng: R, trust: Trust<'a>, host: H) -> Self {
        Guarded { gpu, host, index, rng, trust, losses: 0 }
    }

    /// Attests the GPU and reports the verdict, whatever it is. A reset in between is no verdict.
    pub fn attest(&mut self) -> Result<(), Error> {
        let start = self.gpu.clock().now_us();
        let attested = match self.gpu.attest(&mut self.rng, &self.trust) {
            Err(error) if error.session_is_lost() => return Err(error.into()),
            attested => attested,
        };
        let attest_us = self.gpu.clock().now_us().saturating_sub(start);
        let mut event = Event::Gpu {
            index: self.index,
            model: String::new(),
            identity: String::new(),
            verdict: String::new(),
            firmware: String::new(),
            session: 0,
            attest_us,
        };
        if let Event::Gpu { model, identity, verdict, firmware, session, .. } = &mut event {
            match &attested {
                Ok(attested) => {
                    *session = attested.session;
                    *verdict = match &attested.standing {
                        Standing::Trusted(gpu) => {
                            *model = gpu.model.clone();
                            *identity = hex(&gpu.identity);
                            *firmware = hex(&gpu.firmware);
                            "trusted".to_string()
                        }
                        Standing::Unprotected => "unprotected".to_string(),
                    };
                }
                Err(error) => *verdict = error.code().to_string(),
            }
        }
        self.host.report(&event);
        attested?;
        Ok(())
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

/// What crossed the bus between two looks at the driver's counters.
pub fn transfer(before: Traffic, after: Traffic) -> Transfer {
    Transfer {
        h2d_bytes: after.to_gpu - before.to_gpu,
        d2h_bytes: after.from_gpu - before.from_gpu,
        records: after.records - before.records,
    }
}
