//! `ravelin gpu-server`: a GPU on its own, which whoever knows SPDM may speak to over TCP.
//!
//! There is no guest and no bus: what is served is the GPU's [SPDM port](SpdmSocket), in the socket
//! framing of the DMTF's emulators. What is said there is the GPU's business; the connections are
//! [`listener`]'s.

use super::exit::ExitCode;
use super::output::{self, Progress};
use super::{Error, GpuServerArgs};
use crate::config::{self, ApmSpec, GpuSpec, ModeSpec};
use listener::Listener;
use ravelin_gpu_abi::registers::Mode;
use ravelin_gpu_model::{
    DmaFault, FirmwareSet, Gpu, GpuConfig, HostMemory, Interrupts, SpdmTransport,
};
use ravelin_spdm_capture::LinkType;
use std::path::Path;
use std::sync::Arc;

mod capture;
mod listener;

use capture::Capture;

/// The serial number of the GPU that is served: the first of a machine.
const SERIAL: u64 = 1;

/// What carries SPDM over the socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum TransportChoice {
    /// PCIe data objects
    #[default]
    Doe,
    /// MCTP messages
    Mctp,
    /// Nothing: messages as they are
    None,
}

/// Serves until a signal ends it.
pub(super) fn run(arguments: &GpuServerArgs) -> ExitCode {
    match serve(arguments) {
        Ok(signal) => signal,
        Err(error) => {
            output::failure(&error);
            error.exit_code()
        }
    }
}

fn serve(arguments: &GpuServerArgs) -> Result<ExitCode, Error> {
    let spec = match &arguments.gpu {
        Some(text) => match text.parse()? {
            GpuSpec::Apm(spec) => spec,
            GpuSpec::Vfio(_) => {
                let problem = "only the model answers here".into();
                return Err(config::Error::Gpu { text: text.clone(), problem }.into());
            }
        },
        None => ApmSpec::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::System("the server's event loop", error))?;
    let transport = arguments.transport;
    runtime.block_on(async {
        let listener = Listener::bind(arguments.spdm_listen)
            .await
            .map_err(|error| Error::Listen(arguments.spdm_listen, error))?;
        let capture = match &arguments.pcap {
            Some(path) => {
                let capture = Capture::create(path, link_type(transport));
                Some(capture.map_err(|error| Error::Capture(path.clone(), error))?)
            }
            None => None,
        };
        let gpu = power_on(spec, arguments.identity.as_deref())?;
        // On standard output, so that a script may wait for it and learn the port.
        output::line(format_args!("listening on {} ({transport})", listener.address()));
        let identity = gpu.admin().info().identity;
        Progress::new().say("gpu", format_args!("identity {identity}"));
        listener.serve(|| gpu.spdm_port(transport.into()), capture).await
    })
}

fn power_on(spec: ApmSpec, identity: Option<&Path>) -> Result<Arc<Gpu>, Error> {
    let config = GpuConfig {
        memory: spec.memory.0,
        mode: match spec.mode {
            ModeSpec::On => Mode::On,
            ModeSpec::Off => Mode::Off,
            ModeSpec::Devtools => Mode::Devtools,
        },
        serial: SERIAL,
        identity: identity.map(Path::to_path_buf),
        firmware: FirmwareSet::current(),
    };
    Ok(Gpu::power_on(config, Arc::new(NoHost), Arc::new(NoHost))?)
}

fn link_type(transport: TransportChoice) -> LinkType {
    match transport {
        TransportChoice::Doe => LinkType::Doe,
        TransportChoice::Mctp => LinkType::Mctp,
        TransportChoice::None => LinkType::Plain,
    }
}

impl From<TransportChoice> for SpdmTransport {
    fn from(choice: TransportChoice) -> Self {
        match choice {
            TransportChoice::Doe => SpdmTransport::Doe,
            TransportChoice::Mctp => SpdmTransport::Mctp,
            TransportChoice::None => SpdmTransport::None,
        }
    }
}

impl std::fmt::Display for TransportChoice {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            TransportChoice::Doe => "doe",
            TransportChoice::Mctp => "mctp",
            TransportChoice::None => "none",
        })
    }
}

/// What is around the GPU: no memory, and nobody whom interrupts could reach.
struct NoHost;

impl HostMemory for NoHost {
    fn read(&self, _address: u64, _buffer: &mut [u8]) -> Result<(), DmaFault> {
        Err(DmaFault::OutOfRange)
    }

    fn write(&self, _address: u64, _bytes: &[u8]) -> Result<(), DmaFault> {
        Err(DmaFault::OutOfRange)
    }
}

impl Interrupts for NoHost {
    fn raise(&self, _vector: u16) {}
}
