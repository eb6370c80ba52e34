//! Everything that can keep a command from being done, with its exit code.

use super::exit::ExitCode;
use super::{evidence, images};
use crate::control::client;
use crate::host::binding;
use crate::machine::{gpu, peripherals};
use crate::platform::snp::certificates;
use crate::{boot, config, kvm, layout, machine, runtime, vm};
use ravelin_devices::page_state;
use ravelin_devices::vfio::{attach, device};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a command could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The words make no VM.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The platform has no such name.
    #[error("--platform: {0}")]
    Platform(#[from] crate::platform::UnknownPlatform),
    /// A file of the user's cannot be read.
    #[error("cannot read {0}: check the path and its permissions")]
    File(PathBuf, #[source] io::Error),
    /// The guest image cannot be read.
    #[error("cannot read the guest image {0}: check the path and its permissions")]
    GuestImage(PathBuf, #[source] io::Error),
    /// Linux cannot be booted.
    #[error(transparent)]
    Linux(#[from] boot::linux::Error),
    /// The image of a guest cannot be used.
    #[error("--igvm {}", .0.display())]
    Igvm(PathBuf, #[source] ravelin_launch::igvm::Error),
    /// The guest's console has nowhere to go.
    #[error("--serial {0}: check the path and its permissions")]
    Serial(config::SerialSpec, #[source] io::Error),
    /// Console and result both want standard output.
    #[error("--serial stdio and --json both want standard output: use --serial file=PATH")]
    StandardOutputTaken,
    /// The images cannot be used.
    #[error(transparent)]
    Images(#[from] images::Error),
    /// The payload is none.
    #[error("the workload's payload cannot be used")]
    Payload(#[from] ravelin_digits::Error),
    /// There is no runtime directory.
    #[error(transparent)]
    Runtime(#[from] runtime::Error),
    /// There is no machine.
    #[error(transparent)]
    Machine(#[from] machine::Error),
    /// A socket, a thread or a signal handler cannot be made.
    #[error("cannot make {0}")]
    System(&'static str, #[source] io::Error),
    /// The server cannot listen there.
    #[error("cannot listen on {0}: choose another port, or 0 for a free one")]
    Listen(SocketAddr, #[source] io::Error),
    /// The capture cannot be written.
    #[error("--pcap {}", .0.display())]
    Capture(PathBuf, #[source] ravelin_spdm_capture::Error),
    /// The program that a subcommand runs is not there.
    #[error(
        "{program} is neither beside ravelin nor in PATH: build it with `cargo build --release -p \
         {package}`"
    )]
    ToolAbsent {
        /// The program.
        program: &'static str,
        /// The package that it is built from.
        package: &'static str,
    },
    /// The program that a subcommand runs is there and does not start.
    #[error("cannot start {}", .0.display())]
    ToolBroken(PathBuf, #[source] io::Error),
    /// There is no evidence to save, or nowhere to save it.
    #[error(transparent)]
    Evidence(#[from] evidence::Error),
    /// The GPU does not come up.
    #[error("the GPU does not come up")]
    Gpu(#[from] ravelin_gpu_model::Error),
    /// The certificates cannot be used.
    #[error("--certificates: {0}")]
    Certificates(#[from] certificates::Error),
    /// There is no VM of that name.
    #[error("no VM is called {0}: see `ravelinctl list`")]
    NoSuchVm(config::Name),
    /// The VM of that name is dead.
    #[error("the VM {0} is dead: start it again, which cleans what it left")]
    VmDead(config::Name),
    /// The VM does not do what was asked for.
    #[error(transparent)]
    Control(#[from] client::Error),
    /// A function of the host's stays where it is.
    #[error(transparent)]
    Binding(#[from] binding::Error),
    /// Guest memory does not change sides.
    #[error("guest memory cannot be converted")]
    Conversion(#[from] page_state::Error),
}

impl Error {
    /// The exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::Config(error) => of_config(error),
            Error::Platform(_) => ExitCode::Usage,
            Error::File(..) => ExitCode::BadFile,
            Error::GuestImage(..) | Error::Igvm(..) => ExitCode::GuestImage,
            Error::Linux(error) => of_linux(error),
            Error::Serial(..) | Error::StandardOutputTaken => ExitCode::BadSerial,
            Error::Images(error) => error.exit_code(),
            Error::Payload(_) | Error::System(..) => ExitCode::Internal,
            Error::Runtime(runtime::Error::InUse(_)) => ExitCode::NameInUse,
            Error::Runtime(_) => ExitCode::RuntimeDirectory,
            Error::Machine(machine::Error::Vm(error)) => of_vm(error),
            Error::Machine(machine::Error::Peripherals(error)) => of_peripherals(error),
            Error::Machine(machine::Error::Gpu(_, error)) => of_gpu(error),
            Error::Machine(_) => ExitCode::Internal,
            Error::Listen(..) => ExitCode::Listen,
            Error::Capture(..) => ExitCode::Capture,
            Error::Evidence(_) => ExitCode::Evidence,
            Error::ToolAbsent { .. } => ExitCode::ToolAbsent,
            Error::ToolBroken(..) => ExitCode::ToolBroken,
            Error::Gpu(_) => ExitCode::Internal,
            Error::Certificates(_) => ExitCode::BadFile,
            Error::NoSuchVm(_) => ExitCode::NoSuchVm,
            Error::VmDead(_) => ExitCode::VmDead,
            Error::Control(client::Error::Refused { code, .. }) if code == "no-such-gpu" => {
                ExitCode::NoSuchGpu
            }
            Error::Control(_) => ExitCode::ControlFailed,
            Error::Binding(error) => of_binding(error),
            Error::Conversion(_) => ExitCode::Internal,
        }
    }
}

pub(super) fn of_config(error: &config::Error) -> ExitCode {
    match error {
        config::Error::SizeUnreadable { .. } => ExitCode::SizeUnreadable,
        config::Error::SizeTooSmall { .. } | config::Error::SizeUneven { .. } => {
            ExitCode::SizeTooSmall
        }
        config::Error::SizeTooLarge { .. } => ExitCode::SizeTooLarge,
        config::Error::Gpu { .. } | config::Error::GpuCount(_) => ExitCode::BadGpu,
        config::Error::Name(_) => ExitCode::BadName,
        config::Error::Repeat(_)
        | config::Error::ImagesWithoutDigits(_)
        | config::Error::Mismatch(..) => ExitCode::Usage,
        config::Error::Memory(_) => ExitCode::SizeUnreadable,
        config::Error::Cpus(_) => ExitCode::BadCpus,
        config::Error::Serial(_) => ExitCode::BadSerial,
        config::Error::Device { option: "--disk", .. }
        | config::Error::Twice { option: "--disk", .. } => ExitCode::BadDisk,
        config::Error::Device { option: "--net", .. } | config::Error::Twice { .. } => {
            ExitCode::BadNet
        }
        config::Error::Device { .. } => ExitCode::BadVsock,
        config::Error::PeripheralCount(_) => ExitCode::Usage,
        config::Error::File(_) => ExitCode::BadFile,
    }
}

fn of_binding(error: &binding::Error) -> ExitCode {
    use binding::Error;
    match error {
        Error::NoSuchDevice(_) => ExitCode::NoSuchDevice,
        Error::InUse { .. } | Error::Taken { .. } => ExitCode::DeviceInUse,
        Error::Bridge(_)
        | Error::NotPossible { .. }
        | Error::NotBound { .. }
        | Error::Write { .. }
        | Error::WentElsewhere { .. }
        | Error::Stays(_) => ExitCode::DeviceUnusable,
    }
}

fn of_peripherals(error: &peripherals::Error) -> ExitCode {
    use peripherals::Error;
    match error {
        Error::Disk(_) => ExitCode::BadDisk,
        Error::Net(_) | Error::Mac(_) => ExitCode::BadNet,
        Error::Vsock(_) => ExitCode::BadVsock,
        Error::Console(_) => ExitCode::RuntimeDirectory,
        Error::Face(..) | Error::Pci(_) => ExitCode::Internal,
    }
}

fn of_gpu(error: &gpu::Error) -> ExitCode {
    use gpu::Error;
    match error {
        Error::Apm(_) | Error::Window(_) => ExitCode::Internal,
        Error::Profile(_) | Error::Device(device::Error::Block(..)) => ExitCode::BadGpu,
        Error::Attach(error) => match error {
            attach::Error::Absent(_) => ExitCode::NoSuchDevice,
            attach::Error::GroupInUse { .. }
            | attach::Error::InUse(_)
            | attach::Error::Owned(_) => ExitCode::DeviceInUse,
            attach::Error::Permission(_) => ExitCode::DevicePermission,
            attach::Error::NoIommu(_) | attach::Error::NoInterruptRemapping(_) => ExitCode::NoIommu,
            attach::Error::Descriptor(..) => ExitCode::BadGpu,
            attach::Error::NotBound { .. }
            | attach::Error::NoInterface
            | attach::Error::Refused { .. } => ExitCode::DeviceUnusable,
        },
        Error::Memlock(_) | Error::Device(device::Error::Memlock { .. }) => ExitCode::LockedMemory,
        Error::Device(_) => ExitCode::DeviceUnusable,
    }
}

fn of_vm(error: &vm::Error) -> ExitCode {
    match error {
        vm::Error::Kvm(kvm::Error::Absent) => ExitCode::KvmAbsent,
        vm::Error::Kvm(kvm::Error::Permission) => ExitCode::KvmPermission,
        vm::Error::Kvm(kvm::Error::Unable(_)) | vm::Error::SecureProcessor(_) => {
            ExitCode::HostUnable
        }
        vm::Error::Kvm(_) => ExitCode::KvmUnsuitable,
        vm::Error::SnpLaunch(_) => ExitCode::SnpLaunch,
        vm::Error::Layout(layout::Error::Memory(_)) => ExitCode::SizeTooSmall,
        vm::Error::Layout(layout::Error::TooLarge { .. }) => ExitCode::SizeTooLarge,
        vm::Error::Boot(boot::Error::NoRoom(_)) => ExitCode::SizeTooSmall,
        vm::Error::Boot(boot::Error::Linux(error)) => of_linux(error),
        vm::Error::Boot(_) => ExitCode::GuestImage,
        _ => ExitCode::Internal,
    }
}

pub(super) fn of_linux(error: &boot::linux::Error) -> ExitCode {
    use boot::linux::Error;
    match error {
        Error::NotAKernel | Error::NoEntry(_) | Error::ReadKernel(..) | Error::Load(_) => {
            ExitCode::BadKernel
        }
        Error::ReadInitrd(..) | Error::EmptyInitrd | Error::InitrdTooLarge { .. } => {
            ExitCode::BadInitrd
        }
        Error::CommandLineTooLong { .. } | Error::CommandLineNul => ExitCode::BadCommandLine,
        Error::KernelTooLarge { .. } => ExitCode::SizeTooSmall,
        Error::Memory(_) => ExitCode::Internal,
    }
}
