//! `ravelin bench conversions`: what it costs to convert guest memory, alone and with a device whose
//! mappings follow, and how long a VM's memory takes to set up.
//!
//! No guest runs and no KVM is needed: this is the VMM's and the kernel's part of a conversion, from
//! the page-state map's call to its return. Each page is converted for the first time, so that the
//! kernel's finding a page for it is part of what is measured, as it is in a guest's life.

use crate::cli::exit::ExitCode;
use crate::cli::{ConversionsArgs, Error, output};
use crate::config::{self, GpuSpec, Size, VfioSpec};
use crate::layout::Layout;
use crate::machine;
use crate::memory::{Memory, Pages};
use crate::vm;
use ravelin_devices::page_state::PageState;
use ravelin_devices::vfio::attach::{Attached, attach};
use ravelin_devices::vfio::dma::DmaMappings;
use ravelin_devices::vfio::sysfs::Sysfs;
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Sizes that are converted: a page, and a large page.
const SIZES: [Size; 2] = [Size::kib(4), Size::mib(2)];
/// Conversions of a size, each way.
const ROUNDS: u64 = 128;
/// Ranges are so far apart, so that none grows into the next.
const STRIDE: u64 = 4 << 20;
/// Guest-physical addresses end here: 46 bits, as many hosts have.
const ADDRESS_LIMIT: u64 = 1 << 46;
/// Guest memory whose setting up is timed.
const MEMORIES: [Size; 4] = [Size::mib(256), Size::gib(1), Size::gib(4), Size::gib(16)];

/// The object of `--json`.
#[derive(Default, Serialize)]
struct Report {
    schema: &'static str,
    /// The device, null without one.
    device: Option<String>,
    /// How it is attached: "cdev" or "group".
    interface: Option<String>,
    conversions: Vec<Cost>,
    start: Vec<Start>,
    result: String,
}

/// Means, in microseconds.
#[derive(Serialize)]
struct Cost {
    bytes: u64,
    with_device: bool,
    to_shared_us: f64,
    to_private_us: f64,
}

/// Setting up guest memory that is all private, a device's mappings included.
#[derive(Serialize)]
struct Start {
    memory: u64,
    with_device: bool,
    us: f64,
}

/// Runs the command.
pub(in crate::cli) fn run(arguments: &ConversionsArgs) -> ExitCode {
    let mut report = Report { schema: "ravelin.bench.conversions/1", ..Report::default() };
    let exit = match measure(arguments.gpu.as_deref(), &mut report) {
        Ok(()) => ExitCode::Ok,
        Err(error) => {
            output::failure(&error);
            error.exit_code()
        }
    };
    report.result = exit.name().into();
    match arguments.json {
        true => output::json(&report),
        false if exit == ExitCode::Ok => summarize(&report),
        false => {}
    }
    exit
}

fn measure(gpu: Option<&str>, report: &mut Report) -> Result<(), Error> {
    without_or_with(None, report)?;
    let Some(text) = gpu else { return Ok(()) };
    let GpuSpec::Vfio(VfioSpec { device, .. }) = text.parse()? else {
        let problem =
            "conversions cost nothing more with a GPU that is no device of the host's".into();
        return Err(config::Error::Gpu { text: text.into(), problem }.into());
    };
    let attached = attach(device.0, &Sysfs::default())
        .map_err(|error| machine::Error::Gpu(0, error.into()))?;
    report.device = Some(attached.hardware.bdf().into());
    report.interface = Some(attached.interface.to_string());
    without_or_with(Some(&attached), report)
}

fn without_or_with(attached: Option<&Attached>, report: &mut Report) -> Result<(), Error> {
    let with_device = attached.is_some();
    for size in SIZES {
        let memory = memory(ROUNDS * STRIDE, attached)?;
        let mean = |to| {
            let begin = Instant::now();
            for round in 0..ROUNDS {
                memory.pages().convert(round * STRIDE, size.0, to)?;
            }
            Ok::<_, Error>(micros(begin.elapsed()) / ROUNDS as f64)
        };
        let (to_shared_us, to_private_us) = (mean(PageState::Shared)?, mean(PageState::Private)?);
        report.conversions.push(Cost { bytes: size.0, with_device, to_shared_us, to_private_us });
    }
    for size in MEMORIES {
        let begin = Instant::now();
        let _memory = memory(size.0, attached)?;
        report.start.push(Start { memory: size.0, with_device, us: micros(begin.elapsed()) });
    }
    Ok(())
}

/// Guest memory, all private; a device follows what becomes of it.
fn memory(size: u64, attached: Option<&Attached>) -> Result<Memory, Error> {
    let failed = |error: vm::Error| Error::Machine(error.into());
    let layout = Layout::new(size, ADDRESS_LIMIT).map_err(|error| failed(error.into()))?;
    let memory = Memory::new(&layout.memory, true, Pages::Any);
    let memory = memory.map_err(|error| failed(error.into()))?;
    if let Some(attached) = attached {
        let mappings = DmaMappings::new(attached.iommu.clone(), memory.shared().clone());
        memory.pages().subscribe(Arc::new(mappings))?;
    }
    Ok(memory)
}

fn micros(time: Duration) -> f64 {
    (time.as_nanos() as f64 / 100.0).round() / 10.0
}

fn summarize(report: &Report) {
    let which = |with_device| if with_device { "with the device" } else { "no device" };
    output::line(output::heading("a conversion, mean in microseconds"));
    output::line(format_args!(
        "{:<10} {:<16} {:>12} {:>12}",
        "size", "", "to shared", "to private"
    ));
    for Cost { bytes, with_device, to_shared_us, to_private_us } in &report.conversions {
        output::line(format_args!(
            "{:<10} {:<16} {to_shared_us:>12.1} {to_private_us:>12.1}",
            Size(*bytes).to_string(),
            which(*with_device)
        ));
    }
    output::line(output::heading("setting up private guest memory, in microseconds"));
    for Start { memory, with_device, us } in &report.start {
        let memory = Size(*memory).to_string();
        output::line(format_args!("{memory:<10} {:<16} {us:>12.1}", which(*with_device)));
    }
}
