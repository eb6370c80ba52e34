//! One vCPU: its registers before the first instruction, and what it does with each exit.
//!
//! Nothing that the guest does ends the process: an exit that makes no sense ends the guest, with a
//! reason. What stands behind ports and addresses is the buses' business, who starts and stops
//! threads is [`vm`](crate::vm)'s.

pub(crate) mod confidential;
mod ports;

use crate::boot::state;
use crate::platform::conversions::Hypercalls;
use crate::platform::cpuid::{self, GuestCpuid};
use crate::platform::emulated::{GhcbProtocol, MsrOutcome};
use crate::platform::sev_msr;
use confidential::{Confidential, EXIT_SNP_REQ_CERTS};
use kvm_bindings::{KVM_EXIT_MEMORY_FAULT, KVM_SYSTEM_EVENT_SEV_TERM, Msrs, kvm_msr_entry};
use kvm_ioctls::{VcpuExit, VcpuFd, VmFd};
use ports::Ports;
use ravelin_devices::bus::{MmioBus, PioBus};
use ravelin_snp::vmsa::Vmsa;
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
    encryption: Option<Encryption>,
}

/// How a vCPU's guest speaks about its private memory.
pub(crate) enum Encryption {
    /// To this VMM, which plays the hypervisor's part of SEV itself.
    Emulated {
        /// By MSR and shared page.
        ghcb: GhcbProtocol,
        /// By hypercall, where it is Linux.
        hypercalls: Option<Arc<Hypercalls>>,
    },
    /// To KVM, which comes here with what it cannot decide.
    Kernel(Confidential),
}

impl Encryption {
    fn read_msr(&self, index: u32) -> Option<u64> {
        match self {
            Encryption::Emulated { ghcb, .. } => ghcb.read(index).or_else(|| sev_msr::read(index)),
            Encryption::Kernel(_) => None,
        }
    }

    fn write_msr(&mut self, index: u32, value: u64) -> MsrOutcome {
        match self {
            Encryption::Emulated { .. } if sev_msr::takes_writes(index) => MsrOutcome::Done,
            Encryption::Emulated { ghcb, hypercalls } => {
                // Who speaks this protocol has page tables with a C-bit in them.
                hypercalls.iter().for_each(|hypercalls| hypercalls.open_shared());
                ghcb.write(index, value)
            }
            Encryption::Kernel(_) => MsrOutcome::Fault,
        }
    }

    /// What goes into RAX; `None` where hypercalls do not come to us.
    fn hypercall(&self, number: u64, arguments: [u64; 6]) -> Option<u64> {
        match self {
            Encryption::Emulated { hypercalls, .. } => {
                hypercalls.as_ref().map(|hypercalls| hypercalls.serve(number, arguments))
            }
            Encryption::Kernel(guest) => Some(guest.hypercall(number, arguments)),
        }
    }
}

/// What the vCPUs of one VM have in common.
pub(crate) struct Model<'a> {
    /// What CPUID says.
    pub(crate) cpuid: &'a GuestCpuid,
    /// How many there are.
    pub(crate) cpus: u8,
    /// Whether firmware would have set the memory types up, as Linux expects.
    pub(crate) memory_types: bool,
}

/// Why there is no vCPU.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// CPUID cannot describe it.
    #[error("no processor {0}")]
    Cpuid(u8, #[source] cpuid::Error),
    /// KVM refuses.
    #[error("KVM refused to make vCPU {0}")]
    Kvm(u8, #[source] kvm_ioctls::Error),
}

/// MTRRdefType: MTRRs are on and memory is write-back. With them off, Linux leaves the page
/// attribute table as it is at reset, without the type that it needs.
const MTRR_DEFAULT_TYPE: (u32, u64) = (0x2ff, 1 << 11 | 6);

impl Vcpu {
    /// Makes the vCPU of this APIC id. It waits for a start-up IPI, unless it is told to
    /// [`begin`](Self::begin).
    pub(crate) fn new(
        vm: &VmFd,
        id: u8,
        model: &Model<'_>,
        encryption: Option<Encryption>,
    ) -> Result<Vcpu, Error> {
        let refused = |error| Error::Kvm(id, error);
        let fd = vm.create_vcpu(id.into()).map_err(refused)?;
        let cpuid = model.cpuid.for_vcpu(id, model.cpus);
        // Before the registers: KVM judges CR3 by the address width in here.
        fd.set_cpuid2(&cpuid.map_err(|error| Error::Cpuid(id, error))?).map_err(refused)?;
        if model.memory_types {
            set_msr(&fd, MTRR_DEFAULT_TYPE).map_err(refused)?;
        }
        Ok(Vcpu { fd, encryption })
    }

    /// Puts the vCPU into this state, on its first instruction.
    pub(crate) fn begin(&self, vmsa: &Vmsa) -> Result<(), kvm_ioctls::Error> {
        self.fd.set_sregs(&state::special_registers(vmsa, self.fd.get_sregs()?))?;
        self.fd.set_regs(&state::general_registers(vmsa))
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
                    let encryption = self.encryption.as_ref();
                    match encryption.and_then(|encryption| encryption.read_msr(access.index)) {
                        Some(value) => *access.data = value,
                        None => *access.error = 1,
                    }
                    None
                }
                Ok(VcpuExit::X86Wrmsr(access)) => {
                    let outcome =
                        self.encryption.as_mut().map_or(MsrOutcome::Fault, |encryption| {
                            encryption.write_msr(access.index, access.data)
                        });
                    match outcome {
                        MsrOutcome::Done => None,
                        MsrOutcome::Fault => {
                            *access.error = 1;
                            None
                        }
                        MsrOutcome::Terminated(set, reason) => {
                            Some(Exit::Terminated { set, reason })
                        }
                    }
                }
                Ok(VcpuExit::Hypercall(call)) => {
                    let encryption = self.encryption.as_ref();
                    if let Some(answer) =
                        encryption.and_then(|encryption| encryption.hypercall(call.nr, call.args))
                    {
                        *call.ret = answer;
                    }
                    None
                }
                Ok(VcpuExit::MemoryFault { flags, gpa, size }) => {
                    let goes_on = match &mut self.encryption {
                        Some(Encryption::Kernel(guest)) => guest.fault(flags, gpa, size),
                        _ => false,
                    };
                    (!goes_on).then(|| Exit::Failed {
                        reason: KVM_EXIT_MEMORY_FAULT,
                        detail: gpa,
                        rip: self.rip(),
                    })
                }
                Ok(VcpuExit::Unsupported(EXIT_SNP_REQ_CERTS)) => match &self.encryption {
                    Some(Encryption::Kernel(guest)) => {
                        guest.certificates(self.fd.get_kvm_run());
                        None
                    }
                    _ => Some(self.failed()),
                },
                Ok(VcpuExit::SystemEvent(KVM_SYSTEM_EVENT_SEV_TERM, data)) => {
                    Some(confidential::terminated(data))
                }
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

fn set_msr(fd: &VcpuFd, (index, data): (u32, u64)) -> Result<(), kvm_ioctls::Error> {
    let msrs = Msrs::from_entries(&[kvm_msr_entry { index, data, ..Default::default() }])
        .map_err(|_| kvm_ioctls::Error::new(libc::E2BIG))?;
    match fd.set_msrs(&msrs)? {
        1 => Ok(()),
        // KVM stops at the first that it does not take, without an error.
        _ => Err(kvm_ioctls::Error::new(libc::EINVAL)),
    }
}

#[cfg(test)]
mod vc_tests;
