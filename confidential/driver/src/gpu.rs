//! The GPU as its user sees it: open, attest, copy, launch.
//!
//! Each call works on the live session or says that there is none. The first thing that goes wrong
//! with a session ends it, wipes its keys and is returned; [`Gpu::attest`] begins a new one.

use core::ops::Range;

use ravelin_gpu_abi::command::{Command, Reply};
use ravelin_gpu_abi::registers::{self, Mode};

use crate::attest::Presented;
use crate::bus::Bus;
use crate::clock::Clock;
use crate::discover::{Device, discover};
use crate::error::Error;
use crate::launch::Launches;
use crate::layout::Layout;
use crate::memory::SharedMemory;
use crate::pump::{self, Work};
use crate::ring::Ring;
use crate::session::{Lost, Session, State};
use crate::transfer::{CopyIn, CopyOut, Refused};
use crate::watch::Watch;

/// How long a GPU may be silent with requests in flight, unless the embedder says otherwise.
pub const PATIENCE_US: u64 = 10_000_000;

/// What has crossed the bus since [`Gpu::open`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Plaintext bytes from guest to GPU.
    pub to_gpu: u64,
    /// Plaintext bytes from GPU to guest.
    pub from_gpu: u64,
    /// Records, both ways, commands included.
    pub records: u64,
}

/// One GPU.
pub struct Gpu<B, M, C> {
    pub(crate) bus: B,
    pub(crate) memory: M,
    pub(crate) clock: C,
    pub(crate) layout: Layout,
    pub(crate) device: Device,
    pub(crate) state: State,
    /// The verifier's nonce, where the embedder has one.
    pub(crate) challenge: Option<[u8; 32]>,
    pub(crate) presented: Option<Presented>,
    patience_us: u64,
    traffic: Traffic,
}

impl<B: Bus, M: SharedMemory, C: Clock> Gpu<B, M, C> {
    /// Finds the GPU behind `bus` and waits until it has booted. `memory` is shared with devices
    /// and holds at least [`Layout::length`] bytes, for this GPU alone.
    pub fn open(mut bus: B, memory: M, clock: C, layout: Layout) -> Result<Self, Error> {
        layout.check(memory.length())?;
        let device = discover(&mut bus, &clock)?;
        Ok(Gpu {
            bus,
            memory,
            clock,
            layout,
            device,
            state: State::Unattested,
            challenge: None,
            presented: None,
            patience_us: PATIENCE_US,
            traffic: Traffic::default(),
        })
    }

    /// Sets how long the GPU may be silent with requests in flight, in microseconds.
    pub fn set_patience(&mut self, patience_us: u64) {
        self.patience_us = patience_us;
    }

    /// Attests with a relying party's nonce from now on, which it will look for in what is
    /// [presented](Gpu::presented). To this driver's own verdict it makes no difference, not even if
    /// the host has chosen it: the answer is bound to the driver's fresh share in the key exchange.
    pub fn set_challenge(&mut self, nonce: [u8; 32]) {
        self.challenge = Some(nonce);
    }

    /// What the GPU has presented in the latest attestation; `None` if that did not come to signed
    /// measurements.
    pub fn presented(&self) -> Option<&Presented> {
        self.presented.as_ref()
    }

    /// What the bus said about the GPU when the driver last looked: hints, no evidence.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The GPU memory that engines may use: the protected region or, in plain mode, all of it. A
    /// hint too: the firewall holds engines inside the attested bounds, whatever the bus says.
    pub fn memory_range(&self) -> Range<u64> {
        match self.device.mode {
            Mode::Off => 0..self.device.hbm_size,
            Mode::On | Mode::Devtools => self.device.protected_base..self.device.protected_end,
        }
    }

    /// Most bytes of a record of bulk data.
    pub fn chunk(&self) -> u32 {
        self.layout.chunk()
    }

    /// How the rings lie in memory.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The clock that was given.
    pub fn clock(&self) -> &C {
        &self.clock
    }

    /// Number of accesses that the GPU's firewall has refused, as the bus says.
    pub fn violations(&mut self) -> u64 {
        self.bus.register_read64(registers::VIOLATIONS)
    }

    /// Ends the session and gives back what [`Gpu::open`] took.
    pub fn into_parts(self) -> (B, M, C) {
        (self.bus, self.memory, self.clock)
    }

    /// What has crossed the bus so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Whether there is a session.
    pub fn has_session(&self) -> bool {
        matches!(self.state, State::Live(_))
    }

    /// Whether there is a session that protects what crosses the bus.
    pub fn is_protected(&self) -> bool {
        matches!(&self.state, State::Live(session) if session.baseline.session)
    }

    /// Copies `bytes` to HBM. On return they are there, and authentic.
    pub fn copy_in(&mut self, hbm_address: u64, bytes: &[u8]) -> Result<(), Error> {
        let length = bytes.len();
        let mut copy = CopyIn::new(hbm_address, bytes, self.layout.chunk() as usize)
            .ok_or(Error::OutOfRange { hbm_address, length })?;
        self.run(&mut copy, |session| &mut session.copy_in)?;
        refusal(copy.refused)?;
        self.traffic.to_gpu += length as u64;
        Ok(())
    }

    /// Copies from HBM into `buffer`, which must be private memory. On failure it holds zeros.
    pub fn copy_out(&mut self, hbm_address: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let done = self.try_copy_out(hbm_address, buffer);
        match done {
            Ok(()) => self.traffic.from_gpu += buffer.len() as u64,
            Err(_) => buffer.fill(0),
        }
        done
    }

    fn try_copy_out(&mut self, hbm_address: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let length = buffer.len();
        let mut copy = CopyOut::new(hbm_address, buffer, self.layout.chunk() as usize)
            .ok_or(Error::OutOfRange { hbm_address, length })?;
        self.run(&mut copy, |session| &mut session.copy_out)?;
        refusal(copy.refused)
    }

    /// Launches one kernel and waits for its reply.
    pub fn launch(&mut self, command: Command) -> Result<Reply, Error> {
        let mut launches = Launches::new(&[command]);
        self.run(&mut launches, |session| &mut session.command)?;
        match launches.replies.first() {
            Some(Some(reply)) => Ok(*reply),
            _ => Err(Error::Launch { index: 0, reply: None }),
        }
    }

    /// Launches kernels in this order, without waiting in between, and waits for the last reply.
    /// Some kernels behind one that was refused may have run.
    pub fn launch_all(&mut self, commands: &[Command]) -> Result<(), Error> {
        let mut launches = Launches::new(commands);
        self.run(&mut launches, |session| &mut session.command)?;
        match launches.replies.iter().position(|reply| *reply != Some(Reply::Done)) {
            Some(index) => {
                let reply = launches.replies.get(index).copied().flatten();
                Err(Error::Launch { index, reply })
            }
            None => Ok(()),
        }
    }

    /// Whether the session still stands, by the registers: some exits, so not for every copy.
    pub fn check(&mut self) -> Result<(), Error> {
        let State::Live(session) = &self.state else { return Err(Error::NoSession) };
        match session.baseline.check(&mut self.bus) {
            Ok(()) => Ok(()),
            Err(lost) => Err(self.lose(lost.into())),
        }
    }

    /// Ends the session on this side: its keys are wiped.
    pub fn end_session(&mut self) {
        if self.has_session() {
            self.state = State::Lost;
        }
    }

    /// Does work on one of the session's rings; whatever fails there ends the session.
    fn run(
        &mut self,
        work: &mut impl Work,
        ring: fn(&mut Session) -> &mut Ring,
    ) -> Result<(), Error> {
        let State::Live(session) = &mut self.state else { return Err(Error::NoSession) };
        let baseline = session.baseline;
        let ring = ring(session);
        let watch = Watch::new(baseline, ring.engine(), self.patience_us);
        match pump::run(work, ring, &mut self.bus, &self.memory, &self.clock, watch) {
            Ok(()) => {
                self.traffic.records += 2 * work.count() as u64;
                Ok(())
            }
            Err(lost) => Err(self.lose(lost)),
        }
    }

    /// Drops the session, keys and all.
    fn lose(&mut self, lost: Lost) -> Error {
        self.state = State::Lost;
        lost.into()
    }
}

fn refusal(refused: Option<Refused>) -> Result<(), Error> {
    match refused {
        Some(Refused { hbm_address, length }) => Err(Error::OutOfRange { hbm_address, length }),
        None => Ok(()),
    }
}
