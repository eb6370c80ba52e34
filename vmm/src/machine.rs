//! A VM with what stands on its buses: serial ports, the PCI bus, GPUs, a Linux guest's virtio devices.
//!
//! [`vm`](crate::vm) knows no device and the devices know no VM; here they meet, and only here. Each
//! GPU gets a DMA gate of its own over the shared side of guest memory, so that refusals are counted
//! by device.

pub mod gpu;
pub mod locked_memory;
pub mod peripherals;
pub mod profile;

use crate::config::GpuSpec;
use crate::interrupts::MsiSender;
use crate::layout::Layout;
use crate::vcpu::{Buses, Exit};
use crate::vm::{self, Guest, Stopper, Vm, VmConfig};
use gpu::Gpu;
use peripherals::Peripherals;
use ravelin_devices::bus::{self, BusDevice, MmioBus, PioBus};
use ravelin_devices::cmos::{self, Cmos};
use ravelin_devices::dma_gate::DmaGate;
use ravelin_devices::keyboard::{self, KeyboardController};
use ravelin_devices::pci;
use ravelin_devices::pci::bus::{Aperture, ECAM_SIZE, Ecam, PciBus};
use ravelin_devices::pci::msix::{MsiMessage, MsiSink};
use ravelin_devices::serial::{self, SerialPort};
use std::io::{self, Write};
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// Why there is no machine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The VM cannot be made.
    #[error("cannot make the VM")]
    Vm(#[from] vm::Error),
    /// A device collides with another.
    #[error("cannot place the devices")]
    Bus(#[from] bus::Error),
    /// The PCI bus has no room for a GPU.
    #[error("cannot place the GPUs")]
    Pci(#[from] pci::bus::Error),
    /// A Linux guest's disk, network card or the like cannot be had.
    #[error(transparent)]
    Peripherals(#[from] peripherals::Error),
    /// A GPU does not come up.
    #[error("GPU {0} does not come up")]
    Gpu(usize, #[source] gpu::Error),
}

/// The guest's two serial ports.
pub struct SerialPorts {
    /// COM1, the console.
    pub console: SerialLine,
    /// COM2, the report.
    pub report: SerialLine,
}

/// A serial port and what its interrupt line is connected to.
pub struct SerialLine {
    /// The port.
    pub port: Arc<dyn BusDevice>,
    /// Written for each interrupt; none where the port has no line.
    pub interrupt: Option<EventFd>,
}

impl SerialLine {
    /// A port that sends to `output` and raises interrupts.
    ///
    /// # Errors
    /// There is no file descriptor left.
    pub fn new(output: impl Write + Send + 'static) -> io::Result<Self> {
        let (interrupt, raise) = interrupt_line()?;
        let port = Arc::new(SerialPort::with_interrupt(output, raise));
        Ok(Self { port, interrupt: Some(interrupt) })
    }

    /// A port that raises no interrupt.
    pub fn polled(port: Arc<dyn BusDevice>) -> Self {
        Self { port, interrupt: None }
    }

    fn place(self, vm: &Vm, pio: &PioBus, first: u64, line: u32) -> Result<(), Error> {
        pio.insert(first, serial::PORTS, self.port)?;
        // KVM keeps an event of its own.
        self.interrupt.map_or(Ok(()), |event| Ok(vm.connect(&event, line)?))
    }
}

/// The two ends of an interrupt line: the machine's, and the device's.
pub(crate) fn interrupt_line() -> io::Result<(EventFd, serial::Interrupt)> {
    let line = EventFd::new(EFD_NONBLOCK)?;
    let raised = line.try_clone()?;
    // An event that cannot count higher has one to see already.
    Ok((line, Box::new(move || drop(raised.write(1)))))
}

/// A VM with its devices, not yet started.
pub struct Machine {
    vm: Vm,
    buses: Buses,
    gpus: Vec<Gpu>,
    gates: Vec<Arc<DmaGate>>,
}

impl Machine {
    /// Makes the VM, powers its GPUs on and puts everything on the buses.
    ///
    /// # Errors
    /// Something is missing or does not fit. Nothing is left behind.
    pub fn new(
        vm: VmConfig,
        gpus: &[GpuSpec],
        peripherals: Peripherals,
        ports: SerialPorts,
    ) -> Result<Machine, Error> {
        // The built-in guest has shared memory of its own.
        let windows = !matches!(vm.guest, Guest::Builtin(_));
        let vm = Vm::new(vm)?;
        let pio = PioBus::new();
        ports.console.place(&vm, &pio, serial::COM1, serial::COM1_INTERRUPT)?;
        ports.report.place(&vm, &pio, serial::COM2, serial::COM2_INTERRUPT)?;
        pio.insert(cmos::INDEX, cmos::PORTS, Arc::new(Cmos::new()))?;
        pio.insert(keyboard::STATUS, 1, Arc::new(KeyboardController))?;
        let Layout { ecam, bars, .. } = vm.layout().clone();
        let pci = PciBus::new(bars.clone());
        let devices = vm.for_devices();
        let gpus = gpus.iter().enumerate().map(|(index, spec)| {
            Gpu::power_on(&vm, &devices, index, spec, windows)
                .map_err(|error| Error::Gpu(index, error))
        });
        let gpus = gpus.collect::<Result<Vec<_>, _>>()?;
        for gpu in &gpus {
            pci.add(gpu.function())?;
        }
        let gates = peripherals.place(&vm, &pci)?;
        let mmio = MmioBus::new();
        mmio.insert(ecam, ECAM_SIZE, Arc::new(Ecam(pci.clone())))?;
        mmio.insert(bars.start, bars.end - bars.start, Arc::new(Aperture(pci)))?;
        Ok(Machine { vm, buses: Buses { pio: Arc::new(pio), mmio: Arc::new(mmio) }, gpus, gates })
    }

    /// The GPUs, in the order in which the guest finds them.
    pub fn gpus(&self) -> &[Gpu] {
        &self.gpus
    }

    /// The DMA gates of a Linux guest's virtio devices, in the order in which the guest finds them.
    pub fn gates(&self) -> &[Arc<DmaGate>] {
        &self.gates
    }

    /// The VM, for its memory and layout.
    pub fn vm(&self) -> &Vm {
        &self.vm
    }

    /// A handle that ends the guest from any thread.
    pub fn stopper(&self) -> Stopper {
        self.vm.stopper()
    }

    /// When the guest was let go to its first instruction; empty until then.
    pub fn first_instruction(&self) -> Arc<OnceLock<Instant>> {
        self.vm.first_instruction()
    }

    /// Runs the guest until it ends.
    ///
    /// # Errors
    /// A thread cannot be started. A guest that fails is no error but an [`Exit`].
    pub fn run(self) -> Result<Exit, Error> {
        Ok(self.vm.run(self.buses)?)
    }
}

impl MsiSink for MsiSender {
    fn signal(&self, message: MsiMessage) {
        self.send(message.address, message.data);
    }
}
