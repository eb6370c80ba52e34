//! A worker: the thread of one engine, and the path of one record through it.
//!
//! A doorbell wakes it and it takes every request in sequence that it finds. For each, in order:
//! the sequence number is read, and only if it is the next one is the descriptor read, **by value,
//! once**; the bytes are read **once**, into scratch that only this thread sees; there they are
//! opened; only what opened is obeyed; the response is sealed in scratch and written, its sequence
//! number last. An entry that still has the number of the lap before, or none, waits for its
//! request; any other number than the next one was not written by the driver, and costs the session
//! as a descriptor does that claims to be next and does not open.
//!
//! No lock is held in guest memory, and what is brought back is used under the lease it was fetched
//! for or not at all.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use ravelin_gpu_abi::Engine;
use ravelin_gpu_abi::command::{Command, REPLY_SIZE, Reply};
use ravelin_gpu_abi::ring::{DESCRIPTOR_SIZE, Descriptor, MAX_SLOT_SIZE, Outcome};

use crate::admin::names;
use crate::bell;
use crate::channel::{Broken, Channel};
use crate::compute::{self, Workbench};
use crate::copy;
use crate::dma::Stop;
use crate::firewall::{Access, Initiator, Refused};
use crate::lease::Lease;
use crate::life::Life;
use crate::machine::Machine;
use crate::ring::Ring;
use crate::scratch::Scratch;

/// Bytes of a sequence number, at the start of a descriptor.
const SEQUENCE_SIZE: usize = size_of::<u64>();

/// Starts the worker of `engine`. It ends when its bell says that power goes off.
pub(crate) fn spawn(machine: Arc<Machine>, engine: Engine) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(format!("gpu {}", names::of_engine(engine))).spawn(move || {
        let scratch = Scratch::new(MAX_SLOT_SIZE as usize);
        let mut worker = Worker { machine, engine, scratch, workbench: Workbench::default() };
        while worker.machine.bells[engine.index()].wait() == bell::Ring::Work {
            worker.drain();
        }
    })
}

struct Worker {
    machine: Arc<Machine>,
    engine: Engine,
    scratch: Scratch,
    workbench: Workbench,
}

/// What the next request is taken under.
struct Turn {
    lease: Lease,
    ring: Ring,
    sequence: u64,
}

/// Why there is no further request to take now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    /// The next request is not in the ring yet.
    Empty,
    /// The lease ended, or the ring was stopped.
    Gone,
    /// What claimed to be the next request is not.
    Broken,
    /// Guest memory refused.
    Fault(Access),
}

impl From<Broken> for Pause {
    fn from(_: Broken) -> Pause {
        Pause::Broken
    }
}

impl Worker {
    /// Takes every request that is there.
    fn drain(&mut self) {
        let start = Instant::now();
        let mut unsignalled = 0;
        while let Some(turn) = self.turn() {
            let answered = self.serve(&turn);
            // Whatever is left is plaintext or what a reset has orphaned.
            self.scratch.wipe();
            match answered {
                Ok(()) => unsignalled += 1,
                Err(Pause::Empty | Pause::Gone) => break,
                Err(Pause::Broken) => {
                    self.machine.fail_session(turn.lease, self.engine);
                    break;
                }
                Err(Pause::Fault(access)) => {
                    self.machine.dma_fault(turn.lease, self.engine, access);
                    break;
                }
            }
            // A driver that waits for room in a full ring is woken while there is still work.
            if unsignalled >= turn.ring.entries().div_ceil(2) {
                self.machine.signal(self.engine);
                unsignalled = 0;
            }
        }
        if unsignalled > 0 {
            self.machine.signal(self.engine);
        }
        let busy = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.machine.counters.engine(self.engine).busy(busy);
    }

    /// What the next request would be taken under, if there can be one.
    fn turn(&self) -> Option<Turn> {
        let lease = self.machine.leases.current()?;
        let life = self.machine.life.read();
        let life = life.as_ref()?;
        let ring = life.block(self.engine).lock().in_use()?;
        let sequence = life.channel(&self.machine.leases, lease, self.engine)?.next()?;
        Some(Turn { lease, ring, sequence })
    }

    /// Takes, obeys and answers one request.
    fn serve(&mut self, turn: &Turn) -> Result<(), Pause> {
        let request = self.take(turn)?;
        let response = self.obey(turn, &request)?;
        self.answer(turn, &response)
    }

    /// The next request's descriptor, and its bytes at the start of the scratch.
    fn take(&mut self, turn: &Turn) -> Result<Descriptor, Pause> {
        let at = turn.ring.request(turn.sequence);
        let mut sequence = [0; SEQUENCE_SIZE];
        self.fetch(turn, at, &mut sequence)?;
        let found = u64::from_le_bytes(sequence);
        if found != turn.sequence {
            let waits = turn.ring.waits_with(found, turn.sequence);
            return Err(if waits { Pause::Empty } else { Pause::Broken });
        }
        // The driver wrote the number last: behind it, the rest is there.
        fence(Ordering::Acquire);
        let mut descriptor = [0; DESCRIPTOR_SIZE];
        self.fetch(turn, at, &mut descriptor)?;
        let request = Descriptor::decode(&descriptor).ok_or(Pause::Broken)?;
        let carried = carried(self.engine, &request);
        let plausible = request.sequence == turn.sequence
            && request.engine == self.engine as u32
            && carried <= turn.ring.slot_size();
        if !plausible {
            return Err(Pause::Broken);
        }
        let Worker { machine, scratch, .. } = self;
        let bytes = scratch.bytes(carried as usize);
        machine
            .dma
            .read(&machine.leases, turn.lease, turn.ring.slot(turn.sequence), bytes)
            .map_err(|stop| pause(stop, Access::Read))?;
        Ok(request)
    }

    /// Opens the request, does what it says, and seals the response, whose bytes are then at the
    /// start of the scratch. All of it under the channel's lock: a session that ends meanwhile ends
    /// before or after.
    fn obey(&mut self, turn: &Turn, request: &Descriptor) -> Result<Descriptor, Pause> {
        let Worker { machine, engine, scratch, workbench } = self;
        let life = machine.life.read();
        let life = life.as_ref().ok_or(Pause::Gone)?;
        let mut channel = life.channel(&machine.leases, turn.lease, *engine).ok_or(Pause::Gone)?;
        channel.open(request, scratch.bytes(carried(*engine, request) as usize))?;
        let mut work = Work { machine, life, turn, channel: &mut channel, scratch };
        let response = match engine {
            Engine::CopyIn => work.copy_in(request),
            Engine::CopyOut => work.copy_out(request),
            Engine::Command => work.launch(request, workbench),
        }?;
        let done = response.outcome == Outcome::Done as u32;
        machine.counters.engine(*engine).answered(u64::from(response.length), done);
        Ok(response)
    }

    /// Writes the response: bytes, then descriptor, then its sequence number.
    fn answer(&mut self, turn: &Turn, response: &Descriptor) -> Result<(), Pause> {
        let Worker { machine, engine, scratch, .. } = self;
        let put = |address: u64, bytes: &[u8]| {
            machine
                .dma
                .write(&machine.leases, turn.lease, address, bytes)
                .map_err(|stop| pause(stop, Access::Write))
        };
        let carried = match engine {
            Engine::CopyIn => 0,
            Engine::CopyOut | Engine::Command => response.length,
        };
        if carried > 0 {
            put(turn.ring.slot(turn.sequence), scratch.bytes(carried as usize))?;
        }
        let at = turn.ring.response(turn.sequence);
        let descriptor = response.encode();
        let (sequence, rest) = descriptor.split_at(SEQUENCE_SIZE);
        put(at + SEQUENCE_SIZE as u64, rest)?;
        fence(Ordering::Release);
        put(at, sequence)
    }

    fn fetch(&self, turn: &Turn, address: u64, buffer: &mut [u8]) -> Result<(), Pause> {
        self.machine
            .dma
            .read(&self.machine.leases, turn.lease, address, buffer)
            .map_err(|stop| pause(stop, Access::Read))
    }
}

/// What an opened request is obeyed with.
struct Work<'a> {
    machine: &'a Machine,
    life: &'a Life,
    turn: &'a Turn,
    channel: &'a mut Channel,
    scratch: &'a mut Scratch,
}

impl Work<'_> {
    fn copy_in(&mut self, request: &Descriptor) -> Result<Descriptor, Pause> {
        let bytes = self.scratch.bytes(request.length as usize);
        let landed = copy::copy_in(&self.life.firewall, &self.machine.hbm, request, bytes);
        let (outcome, length) = self.outcome(landed, Access::Write, request.length);
        Ok(self.channel.seal(request, outcome, length, &mut [])?)
    }

    fn copy_out(&mut self, request: &Descriptor) -> Result<Descriptor, Pause> {
        // More than a slot holds is refused as HBM out of range would be.
        let fetched = match request.length <= self.turn.ring.slot_size() {
            true => {
                let buffer = self.scratch.bytes(request.length as usize);
                copy::copy_out(&self.life.firewall, &self.machine.hbm, request, buffer)
            }
            false => Ok(Outcome::OutOfRange),
        };
        let (outcome, length) = self.outcome(fetched, Access::Read, request.length);
        let bytes = self.scratch.bytes(length as usize);
        Ok(self.channel.seal(request, outcome, length, bytes)?)
    }

    fn launch(
        &mut self,
        request: &Descriptor,
        workbench: &mut Workbench,
    ) -> Result<Descriptor, Pause> {
        let lease = self.turn.lease;
        let live = || self.machine.leases.is_live(lease);
        let plain_fields = request.hbm_address == 0 && request.outcome == Outcome::Done as u32;
        let command = plain_fields
            .then(|| Command::decode(self.scratch.bytes(request.length as usize)))
            .flatten();
        let memory = compute::Memory { firewall: &self.life.firewall, hbm: &self.machine.hbm };
        let (outcome, reply) = match command {
            None => (Outcome::Malformed, Reply::BadCommand),
            Some(command) => match compute::run(command, memory, workbench, &live) {
                Ok(()) => (Outcome::Done, Reply::Done),
                Err(compute::Error::Operand) => (Outcome::Done, Reply::BadOperand),
                Err(compute::Error::Stopped) => return Err(Pause::Gone),
            },
        };
        let bytes = self.scratch.bytes(REPLY_SIZE);
        bytes.copy_from_slice(&reply.encode());
        Ok(self.channel.seal(request, outcome, REPLY_SIZE as u32, bytes)?)
    }

    /// The outcome of a copy and the bytes it moved. A refusal of the firewall is counted.
    fn outcome(
        &self,
        copied: Result<Outcome, Refused>,
        access: Access,
        length: u32,
    ) -> (Outcome, u32) {
        match copied {
            Ok(Outcome::Done) => (Outcome::Done, length),
            Ok(other) => (other, 0),
            Err(Refused) => {
                self.machine.violation(Initiator::CopyEngine, access);
                (Outcome::OutOfRange, 0)
            }
        }
    }
}

/// Bytes that a request brings along.
fn carried(engine: Engine, request: &Descriptor) -> u32 {
    match engine {
        Engine::CopyOut => 0,
        Engine::CopyIn | Engine::Command => request.length,
    }
}

fn pause(stop: Stop, access: Access) -> Pause {
    match stop {
        Stop::Gone => Pause::Gone,
        Stop::Fault => Pause::Fault(access),
    }
}
