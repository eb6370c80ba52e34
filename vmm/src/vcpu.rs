//! One vCPU: its registers before the first instruction, and what it does with each exit.
//!
//! Nothing that the guest does ends the process: an exit that makes no sense ends the guest, with a
//! reason. What stands behind ports and addresses is the buses' business, who starts and stops
//! threads is [`vm`](crate::vm)'s.

mod ports;

use crate::boot::long_mode;
use crate::platform::cpuid::GuestCpuid;
use crate::platform::emulated::{GhcbProtocol, MsrOutcome};
use kvm_ioctls::{VcpuExit, VcpuFd, VmFd};
use ports::Ports;
use ravelin_devices::bus::{MmioBus, PioBus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Why a guest no longer runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The guest turned its power off.
    PowerOff,
    /// The guest asked for a reset, which this VMM does not do.
    Reset,
    /// A fault while handling a double fault.
    TripleFault,
    /// The guest gave up by the GHCB protocol.
    Terminated {
        /// Set of reason codes; 0 is the GHCB standard's.
        set: u8,
        /// Reason in that set.
        reason: u8,
    },
    /// KVM cannot carry on.
    Failed {
        /// KVM's exit reason.
        reason: u32,
        /// KVM's detail: the suberror of an internal error, the hardware's reason of a failed
        /// entry, or an errno.
        detail: u64,
        /// Address of the instruction.
        rip: u64,
    },
    /// The VMM's own code panicked on the vCPU's thread.
    Panicked,
    /// Somebody stopped it.
    Stopped,
}

/// What a vCPU reaches by port and memory-mapped I/O.
#[derive(Clone)]
pub struct Buses {
    /// Ports.
    pub pio: Arc<PioBus>,
    /// Memory-mapped I/O, by guest-physical address.
    pub mmio: Arc<MmioBus>,
}

/// A vCPU that is ready to run.
pub(crate) struct Vcpu {
    fd: VcpuFd,
    ghcb: Option<GhcbProtocol>,
}

/// Where a vCPU begins.
pub(crate) struct Start {
    pub(crate) entry: u64,
    pub(crate) start_info: u64,
}

impl Vcpu {
    /// Makes the vCPU of this APIC id. Only vCPU 0 gets a `start`; the others wait for a start-up
    /// IPI.
    pub(crate) fn new(
        vm: &VmFd,
        id: u8,
        cpuid: &GuestCpuid,
        ghcb: Option<GhcbProtocol>,
        start: Option<Start>,
    ) -> Result<Vcpu, kvm_ioctls::Error> {
        let fd = vm.create_vcpu(id.into())?;
        // Before the registers: KVM judges CR3 by the address width in here.
        fd.set_cpuid2(&cpuid.for_vcpu(id))?;
        if let Some(start) = start {
            let mut special = fd.get_sregs()?;
            long_mode::set_special_registers(&mut special, cpuid.c_bit);
            fd.set_sregs(&special)?;
            fd.set_regs(&long_mode::registers(start.entry, start.start_info))?;
        }
        Ok(Vcpu { fd, ghcb })
    }

    /// Frequency of the time-stamp counter that the guest sees, in kHz.
    pub(crate) fn tsc_khz(&self) -> Result<u32, kvm_ioctls::Error> {
        self.fd.get_tsc_khz()
    }

    /// Runs until the guest ends or `stop` is set. After setting it, send the thread a signal.
    pub(crate) fn run(&mut self, buses: &Buses, stop: &AtomicBool) -> Exit {
        let mut ports = Ports::new(&buses.pio);
        loop {
            if stop.load(Ordering::Acquire) {
                return Exit::Stopped;
            }
            let exit = match self.fd.run() {
                Ok(VcpuExit::IoIn(..) | VcpuExit::IoOut(..)) => ports.serve(&mut self.fd),
                Ok(VcpuExit::MmioRead(address, data)) => {
                    buses.mmio.read(address, data);
                    None
                }
                Ok(VcpuExit::MmioWrite(address, data)) => {
                    buses.mmio.write(address, data);
                    None
                }
                Ok(VcpuExit::X86Rdmsr(access)) => {
                    match self.ghcb.as_ref().and_then(|ghcb| ghcb.read(access.index)) {
                        Some(value) => *access.data = value,
                        None => *access.error = 1,
                    }
                    None
                }
                Ok(VcpuExit::X86Wrmsr(access)) => match &mut self.ghcb {
                    Some(ghcb) => match ghcb.write(access.index, access.data) {
                        MsrOutcome::Done => None,
                        MsrOutcome::Fault => {
                            *access.error = 1;
                            None
                        }
                        MsrOutcome::Terminated(set, reason) => {
                            Some(Exit::Terminated { set, reason })
                        }
                    },
                    None => {
                        *access.error = 1;
                        None
                    }
                },
                Ok(VcpuExit::Intr | VcpuExit::IrqWindowOpen | VcpuExit::Hlt) => None,
                Ok(VcpuExit::Shutdown) => Some(Exit::TripleFault),
                Ok(_) => Some(self.failed()),
                Err(error) => match error.errno() {
                    libc::EINTR | libc::EAGAIN => None,
                    errno => Some(Exit::Failed {
                        reason: 0,
                        detail: errno.unsigned_abs().into(),
                        rip: self.rip(),
                    }),
                },
            };
            if let Some(exit) = exit {
                return exit;
            }
        }
    }

    fn rip(&self) -> u64 {
        self.fd.get_regs().map_or(0, |registers| registers.rip)
    }

    fn failed(&mut self) -> Exit {
        let rip = self.rip();
        let (reason, detail) = ports::failure(self.fd.get_kvm_run());
        Exit::Failed { reason, detail, rip }
    }
}
