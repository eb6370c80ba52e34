//! Power-on, and what the bus may do to the GPU: registers, the window on HBM, DOE, the admin port.
//!
//! Every access names its initiator. Engines are inside and are never heard on the bus: an access
//! that claims to be theirs is refused like a peer's.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread::JoinHandle;

use ravelin_gpu_abi::registers::{MAGIC_VALUE, Mode, VERSION_VALUE};
use ravelin_gpu_abi::{Engine, WINDOW_BAR_SIZE};
use ravelin_maker::FirmwareSet;
use ravelin_spdm::transport::carrier::Transport;
use thiserror::Error;

use crate::admin::AdminPort;
use crate::firewall::{Access, Admitted, Initiator, Refused};
use crate::hbm;
use crate::host::{HostMemory, Interrupts};
use crate::hrot;
use crate::life::Life;
use crate::machine::Machine;
use crate::registers::{self, Half, Register, RingRegister};
use crate::sec2;
use crate::spdm_port::SpdmPort;
use crate::worker;

/// What kind of GPU to power on.
#[derive(Clone, Debug)]
pub struct GpuConfig {
    /// Bytes of HBM: a multiple of 2 MiB from 8 MiB to 1 TiB. It takes memory only where written.
    pub memory: u64,
    /// Protection mode of the first boot.
    pub mode: Mode,
    /// Serial number, which the development maker makes the device identity for. No two GPUs share
    /// one.
    pub serial: u64,
    /// Directory with the identity of a device that a maker has provisioned (`ravelin maker
    /// provision`), instead of the development maker's.
    pub identity: Option<PathBuf>,
    /// The firmware to boot.
    pub firmware: FirmwareSet,
}

impl GpuConfig {
    /// HBM of a GPU of which nothing else is said.
    pub const MEMORY: u64 = 80 << 30;
}

/// Why a GPU does not come up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// HBM of an impossible size.
    #[error("the GPU has no such memory")]
    Memory(#[from] hbm::Error),
    /// The root of trust has no identity, or did not come up.
    #[error("the GPU's root of trust does not come up")]
    RootOfTrust(#[from] hrot::Error),
    /// SEC2 did not come up.
    #[error("the GPU's security processor does not come up")]
    Sec2(#[from] sec2::Error),
    /// The system gave no thread for an engine.
    #[error("no thread for engine {engine:?}: raise the limit on threads")]
    Thread {
        /// Whose.
        engine: Engine,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A GPU with power on.
///
/// Dropping it takes the power off: its engines stop, which waits for calls into [`HostMemory`] that
/// are under way, and HBM is zeroized.
pub struct Gpu {
    machine: Arc<Machine>,
    workers: Vec<JoinHandle<()>>,
}

impl Gpu {
    /// Powers a GPU on and boots it; it is ready when this returns.
    pub fn power_on(
        config: GpuConfig,
        memory: Arc<dyn HostMemory>,
        interrupts: Arc<dyn Interrupts>,
    ) -> Result<Arc<Gpu>, Error> {
        let machine = Arc::new(Machine::new(config, memory, interrupts)?);
        let mut gpu = Gpu { machine, workers: Vec::new() };
        for engine in Engine::ALL {
            let worker = worker::spawn(Arc::clone(&gpu.machine), engine)
                .map_err(|source| Error::Thread { engine, source })?;
            gpu.workers.push(worker);
        }
        gpu.machine.boot()?;
        Ok(Arc::new(gpu))
    }

    /// Reads BAR0 at `offset`. All ones where nothing answers.
    pub fn read_register(&self, initiator: Initiator, offset: u64, data: &mut [u8]) {
        if !initiator.is_heard_on_bus() {
            data.fill(0xff);
            return self.machine.violation(initiator, Access::Read);
        }
        let life = self.machine.life.read();
        registers::read(offset, data, |register| self.value(life.as_ref(), register));
    }

    /// Writes BAR0 at `offset`. Dropped where nothing answers.
    pub fn write_register(&self, initiator: Initiator, offset: u64, data: &[u8]) {
        if !initiator.is_heard_on_bus() {
            return self.machine.violation(initiator, Access::Write);
        }
        let life = self.machine.life.read();
        registers::write(offset, data, |register, half, word| match register {
            Register::ProtectedBase | Register::ProtectedEnd | Register::BoundsLocked => {
                self.machine.violation(initiator, Access::Write);
            }
            Register::Ring(engine, register) => {
                if let Some(life) = &*life {
                    self.put_ring(life, engine, register, half, word);
                }
            }
            // What boot and work set is not for writing.
            _ => {}
        });
    }

    /// Reads HBM through BAR2. All ones where the firewall refuses, and while the GPU boots.
    pub fn read_window(&self, initiator: Initiator, address: u64, data: &mut [u8]) {
        // A refused access must not show even what an earlier one left in the buffer.
        data.fill(0xff);
        let outcome = self
            .window(initiator, address, data.len(), |machine, place| machine.hbm.read(place, data));
        if outcome.is_err() {
            self.machine.violation(initiator, Access::Read);
        }
    }

    /// Writes HBM through BAR2. Dropped where the firewall refuses, and while the GPU boots.
    pub fn write_window(&self, initiator: Initiator, address: u64, data: &[u8]) {
        let outcome = self.window(initiator, address, data.len(), |machine, place| {
            machine.hbm.write(place, data)
        });
        if outcome.is_err() {
            self.machine.violation(initiator, Access::Write);
        }
    }

    /// Gives SEC2's mailbox a whole DOE data object and takes its response; empty where DOE has
    /// none to give, as while the GPU boots.
    pub fn doe_exchange(&self, object: &[u8]) -> Vec<u8> {
        self.machine.doe_exchange(object)
    }

    /// A new port on which SEC2 speaks SPDM besides the mailbox.
    pub fn spdm_port(&self, transport: Transport) -> SpdmPort {
        SpdmPort::open(Arc::clone(&self.machine), transport)
    }

    /// The operator's port.
    pub fn admin(&self) -> AdminPort {
        AdminPort::new(Arc::clone(&self.machine))
    }

    #[cfg(test)]
    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// An access to HBM from the bus, if the firewall admits it; nothing at all while booting.
    ///
    /// The life's lock is held until the bytes have moved: a reset that changes the mode waits for
    /// them rather than seeing them land under a firewall that is no more.
    fn window(
        &self,
        initiator: Initiator,
        address: u64,
        length: usize,
        act: impl FnOnce(&Machine, &Admitted<'_>) -> Result<(), hbm::Error>,
    ) -> Result<(), Refused> {
        let length = length as u64;
        let inside = address.checked_add(length).is_some_and(|end| end <= WINDOW_BAR_SIZE);
        if !initiator.is_heard_on_bus() || !inside {
            return Err(Refused);
        }
        let life = self.machine.life.read();
        let Some(life) = &*life else { return Ok(()) };
        let place = life.firewall.admit(initiator, address, length)?;
        act(&self.machine, &place).map_err(|_| Refused)
    }

    /// What a register holds now; `None` for what boot has yet to set.
    fn value(&self, life: Option<&Life>, register: Register) -> Option<u64> {
        let counters = &self.machine.counters;
        let firewall = life.map(|life| &life.firewall);
        Some(match register {
            Register::Magic => MAGIC_VALUE.into(),
            Register::Version => VERSION_VALUE.into(),
            Register::Status => Machine::status_of(life) as u64,
            Register::Mode => firewall?.mode() as u64,
            Register::HbmSize => self.machine.hbm.size(),
            Register::ProtectedBase => firewall?.protected().start,
            Register::ProtectedEnd => firewall?.protected().end,
            Register::ResetCount => counters.resets.load(SeqCst).into(),
            Register::SessionCount => counters.sessions.load(SeqCst).into(),
            Register::Violations => counters.violations.load(SeqCst),
            Register::BoundsLocked => firewall.is_some().into(),
            Register::Ring(engine, register) => life?.block(engine).lock().value(register),
        })
    }

    fn put_ring(&self, life: &Life, engine: Engine, register: RingRegister, half: Half, word: u32) {
        match register {
            RingRegister::Doorbell => self.machine.bells[engine.index()].ring(),
            RingRegister::Enable => {
                let mut block = life.block(engine).lock();
                block.stop();
                life.restart_plain(engine);
                block.put(register, half, word);
            }
            _ => life.block(engine).lock().put(register, half, word),
        }
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        self.machine.power_off();
        for worker in self.workers.drain(..) {
            // A worker that panicked has nothing left to stop.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests;
