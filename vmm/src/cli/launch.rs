//! From a description to an ended guest: what `run` and `bench` have in common.
//!
//! Takes the name, makes the machine, opens its sockets, runs it, and takes everything back in
//! reverse order, whatever happens.

use super::Error;
use super::evidence::{self, EvidenceFile};
use super::exit::ExitCode;
use super::guest::{Listener, Reference, Summary};
use super::output::Progress;
use super::signals::SignalWatch;
use crate::boot::image;
use crate::config::{Name, VmSpec};
use crate::console::Console;
use crate::control::api::VmInfo;
use crate::control::router::Subject;
use crate::control::server::ControlServer;
use crate::machine::{Machine, SerialPorts};
use crate::runtime::RuntimeRoot;
use crate::vcpu::Exit;
use crate::vm::VmConfig;
use ravelin_devices::serial::{LineSink, SerialPort};
use ravelin_report::MAX_LINE;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a guest is started with.
pub(super) struct Launch<'a> {
    /// The machine.
    pub(super) spec: &'a VmSpec,
    /// What the operator sees as the workload.
    pub(super) workload: &'a str,
    /// What the guest's command line ends with.
    pub(super) parameters: String,
    /// The workload's data.
    pub(super) payload: Vec<u8>,
    /// What its results must be.
    pub(super) reference: Option<Reference>,
    /// Where to save what the GPUs present.
    pub(super) evidence: Option<EvidenceFile>,
    /// Another image than the built-in one.
    pub(super) image: Option<&'a Path>,
    /// When the process began.
    pub(super) started: Instant,
}

/// How a guest ended.
pub(super) struct Outcome {
    /// What it has reported.
    pub(super) summary: Summary,
    /// Why it no longer runs.
    pub(super) exit: Exit,
    /// The signal that ended it, as an exit code.
    pub(super) signal: Option<ExitCode>,
    /// Where the GPUs' evidence is, if it was to be saved.
    pub(super) evidence: Option<Result<PathBuf, evidence::Error>>,
    /// From the process's start to the guest's first instruction.
    pub(super) boot: Option<Duration>,
}

impl Launch<'_> {
    /// Runs the guest until it ends.
    ///
    /// # Errors
    /// It could not be started. Nothing is left behind.
    pub(super) fn run(self) -> Result<Outcome, Error> {
        let progress = Progress::new();
        let image = self.image.map(read_image).transpose()?.unwrap_or(image::BUILTIN);
        let name = self.spec.name.clone().unwrap_or_else(Name::of_this_process);
        let directory = RuntimeRoot::from_environment().take(&name)?;
        let log = Arc::new(directory.event_log()?);
        let gpus = self.spec.gpus.len();
        let listener = Listener::new(gpus, self.reference, progress, Some(log.clone()))
            .with_evidence(self.evidence);
        let listener = Arc::new(Mutex::new(listener));
        let console = Console::new();
        let report = {
            let listener = listener.clone();
            LineSink::new(MAX_LINE, move |line| {
                listener.lock().unwrap_or_else(PoisonError::into_inner).line(line);
            })
        };
        let ports =
            SerialPorts { console: console.port(), report: Arc::new(SerialPort::new(report)) };
        let config = VmConfig {
            platform: self.spec.platform,
            memory: self.spec.memory.0,
            cpus: 1,
            image,
            parameters: self.parameters,
            payload: self.payload,
        };
        let machine = Machine::new(config, &self.spec.gpus, ports)?;
        let subject = Subject {
            vm: describe(&name, self.spec, self.workload),
            since: Instant::now(),
            gpus: machine.gpus().to_vec(),
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
        let first_instruction = machine.first_instruction();
        let exit = machine.run()?;
        log.append(&serde_json::json!({ "event": "ended" }));
        let mut listener = listener.lock().unwrap_or_else(PoisonError::into_inner);
        let summary = listener.summary().clone();
        let evidence = listener.take_evidence().map(EvidenceFile::finish);
        let boot = first_instruction.get().map(|first| first.duration_since(self.started));
        Ok(Outcome { summary, exit, signal: signals.exit_code(), evidence, boot })
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

/// The image stays for the life of the process, as the built-in one does.
fn read_image(path: &Path) -> Result<&'static [u8], Error> {
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

fn describe_exit(exit: Exit) -> String {
    match exit {
        Exit::PowerOff => "it powered off".into(),
        Exit::Reset => "it asked for a reset".into(),
        Exit::TripleFault => "triple fault; the console may say more".into(),
        Exit::Terminated { set, reason } => format!("it gave up, GHCB reason {set}:{reason}"),
        Exit::Failed { reason, detail, rip } => {
            format!("KVM cannot carry on: exit {reason}, detail {detail:#x}, rip {rip:#x}")
        }
        Exit::Panicked => "a device panicked, which is a bug in ravelin: please report it".into(),
        Exit::Stopped => "it was stopped".into(),
    }
}
