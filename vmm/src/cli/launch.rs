//! From a description to an ended guest: what `run` and `bench` have in common.
//!
//! Takes the name, makes the machine, opens its sockets, runs it, and takes everything back in
//! reverse order, whatever happens.

use super::Error;
use super::evidence::{self, EvidenceFile};
use super::exit::ExitCode;
use super::guest::{Listener, Reference, Summary};
use super::output::Progress;
use super::passed::{Passed, PassedGpu};
use super::signals::SignalWatch;
use crate::boot::image;
use crate::config::{Name, VmSpec};
use crate::console::Console;
use crate::control::administered;
use crate::control::api::VmInfo;
use crate::control::router::Subject;
use crate::control::server::ControlServer;
use crate::machine::peripherals::Peripherals;
use crate::machine::{self, Machine, SerialLine, SerialPorts};
use crate::memory::{Memory, Pages};
use crate::platform::conversions::{ConversionLog, Counts};
use crate::platform::snp::certificates::Certificates;
use crate::runtime::RuntimeRoot;
use crate::vcpu::Exit;
use crate::vm::{Guest, Vm, VmConfig};
use ravelin_devices::dma_gate::DmaGate;
use ravelin_devices::page_state::PAGE_SIZE;
use ravelin_devices::serial::LineSink;
use ravelin_report::MAX_LINE;
use ravelin_snp::ghcb::termination;
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a guest is started with.
pub(super) struct Launch<'a> {
    /// The machine.
    pub(super) spec: &'a VmSpec,
    /// What the operator sees as the workload.
    pub(super) workload: &'a str,
    /// What runs in it.
    pub(super) guest: Guest,
    /// What an SNP guest may ask for with a report.
    pub(super) certificates: Arc<Certificates>,
    /// What its results must be.
    pub(super) reference: Option<Reference>,
    /// Where to save what the GPUs present.
    pub(super) evidence: Option<EvidenceFile>,
    /// When the process began.
    pub(super) started: Instant,
}

/// How a guest ended.
pub(super) struct Outcome {
    /// What it has reported.
    pub(super) summary: Summary,
    /// Its devices of the host's, by place.
    pub(super) passed: BTreeMap<u32, PassedGpu>,
    /// Why it no longer runs.
    pub(super) exit: Exit,
    /// Whether it was Linux, which need not report its end.
    pub(super) linux: bool,
    /// What Linux asked of its pages, on a platform that has private ones.
    pub(super) conversions: Option<Conversions>,
    /// Linux's virtio devices.
    pub(super) devices: Option<Vec<DeviceReport>>,
    /// The signal that ended it, as an exit code.
    pub(super) signal: Option<ExitCode>,
    /// The launch digest, where the platform measures.
    pub(super) measurement: Option<[u8; 48]>,
    /// Where the GPUs' evidence is, if it was to be saved.
    pub(super) evidence: Option<Result<PathBuf, evidence::Error>>,
    /// From the process's start to the guest's first instruction.
    pub(super) boot: Option<Duration>,
    /// From the process's start to the guest's report that it is ready.
    pub(super) ready: Option<Duration>,
}

/// A Linux guest's conversions, and the page-state map at its end.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Conversions {
    #[serde(flatten)]
    counts: Counts,
    /// Pages of guest memory that are shared by the page-state map.
    shared_pages: u64,
    /// Whether the log of conversions, replayed, gives that map; null where it is not whole.
    log_matches_map: Option<bool>,
}

/// A virtio device at its guest's end.
#[derive(Clone, Debug, Serialize)]
pub(super) struct DeviceReport {
    /// "disk0", "net0", "vsock", "console", "rng".
    name: String,
    /// Accesses to guest memory that its DMA gate refused.
    dma_refused: u64,
}

impl Launch<'_> {
    /// Runs the guest until it ends.
    ///
    /// # Errors
    /// It could not be started. Nothing is left behind.
    pub(super) fn run(self) -> Result<Outcome, Error> {
        let progress = Progress::new();
        // An image's guest may be Linux, and is treated as such.
        let linux = !matches!(self.guest, Guest::Builtin(_));
        let name = self.spec.name.clone().unwrap_or_else(Name::of_this_process);
        let directory = RuntimeRoot::from_environment().take(&name)?;
        let log = Arc::new(directory.event_log()?);
        let gpus = self.spec.gpus.len();
        let listener = Listener::new(gpus, self.reference, progress, Some(log.clone()))
            .with_evidence(self.evidence);
        let listener = Arc::new(Mutex::new(listener));
        let console = Console::new(&self.spec.serial)
            .map_err(|error| Error::Serial(self.spec.serial.clone(), error))?;
        let report = {
            let listener = listener.clone();
            LineSink::new(MAX_LINE, move |line| {
                listener.lock().unwrap_or_else(PoisonError::into_inner).line(line);
            })
        };
        let line = console.line().map_err(|error| Error::System("the console", error))?;
        let report =
            SerialLine::new(report).map_err(|error| Error::System("the report port", error))?;
        let ports = SerialPorts { console: line, report };
        let config = VmConfig {
            platform: self.spec.platform,
            memory: self.spec.memory.0,
            pages: if self.spec.hugepages { Pages::Huge } else { Pages::Any },
            cpus: self.spec.cpus,
            guest: self.guest,
            certificates: self.certificates,
        };
        let spec = self.spec;
        let open =
            || Peripherals::open(&spec.disks, &spec.nets, spec.vsock.as_ref(), directory.path());
        let peripherals =
            if linux { open().map_err(machine::Error::from)? } else { Peripherals::none() };
        let machine = Machine::new(config, &spec.gpus, peripherals, ports)?;
        let subject = Subject {
            vm: describe(&name, self.spec, self.workload),
            since: Instant::now(),
            gpus: machine.gpus().iter().map(administered::of).collect(),
            log: Some(log.clone()),
        };
        let signals = SignalWatch::start(machine.stopper())
            .map_err(|error| Error::System("a signal handler", error))?;
        let _control = ControlServer::start(&directory.control_socket(), Arc::new(subject))
            .map_err(|error| Error::System("the control socket", error))?;
        let _serial = console
            .listen(&directory.serial_socket())
            .map_err(|error| Error::System("the serial socket", error))?;
        progress.say("vm", format_args!("{name}: platform {}", self.spec.platform));
        log.append(&serde_json::json!({ "event": "started", "name": name }));
        let passed = Passed::of(machine.gpus(), &log);
        let first_instruction = machine.first_instruction();
        let pages = linux.then(|| PagesAtTheEnd::of(machine.vm()));
        let gates = linux.then(|| machine.gates().to_vec());
        let measurement = machine.vm().measurement();
        let exit = machine.run()?;
        log.append(&serde_json::json!({ "event": "ended" }));
        let mut listener = listener.lock().unwrap_or_else(PoisonError::into_inner);
        let summary = listener.summary().clone();
        let evidence = listener.take_evidence().map(EvidenceFile::finish);
        let since = |moment: Instant| moment.duration_since(self.started);
        let boot = first_instruction.get().copied().map(since);
        let ready = summary.ready.map(since);
        let conversions = pages.and_then(|pages| pages.look());
        let devices = gates.map(|gates| gates.iter().map(|gate| DeviceReport::of(gate)).collect());
        let signal = signals.exit_code();
        let passed = passed.look();
        Ok(Outcome {
            summary,
            passed,
            exit,
            linux,
            conversions,
            devices,
            signal,
            measurement,
            evidence,
            boot,
            ready,
        })
    }
}

impl DeviceReport {
    fn of(gate: &DmaGate) -> Self {
        Self { name: gate.device().into(), dma_refused: gate.refusals() }
    }
}

impl Outcome {
    /// The exit code and `result` of a guest that should have reported success; and for a person, a
    /// line about what went wrong.
    pub(super) fn judge(&self) -> Judgement {
        let failed = |exit: ExitCode, result: &str, line: String| Judgement {
            exit,
            result: result.into(),
            line: Some(line),
        };
        if let Some(signal) = self.signal {
            return Judgement { exit: signal, result: signal.name().into(), line: None };
        }
        match &self.summary.finish {
            // Linux has no need to report: powering off is what a guest does that is done.
            None if self.linux && self.exit == Exit::PowerOff => {
                Judgement { exit: ExitCode::Ok, result: "ok".into(), line: None }
            }
            None if self.linux && self.exit == Exit::Reset => failed(
                ExitCode::GuestReset,
                ExitCode::GuestReset.name(),
                "the guest asked for a reset; after a panic the console says why".into(),
            ),
            None => failed(
                ExitCode::GuestDied,
                ExitCode::GuestDied.name(),
                format!(
                    "the guest ended without a report of its end ({})",
                    describe_exit(self.exit)
                ),
            ),
            Some(finish) if finish.result != "ok" => failed(
                ExitCode::GuestFailed,
                &finish.result,
                format!("the guest failed with {}: {}", finish.result, finish.message),
            ),
            Some(_) if self.summary.wrong_rounds > 0 => failed(
                ExitCode::WrongResult,
                ExitCode::WrongResult.name(),
                format!(
                    "{} of {} rounds did not give the plain computation's result",
                    self.summary.wrong_rounds, self.summary.rounds
                ),
            ),
            Some(_) => Judgement { exit: ExitCode::Ok, result: "ok".into(), line: None },
        }
    }
}

/// What to make of a run.
pub(super) struct Judgement {
    /// The process's exit code.
    pub(super) exit: ExitCode,
    /// `result` in JSON.
    pub(super) result: String,
    /// What went wrong and what to do, for a person.
    pub(super) line: Option<String>,
}

/// Holds on to what shows a guest's pages when the guest itself is gone.
struct PagesAtTheEnd {
    memory: Arc<Memory>,
    log: Arc<ConversionLog>,
    ranges: Vec<Range<u64>>,
}

impl PagesAtTheEnd {
    fn of(vm: &Vm) -> Self {
        let (memory, log) = (vm.memory().clone(), vm.conversions().clone());
        Self { memory, log, ranges: vm.layout().memory.clone() }
    }

    /// `None` where the platform keeps nothing private.
    fn look(self) -> Option<Conversions> {
        if !self.memory.is_split() {
            return None;
        }
        // Windows of devices are shared for good and no memory of the guest's.
        let of_the_guest = |range: &Range<u64>| {
            self.ranges.iter().any(|memory| memory.start <= range.start && range.end <= memory.end)
        };
        let mut shared = self.memory.pages().shared_ranges();
        shared.retain(of_the_guest);
        Some(Conversions {
            counts: self.log.counts(),
            shared_pages: shared.iter().map(|range| (range.end - range.start) / PAGE_SIZE).sum(),
            log_matches_map: self.log.replay(&self.ranges).map(|replayed| replayed == shared),
        })
    }
}

/// The built-in guest's image, or another one, which stays for the life of the process as the
/// built-in one does.
pub(super) fn read_image(path: Option<&Path>) -> Result<&'static [u8], Error> {
    let Some(path) = path else { return Ok(image::BUILTIN) };
    let bytes = std::fs::read(path).map_err(|error| Error::GuestImage(path.into(), error))?;
    Ok(Box::leak(bytes.into_boxed_slice()))
}

fn describe(name: &Name, spec: &VmSpec, workload: &str) -> VmInfo {
    VmInfo {
        name: name.to_string(),
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").into(),
        platform: spec.platform.to_string(),
        memory: spec.memory.0,
        workload: workload.into(),
        uptime_us: 0,
        gpus: spec.gpus.len(),
    }
}

/// How a guest ended, as a stable word.
pub(super) fn name_exit(exit: Exit) -> String {
    match exit {
        Exit::PowerOff => "power-off".into(),
        Exit::Reset => "reset".into(),
        Exit::TripleFault => "triple-fault".into(),
        Exit::Terminated { set, reason } => match termination::find(set, reason) {
            Some(reason) => format!("terminated-{}", reason.name),
            None => format!("terminated-{set}-{reason}"),
        },
        Exit::Failed { .. } => "kvm-failed".into(),
        Exit::Panicked => "vmm-panicked".into(),
        Exit::Stopped => "stopped".into(),
    }
}

fn describe_exit(exit: Exit) -> String {
    match exit {
        Exit::PowerOff => "it powered off".into(),
        Exit::Reset => "it asked for a reset".into(),
        Exit::TripleFault => "triple fault; the console may say more".into(),
        Exit::Terminated { set, reason } => {
            let meaning = termination::find(set, reason).map_or("unknown", |reason| reason.meaning);
            format!("it gave up, GHCB reason {set}:{reason}: {meaning}")
        }
        Exit::Failed { reason, detail, rip } => {
            format!("KVM cannot carry on: exit {reason}, detail {detail:#x}, rip {rip:#x}")
        }
        Exit::Panicked => "a device panicked, which is a bug in ravelin: please report it".into(),
        Exit::Stopped => "it was stopped".into(),
    }
}
