//! `ravelin run`: a guest, its workload, and whether the result is the plain computation's.

mod report;
mod summary;

use super::evidence::EvidenceFile;
use super::evidence::bound::PolicyDigest;
use super::exit::ExitCode;
use super::guest::{Expected, Reference};
use super::launch::{Judgement, Launch, Outcome, read_image};
use super::output::{self, Progress};
use super::{Error, RunArgs, images};
use crate::boot::linux::{self, Linux};
use crate::config::{self, GpuSpec, OnReset, Size, VmSpec, Workload};
use crate::layout;
use crate::platform::Platform;
use crate::platform::snp::certificates::Certificates;
use crate::vcpu::Exit;
use crate::vm::{Builtin, Guest};
use ravelin_digits::{EMBEDDED, Payload, reference};
use report::{RunReport, hex};
use std::sync::Arc;
use std::time::Instant;

/// What a workload is given, and what it must give.
struct Work {
    payload: Vec<u8>,
    reference: Option<Reference>,
}

/// Runs the command. A guest whose memory was launched cannot be reset where it stands: everything is
/// read, made and launched anew.
pub(super) fn run(arguments: &RunArgs, started: Instant) -> ExitCode {
    loop {
        if let Some(exit) = once(arguments, started) {
            return exit;
        }
        Progress::new().say("reset", format_args!("the guest is launched anew"));
    }
}

/// Runs a guest until it ends; `None` where it has asked for a reset and shall get it.
fn once(arguments: &RunArgs, started: Instant) -> Option<ExitCode> {
    let prepared = spec(arguments).and_then(|spec| {
        if arguments.print_config {
            return Ok(Err(spec));
        }
        let work = work(&spec)?;
        let guest = guest(&spec, arguments, work.payload)?;
        Ok(Ok((spec, guest, work.reference)))
    });
    let (spec, guest, reference) = match prepared {
        Ok(Ok(prepared)) => prepared,
        Ok(Err(spec)) => return Some(print_config(&spec)),
        Err(error) => return Some(refuse(&error, arguments.json, None)),
    };
    if spec.platform == Platform::None {
        Progress::new().warn("platform none: nothing protects the guest from this host");
    }
    let directory = arguments.save_evidence.as_deref();
    let reports = spec.platform.signs_reports() && matches!(guest, Guest::Builtin(_));
    let evidence = directory.map(|path| EvidenceFile::new(path, spec.gpus.len(), reports));
    let evidence = evidence.transpose();
    let evidence = match evidence {
        Ok(evidence) => evidence,
        Err(error) => return Some(refuse(&error.into(), arguments.json, Some(&spec))),
    };
    let certificates = spec.certificates.as_deref().map(Certificates::in_directory).transpose();
    let certificates = match certificates {
        Ok(certificates) => Arc::new(certificates.unwrap_or_default()),
        Err(error) => return Some(refuse(&error.into(), arguments.json, Some(&spec))),
    };
    let launch = Launch {
        spec: &spec,
        certificates,
        workload: &match spec.kernel {
            Some(_) => "linux".into(),
            None => spec.workload.to_string(),
        },
        guest,
        evidence,
        reference: reference.clone(),
        started,
    };
    let outcome = match launch.run() {
        Ok(outcome) => outcome,
        Err(error) => return Some(refuse(&error, arguments.json, Some(&spec))),
    };
    if spec.on_reset == OnReset::Relaunch && outcome.exit == Exit::Reset && outcome.signal.is_none()
    {
        return None;
    }
    let judgement = with_evidence(judge(&spec, &outcome), &outcome);
    let report = RunReport::of(&spec, &outcome, reference.as_ref(), judgement.result);
    if let Some(line) = &judgement.line {
        output::problem(line);
    }
    match arguments.json {
        true => output::json(&report),
        false => summary::summarize(&spec, &outcome, &report),
    }
    Some(judgement.exit)
}

/// The VM that the arguments describe, every rule checked that needs no machine.
fn spec(arguments: &RunArgs) -> Result<VmSpec, Error> {
    let mut spec = match &arguments.config {
        Some(path) => {
            let text = std::fs::read_to_string(path);
            VmSpec::from_toml(&text.map_err(|error| Error::File(path.clone(), error))?)?
        }
        None => VmSpec::default(),
    };
    if let Some(platform) = &arguments.platform {
        spec.platform = platform.parse()?;
    }
    if let Some(memory) = &arguments.memory {
        let (size, pages) = memory.split_once(',').unwrap_or((memory, ""));
        spec.memory = Size::parse("memory", size)?;
        spec.hugepages = match pages {
            "" => spec.hugepages,
            "hugepages=on" => true,
            "hugepages=off" => false,
            _ => return Err(config::Error::Memory(memory.clone()).into()),
        };
    }
    if let Some(cpus) = &arguments.cpus {
        spec.cpus = cpus.parse().map_err(|_| config::Error::Cpus(cpus.clone()))?;
    }
    if let Some(serial) = &arguments.serial {
        spec.serial = serial.parse()?;
    }
    match arguments.gpu.as_slice() {
        [] => {}
        [none] if none == "none" => spec.gpus.clear(),
        gpus => {
            let gpus: Result<Vec<GpuSpec>, _> = gpus.iter().map(|gpu| gpu.parse()).collect();
            spec.gpus = gpus?;
        }
    }
    if !arguments.disk.is_empty() {
        spec.disks = arguments.disk.iter().map(|disk| disk.parse()).collect::<Result<_, _>>()?;
    }
    if !arguments.net.is_empty() {
        spec.nets = arguments.net.iter().map(|net| net.parse()).collect::<Result<_, _>>()?;
    }
    if let Some(vsock) = &arguments.vsock {
        spec.vsock = Some(vsock.parse()?);
    }
    spec.igvm = arguments.igvm.clone().or(spec.igvm);
    spec.kernel = arguments.kernel.clone().or(spec.kernel);
    spec.initrd = arguments.initrd.clone().or(spec.initrd);
    spec.cmdline = arguments.cmdline.clone().or(spec.cmdline);
    if let Some(name) = &arguments.name {
        spec.name = Some(name.parse()?);
    }
    if let Some(repeat) = &arguments.repeat {
        spec.repeat = repeat.parse()?;
    }
    spec.on_reset = arguments.on_reset.unwrap_or(spec.on_reset);
    spec.certificates = arguments.certificates.clone().or(spec.certificates);
    spec.workload = arguments.workload.unwrap_or(spec.workload);
    spec.images = arguments.images.clone().or(spec.images);
    spec.check()?;
    if arguments.json && spec.serial == config::SerialSpec::Stdio {
        return Err(Error::StandardOutputTaken);
    }
    Ok(spec)
}

/// What runs in the VM, its files looked at.
fn guest(spec: &VmSpec, arguments: &RunArgs, payload: Vec<u8>) -> Result<Guest, Error> {
    if let Some(path) = &spec.igvm {
        let bytes = std::fs::read(path).map_err(|error| Error::File(path.clone(), error))?;
        let image = ravelin_launch::igvm::read(&bytes);
        let image = image.map_err(|error| Error::Igvm(path.clone(), error))?;
        return Ok(Guest::Image(Box::new(image)));
    }
    let Some(kernel) = &spec.kernel else {
        let image = read_image(arguments.guest_image.as_deref())?;
        let parameters = parameters(spec, arguments);
        let hints = hints(arguments)?;
        let host_data = arguments.host_data.unwrap_or_default().0;
        return Ok(Guest::Builtin(Builtin { image, parameters, hints, host_data, payload }));
    };
    let command_line = spec.cmdline.as_deref().unwrap_or(linux::DEFAULT_COMMAND_LINE);
    let linux = Linux::open(kernel, spec.initrd.as_deref(), command_line)?;
    // Once more when it is loaded; here the user hears of it without a machine.
    linux.place(layout::low_memory(spec.memory.0))?;
    Ok(Guest::Linux(Box::new(linux)))
}

/// Writes the VM as a file that `--config` takes.
fn print_config(spec: &VmSpec) -> ExitCode {
    match toml::to_string(spec) {
        Ok(text) => {
            output::line(text.trim_end());
            ExitCode::Ok
        }
        Err(error) => {
            output::failure(&error);
            ExitCode::Internal
        }
    }
}

/// The payload of the workload, and what computes its results in plain loops.
fn work(spec: &VmSpec) -> Result<Work, Error> {
    if spec.workload != Workload::Digits || spec.gpus.is_empty() {
        return Ok(Work { payload: Vec::new(), reference: None });
    }
    let bytes = match &spec.images {
        Some(path) => Payload::with_images(&images::read(path)?)?,
        None => EMBEDDED.to_vec(),
    };
    let payload = Payload::parse(&bytes)?;
    let reference = Reference::of(move || {
        let outputs = reference::forward(payload.network(), payload.images());
        Expected {
            predictions: reference::predictions(&outputs),
            outputs_sha384: hex(&reference::outputs_sha384(&outputs)),
            labels: payload.labels().map(<[u32]>::to_vec),
        }
    });
    Ok(Work { payload: bytes, reference: Some(reference) })
}

/// What the guest's command line ends with.
fn parameters(spec: &VmSpec, arguments: &RunArgs) -> String {
    let mut words = format!("workload={} repeat={}", spec.workload, spec.repeat);
    if arguments.save_evidence.is_some() {
        words += " evidence=report";
    }
    words
}

/// What the guest is told that may differ at each start.
fn hints(arguments: &RunArgs) -> Result<String, Error> {
    let nonce = arguments.nonce.as_ref().map(|nonce| format!("nonce={nonce} "));
    let policy = arguments.policy.as_deref().map(PolicyDigest::of_file).transpose()?;
    let policy = policy.map(|digest| format!("policy={digest}"));
    Ok(nonce.unwrap_or_default() + &policy.unwrap_or_default())
}

/// A run whose evidence was to be saved is no success without it. Any other end says more.
fn with_evidence(judgement: Judgement, outcome: &Outcome) -> Judgement {
    match &outcome.evidence {
        Some(Err(error)) if judgement.exit == ExitCode::Ok => Judgement {
            exit: ExitCode::Evidence,
            result: ExitCode::Evidence.name().into(),
            line: Some(output::in_one_line(error)),
        },
        Some(Err(error)) => {
            output::failure(error);
            judgement
        }
        _ => judgement,
    }
}

/// A guest that claims success must have shown a result of every GPU.
fn judge(spec: &VmSpec, outcome: &Outcome) -> Judgement {
    let judgement = outcome.judge();
    let shows_digits =
        spec.workload == Workload::Digits && spec.kernel.is_none() && spec.igvm.is_none();
    if judgement.exit != ExitCode::Ok || !shows_digits {
        return judgement;
    }
    let gpus = &outcome.summary.gpus;
    let idle = |place: &u32| gpus.get(place).is_none_or(|gpu| gpu.rounds == 0);
    match (0..).take(spec.gpus.len()).find(idle) {
        None => judgement,
        Some(place) => Judgement {
            exit: ExitCode::WrongResult,
            result: ExitCode::WrongResult.name().into(),
            line: Some(format!("the guest reports success and no result of GPU {place}")),
        },
    }
}

/// An error before there was a guest: one line, and with `--json` the object all the same.
fn refuse(error: &Error, json: bool, spec: Option<&VmSpec>) -> ExitCode {
    output::failure(error);
    let exit = error.exit_code();
    if json {
        output::json(&RunReport::refused(&spec.cloned().unwrap_or_default(), exit));
    }
    exit
}
