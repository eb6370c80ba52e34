//! The GPU's power and what it keeps across resets: HBM, counters, the log, the way to the host.
//!
//! Boot and reset are here, and the ends of a session. A reset, in order: leases are stopped, so
//! that kernels return and no access to guest memory begins; accesses under way get a bounded time;
//! the [`Life`] is taken away and with it every key and every admission (a record that is just
//! landing lands first, whole; none lands later); only then is all of HBM scrubbed, firmware
//! measured, and a new life put in place. Status is `Booting` from the taking to the putting.
//!
//! Locks, in the order in which they may be held: `resetting`, `life`, SEC2, a channel or a ring block,
//! a chunk of HBM. No lock is held across a call to [`HostMemory`](crate::host::HostMemory) but
//! the engine's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

use parking_lot::{Mutex, RwLock};
use ravelin_channel::ExportMasterSecret;
use ravelin_gpu_abi::registers::{Mode, Status};
use ravelin_gpu_abi::{EVENT_VECTOR, Engine};
use ravelin_spdm::Message;
use ravelin_spdm::responder::Event;
use ravelin_spdm::transport::Framing;

use crate::admin::{Info, ResetKind, names};
use crate::bell::Bell;
use crate::dma::Dma;
use crate::events::{Log, What};
use crate::firewall::{Access, Firewall, Initiator};
use crate::gpu::{Error, GpuConfig};
use crate::hbm::Hbm;
use crate::host::{HostMemory, Interrupts};
use crate::hrot::Hrot;
use crate::lease::{Lease, Leases};
use crate::life::Life;
use crate::telemetry::{Counters, Telemetry};

/// The device behind the bus.
pub(crate) struct Machine {
    config: GpuConfig,
    hrot: Hrot,
    pub(crate) hbm: Hbm,
    pub(crate) dma: Dma,
    pub(crate) leases: Leases,
    pub(crate) log: Log,
    pub(crate) counters: Counters,
    pub(crate) life: RwLock<Option<Life>>,
    pub(crate) bells: [Bell; Engine::ALL.len()],
    interrupts: Arc<dyn Interrupts>,
    next_mode: AtomicU32,
    ports: AtomicU64,
    resetting: Mutex<()>,
}

impl Machine {
    /// The device with power on, before its first boot.
    pub(crate) fn new(
        config: GpuConfig,
        memory: Arc<dyn HostMemory>,
        interrupts: Arc<dyn Interrupts>,
    ) -> Result<Machine, Error> {
        let log = Log::new();
        log.record(What::PowerOn);
        Ok(Machine {
            hbm: Hbm::new(config.memory)?,
            hrot: match &config.identity {
                Some(directory) => Hrot::of_directory(directory)?,
                None => Hrot::provisioned(config.serial)?,
            },
            dma: Dma::new(memory),
            leases: Leases::new(),
            log,
            counters: Counters::default(),
            life: RwLock::new(None),
            bells: Default::default(),
            interrupts,
            next_mode: AtomicU32::new(config.mode as u32),
            ports: AtomicU64::new(0),
            resetting: Mutex::new(()),
            config,
        })
    }

    /// Scrubs, measures, and puts a new life in place of none.
    pub(crate) fn boot(&self) -> Result<(), Error> {
        self.hbm.scrub(0..self.hbm.size());
        let firewall = Firewall::lock(self.next_mode(), self.hbm.size());
        let mode = firewall.mode();
        let evidence = self
            .hrot
            .boot(&self.config.firmware, &firewall)
            .inspect_err(|_| self.log.record(What::BootFailed))?;
        let life = Life::new(firewall, evidence)?;
        {
            let mut place = self.life.write();
            self.leases.restart();
            if life.is_plain() {
                life.open_plain(&self.leases, Status::Ready);
            }
            *place = Some(life);
        }
        self.log.record(What::Ready { mode });
        self.interrupts.raise(EVENT_VECTOR);
        Ok(())
    }

    /// Ends this life and begins the next.
    pub(crate) fn reset(&self, kind: ResetKind) -> Result<(), Error> {
        let _one_at_a_time = self.resetting.lock();
        self.leases.stop();
        self.dma.quiesce();
        let life = self.life.write().take();
        drop(life);
        self.counters.resets.fetch_add(1, SeqCst);
        if kind == ResetKind::Cold {
            Engine::ALL.iter().for_each(|engine| self.counters.engine(*engine).clear());
        }
        self.log.record(What::Reset { kind });
        self.interrupts.raise(EVENT_VECTOR);
        self.boot()
    }

    /// Takes the power off: no engine works again, keys and memory are wiped.
    pub(crate) fn power_off(&self) {
        self.leases.stop();
        self.bells.iter().for_each(Bell::off);
        drop(self.life.write().take());
        self.hbm.scrub(0..self.hbm.size());
    }

    /// SEC2's answer to a DOE data object, and what follows from it for the channels.
    pub(crate) fn doe_exchange(&self, object: &[u8]) -> Vec<u8> {
        let life = self.life.read();
        let Some(life) = &*life else { return Vec::new() };
        let mut sec2 = life.sec2.lock();
        let (response, event) = sec2.exchange(object);
        match event {
            Some(Event::SessionEstablished { export_secret, .. }) => {
                sec2.session = self.session_established(life, &export_secret);
            }
            Some(Event::SessionEnded { .. }) => self.session_ended(life, sec2.end_session()),
            None => {}
        }
        response
    }

    /// The number of a new SPDM port.
    pub(crate) fn next_port(&self) -> u64 {
        self.ports.fetch_add(1, SeqCst)
    }

    /// SEC2's answer to a message on a port; `None` while the GPU boots.
    pub(crate) fn port_exchange(
        &self,
        port: u64,
        framing: Framing,
        message: &Message,
    ) -> Option<Message> {
        let life = self.life.read();
        let answer = life.as_ref()?.sec2.lock().respond(port, framing, message);
        Some(answer)
    }

    /// Forgets a port's conversation.
    pub(crate) fn close_port(&self, port: u64) {
        if let Some(life) = &*self.life.read() {
            life.sec2.lock().close_port(port);
        }
    }

    /// Closes the channels of a session that the requester has ended. The caller holds SEC2.
    fn session_ended(&self, life: &Life, session: u32) {
        // After a failure there is nothing left to end, and the failure is to be seen.
        if session == 0 {
            return;
        }
        life.close(&self.leases, &self.hbm, Status::Ready);
        if life.is_plain() {
            life.open_plain(&self.leases, Status::Ready);
        }
        self.log.record(What::SessionEnded { session });
    }

    /// Ends the session before, if there is one, and opens channels under the keys of a new one. In
    /// plain mode records stay plain, and begin anew. Gives the session's number. The caller holds
    /// SEC2.
    fn session_established(&self, life: &Life, secret: &ExportMasterSecret) -> u32 {
        life.close(&self.leases, &self.hbm, Status::Ready);
        let session = self.counters.sessions.fetch_add(1, SeqCst) + 1;
        match life.is_plain() {
            true => life.open_plain(&self.leases, Status::Session),
            false => life.open_sealed(&self.leases, secret),
        }
        self.log.record(What::SessionEstablished { session });
        session
    }

    /// Ends the session of `lease`, if it still is in force, for a record of `engine`'s ring that
    /// is not authentic. The caller holds no lock.
    pub(crate) fn fail_session(&self, lease: Lease, engine: Engine) {
        let life = self.life.read();
        let Some(life) = &*life else { return };
        let mut sec2 = life.sec2.lock();
        if !self.leases.is_live(lease) {
            return;
        }
        life.close(&self.leases, &self.hbm, Status::Failed);
        self.counters.session_failures.fetch_add(1, SeqCst);
        self.log.record(What::SessionFailed { session: sec2.end_session(), engine });
        self.interrupts.raise(EVENT_VECTOR);
    }

    /// Stops the ring of an engine that guest memory refused, if `lease` still is in force.
    pub(crate) fn dma_fault(&self, lease: Lease, engine: Engine, access: Access) {
        self.counters.dma_faults.fetch_add(1, SeqCst);
        self.log.record(What::DmaFault { engine, access });
        if let Some(life) = &*self.life.read()
            && self.leases.is_live(lease)
        {
            life.block(engine).lock().stop();
        }
        self.interrupts.raise(EVENT_VECTOR);
    }

    /// Counts and logs an access that the firewall refused.
    pub(crate) fn violation(&self, initiator: Initiator, access: Access) {
        self.counters.violations.fetch_add(1, SeqCst);
        self.log.record(What::Violation { initiator, access });
    }

    /// Signals that the engine has answered.
    pub(crate) fn signal(&self, engine: Engine) {
        self.interrupts.raise(engine.index() as u16);
    }

    /// Status now.
    pub(crate) fn status(&self) -> Status {
        Machine::status_of(self.life.read().as_ref())
    }

    /// Status in this life.
    pub(crate) fn status_of(life: Option<&Life>) -> Status {
        life.map_or(Status::Booting, Life::status)
    }

    /// The mode that the next boot brings.
    pub(crate) fn next_mode(&self) -> Mode {
        Mode::from_value(self.next_mode.load(SeqCst)).unwrap_or(self.config.mode)
    }

    /// Chooses the mode that the next boot brings.
    pub(crate) fn choose_mode(&self, mode: Mode) {
        self.next_mode.store(mode as u32, SeqCst);
        self.log.record(What::ModeChosen { mode });
    }

    pub(crate) fn info(&self) -> Info {
        let life = self.life.read();
        let life = life.as_ref();
        let protected = life.map_or(0..0, |life| life.firewall.protected());
        Info {
            model: ravelin_maker::MODEL,
            serial: self.config.serial,
            identity: hex(&self.hrot.identity()),
            firmware_version: self.config.firmware.version().to_owned(),
            firmware: life.map_or(String::new(), |life| hex(&life.measurements.firmware_id())),
            svn: self.config.firmware.svn(),
            status: names::of_status(Machine::status_of(life)),
            mode: life.map_or("", |life| names::of_mode(life.firewall.mode())),
            next_mode: names::of_mode(self.next_mode()),
            hbm_size: self.hbm.size(),
            protected_size: protected.end - protected.start,
            resets: self.counters.resets.load(SeqCst),
            session: self.counters.sessions.load(SeqCst),
        }
    }

    pub(crate) fn telemetry(&self) -> Telemetry {
        let status = names::of_status(self.status());
        self.counters.snapshot(status, self.log.now_us(), self.hbm.resident())
    }
}

/// Lower-case hex.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
