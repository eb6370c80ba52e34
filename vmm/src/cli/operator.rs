//! The command line of `ravelinctl`, the operator's tool: watch GPUs, reset them and choose their
//! mode, read nothing of what they compute.
//!
//! What is asked of a VM goes over its control socket; a VM is found by its runtime directory. What
//! is asked of the host, its PCI functions, needs no VM. JSON comes as one object with a `schema`,
//! whatever the command.

mod binding;
mod devices;
mod events;
mod gpus;

use super::Error;
use super::exit::{self, ExitCode};
use super::output;
use crate::config::{ModeSpec, Name, Size};
use crate::control::api::{
    GpuInfo, GpuTelemetry, Gpus, ModeChosen, ModeRequest, ResetDone, ResetRequest, VmInfo,
};
use crate::control::client::Client;
use crate::host::{Address, Host};
use crate::runtime::{Liveness, RuntimeRoot};
use clap::{Parser, Subcommand, ValueEnum};
use ravelin_gpu_model::ResetKind;
use serde::Serialize;
use std::ffi::OsString;

/// Watches and resets the GPUs of running VMs, without a way to what they compute, and readies the
/// host's PCI devices for VMs.
///
/// A VM is found by the name that `ravelin run --name NAME` gave it, or that `ravelinctl list` shows;
/// a device by its address, which `ravelinctl devices` shows.
#[derive(Debug, Parser)]
#[command(name = "ravelinctl", version, after_help = exit::table(exit::OPERATOR))]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the VMs of this user, dead ones too
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Show a VM and its GPUs: identity, mode, number of resets and session
    Info {
        /// Name of the VM
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Show the counters of a VM's GPUs
    Telemetry {
        /// Name of the VM
        name: String,
        /// Only this GPU
        #[arg(long, value_name = "N")]
        gpu: Option<usize>,
        #[command(flatten)]
        output: Output,
    },
    /// Reset a GPU; the guest loses its session, notices, and attests again
    Reset {
        /// Name of the VM
        name: String,
        /// Which GPU, from 0
        #[arg(long, value_name = "N")]
        gpu: usize,
        /// Function-level, secondary bus, or power off and on
        #[arg(long, value_enum)]
        kind: Kind,
        #[command(flatten)]
        output: Output,
    },
    /// Choose the protection mode that a GPU's next reset brings; guests refuse any but `on`
    Mode {
        /// Name of the VM
        name: String,
        /// Which GPU, from 0
        #[arg(long, value_name = "N")]
        gpu: usize,
        /// Confidential, without protection, or confidential with debug open
        #[arg(value_enum)]
        mode: ModeSpec,
        #[command(flatten)]
        output: Output,
    },
    /// Show what happened to a VM's GPUs: resets, sessions, accesses refused
    Events {
        /// Name of the VM
        name: String,
        /// Only this GPU
        #[arg(long, value_name = "N")]
        gpu: Option<usize>,
        /// Go on until the VM ends; with --json, an object a line
        #[arg(long)]
        follow: bool,
        #[command(flatten)]
        output: Output,
    },
    /// List the host's PCI devices, what stands in the way of giving each to a VM, and the command
    /// that removes it
    ///
    /// A device goes to a VM with all members of its IOMMU group, from the driver vfio-pci. Ways to
    /// reset it come in the kernel's order; a device without one keeps what a guest has left in it.
    /// Bridges are not shown.
    Devices {
        /// Only these, as 0000:01:00.0
        #[arg(value_name = "ADDRESS")]
        addresses: Vec<Address>,
        #[command(flatten)]
        output: Output,
    },
    /// Take a PCI device from the host's driver and bind it to vfio-pci
    ///
    /// Writes vfio-pci to the device's driver_override, unbinds it from its driver, and has the bus
    /// look for a driver again. It stays so until `unbind` or a restart of the host. Needs root.
    Bind {
        #[command(flatten)]
        what: binding::What,
        /// The host may lose this: a disk (nvme0n1), a network (eth0), the console, or a device in the
        /// same group (0000:01:00.1) with all that it does for the host
        #[arg(long, value_name = "NAME")]
        take: Vec<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Give a PCI device back to the host's driver
    ///
    /// Clears the device's driver_override, unbinds it from vfio-pci, and has the bus look for a
    /// driver. Refused while a VM has the device. Needs root.
    Unbind {
        #[command(flatten)]
        what: binding::What,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Clone, Copy, Debug, clap::Args)]
struct Output {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Flr,
    Bus,
    Cold,
}

impl From<Kind> for ResetKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Flr => ResetKind::Flr,
            Kind::Bus => ResetKind::Bus,
            Kind::Cold => ResetKind::Cold,
        }
    }
}

/// An answer as JSON, with its schema.
#[derive(Serialize)]
struct Document<T> {
    schema: &'static str,
    #[serde(flatten)]
    content: T,
}

/// One VM in a list.
#[derive(Serialize)]
struct Listed {
    name: Name,
    /// "running", "dead", or "silent": it runs and does not answer.
    state: &'static str,
    /// Absent unless it answers, like the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workload: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gpus: Option<usize>,
}

/// Runs the command that `words` say, the program's name first.
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    output::start_log();
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => return output::usage(&error),
    };
    let root = RuntimeRoot::from_environment();
    let done = match cli.command {
        Command::List { output } => list(&root, output),
        Command::Info { name, output } => info(&root, &name, output),
        Command::Telemetry { name, gpu, output } => telemetry(&root, &name, gpu, output),
        Command::Reset { name, gpu, kind, output } => reset(&root, &name, gpu, kind, output),
        Command::Mode { name, gpu, mode, output } => choose_mode(&root, &name, gpu, mode, output),
        Command::Events { name, gpu, follow, output } => {
            events::show(&root, &name, gpu, follow, output)
        }
        Command::Devices { addresses, output } => devices::show(&Host::this(), &addresses, output),
        Command::Bind { what, take, output } => binding::bind(&Host::this(), what, &take, output),
        Command::Unbind { what, output } => binding::unbind(&Host::this(), what, output),
    };
    match done {
        Ok(()) => ExitCode::Ok,
        Err(error) => {
            output::failure(&error);
            error.exit_code()
        }
    }
}

fn list(root: &RuntimeRoot, output: Output) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Content {
        vms: Vec<Listed>,
    }
    let vms: Vec<_> =
        root.list()?.into_iter().map(|(name, state)| ask(root, name, state)).collect();
    if output.json {
        output::json(&Document { schema: "ravelin.list/1", content: Content { vms } });
        return Ok(());
    }
    if vms.is_empty() {
        output::line("No VMs. `ravelin run --name NAME` starts one.");
        return Ok(());
    }
    let table = "NAME             STATE    PID      PLATFORM  WORKLOAD  GPUS";
    output::line(output::heading(table));
    for vm in &vms {
        let number = |number: Option<u64>| number.map_or("-".into(), |number| number.to_string());
        output::line(format_args!(
            "{:<16} {:<8} {:<8} {:<9} {:<9} {}",
            vm.name.as_str(),
            vm.state,
            number(vm.pid.map(u64::from)),
            vm.platform.as_deref().unwrap_or("-"),
            vm.workload.as_deref().unwrap_or("-"),
            number(vm.gpus.map(|gpus| gpus as u64)),
        ));
    }
    Ok(())
}

/// A VM of the list, asked for what it is if it can answer.
fn ask(root: &RuntimeRoot, name: Name, state: Liveness) -> Listed {
    let Liveness::Running { pid } = state else {
        return Listed {
            name,
            state: "dead",
            pid: None,
            platform: None,
            workload: None,
            gpus: None,
        };
    };
    let vm = Client::new(root.control_socket(&name)).get::<VmInfo>("/v1/vm").ok();
    let state = if vm.is_some() { "running" } else { "silent" };
    let gpus = vm.as_ref().map(|vm| vm.gpus);
    let (platform, workload) = vm.map(|vm| (vm.platform, vm.workload)).unzip();
    Listed { name, state, pid: Some(pid), platform, workload, gpus }
}

fn info(root: &RuntimeRoot, name: &str, output: Output) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Content {
        vm: VmInfo,
        gpus: Vec<GpuInfo>,
    }
    let client = find(root, name)?;
    let vm: VmInfo = client.get("/v1/vm")?;
    let Gpus { gpus } = client.get("/v1/gpus")?;
    if output.json {
        output::json(&Document { schema: "ravelin.info/1", content: Content { vm, gpus } });
        return Ok(());
    }
    output::line(output::heading(&format!("VM {}", vm.name)));
    row("process", vm.pid);
    row("platform", &vm.platform);
    row("memory", Size(vm.memory));
    row("workload", &vm.workload);
    row("up", seconds(vm.uptime_us));
    for gpu in &gpus {
        gpus::info(gpu);
    }
    Ok(())
}

fn telemetry(
    root: &RuntimeRoot,
    name: &str,
    gpu: Option<usize>,
    output: Output,
) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Content<'a> {
        name: &'a str,
        gpus: Vec<GpuTelemetry>,
    }
    let client = find(root, name)?;
    let wanted = match gpu {
        Some(gpu) => gpu..gpu.saturating_add(1),
        None => 0..client.get::<VmInfo>("/v1/vm")?.gpus,
    };
    let gpus = wanted
        .map(|gpu| client.get(&format!("/v1/gpus/{gpu}/telemetry")))
        .collect::<Result<Vec<GpuTelemetry>, _>>()?;
    if output.json {
        output::json(&Document { schema: "ravelin.telemetry/1", content: Content { name, gpus } });
        return Ok(());
    }
    for gpu in &gpus {
        gpus::telemetry(gpu);
    }
    Ok(())
}

fn reset(
    root: &RuntimeRoot,
    name: &str,
    gpu: usize,
    kind: Kind,
    output: Output,
) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Content<'a> {
        name: &'a str,
        gpu: usize,
        #[serde(flatten)]
        done: ResetDone,
    }
    let request = ResetRequest { kind: kind.into() };
    let done: ResetDone = find(root, name)?.post(&format!("/v1/gpus/{gpu}/reset"), &request)?;
    if output.json {
        let content = Content { name, gpu, done };
        output::json(&Document { schema: "ravelin.reset/1", content });
        return Ok(());
    }
    let time = done.duration_us as f64 / 1e3;
    output::line(format_args!(
        "GPU {gpu} of {name} was reset in {time:.1} ms, its reset number {}. The guest sets it up again.",
        done.resets
    ));
    Ok(())
}

fn choose_mode(
    root: &RuntimeRoot,
    name: &str,
    gpu: usize,
    mode: ModeSpec,
    output: Output,
) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Content<'a> {
        name: &'a str,
        gpu: usize,
        #[serde(flatten)]
        chosen: ModeChosen,
    }
    let path = format!("/v1/gpus/{gpu}/mode");
    let chosen: ModeChosen = find(root, name)?.post(&path, &ModeRequest { mode })?;
    if output.json {
        let content = Content { name, gpu, chosen };
        output::json(&Document { schema: "ravelin.mode/1", content });
        return Ok(());
    }
    let ModeChosen { mode, next_mode } = &chosen;
    output::line(format_args!(
        "GPU {gpu} of {name} is in mode {mode}; its next reset brings mode {next_mode}."
    ));
    Ok(())
}

/// A way to the VM of this name, which must be running.
fn find(root: &RuntimeRoot, name: &str) -> Result<Client, Error> {
    let name: Name = name.parse()?;
    match root.liveness(&name) {
        None => Err(Error::NoSuchVm(name)),
        Some(Liveness::Dead) => Err(Error::VmDead(name)),
        Some(Liveness::Running { .. }) => Ok(Client::new(root.control_socket(&name))),
    }
}

fn row(word: &str, text: impl std::fmt::Display) {
    output::line(format_args!("  {word:<11} {text}"));
}

fn seconds(microseconds: u64) -> String {
    format!("{:.1} s", microseconds as f64 / 1e6)
}
