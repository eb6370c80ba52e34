//! The machine's face of the rig: process 1 of the initramfs. It mounts what Linux programs expect,
//! loads the plan's modules, runs its jobs one after the other, tells the host, and powers off.
//! Running one job is in [`job`], the line to the host in [`port`]; [`doubled`] tells an emulator's fault from
//! a job's.

mod doubled;
mod job;
mod port;

use std::ffi::CStr;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, finit_module, reboot};

use crate::protocol::{Ending, Event, Job, PLAN_PATH, Plan};
use port::Port;

const SEARCH_PATH: &str = "/bin:/sbin:/usr/bin:/usr/sbin";

/// Does what the plan says. When it returns, the kernel panics and the machine ends: so that is
/// what happens if even powering off fails.
pub(crate) fn main() -> ExitCode {
    let complaints = [mount_all(), install_busybox()];
    match Port::open(Path::new("/dev/ttyS1")) {
        Ok(port) => {
            let port = Arc::new(port);
            for complaint in complaints.into_iter().filter_map(Result::err) {
                port.say(&Event::Complaint(complaint));
            }
            follow_plan(&port);
            port.drain();
        }
        Err(error) => eprintln!("rig: no line to the host: {error}"),
    }
    rustix::fs::sync();
    let _ = reboot(RebootCommand::PowerOff);
    // Without ACPI the machine ends at its reset line.
    let _ = reboot(RebootCommand::Restart);
    ExitCode::FAILURE
}

fn follow_plan(port: &Arc<Port>) {
    let plan = match read_plan() {
        Ok(plan) => plan,
        Err(error) => {
            port.say(&Event::Complaint(format!("/{PLAN_PATH}: {error}")));
            return;
        }
    };
    for module in &plan.modules {
        if let Err(error) = load(module) {
            port.say(&Event::Complaint(format!("{module} does not load: {error}")));
        }
    }
    port.say(&Event::Ready {
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        kvm: Path::new("/dev/kvm").exists(),
    });
    let _heartbeat = port::Heartbeat::start(port);
    if plan.jobs.is_empty() {
        shell(port);
    }
    // Without tracing in the kernel nothing tells the emulator's faults from the job's own.
    let watch = doubled::Watch::start().ok();
    for (index, job) in plan.jobs.iter().enumerate() {
        port.say(&Event::Started(index));
        let ending = run(index, job, watch.as_ref(), port);
        port.say(&Event::Ended(index, ending));
    }
    port.say(&Event::Finished);
}

/// Runs a job; once more if it fails and the emulator has delivered an interrupt twice meanwhile.
fn run(index: usize, job: &Job, watch: Option<&doubled::Watch>, port: &Arc<Port>) -> Ending {
    if let Some(watch) = watch {
        watch.forget();
    }
    let ending = job::run(index, job, port);
    let failed = ending != Ending::Exit(0) && job.repeatable;
    match watch.filter(|_| failed).and_then(doubled::Watch::evidence) {
        Some(evidence) => {
            port.say(&Event::Failed(index, evidence));
            job::run(index, job, port)
        }
        None => ending,
    }
}

fn read_plan() -> io::Result<Plan> {
    let text = fs::read(Path::new("/").join(PLAN_PATH))?;
    serde_json::from_slice(&text).map_err(io::Error::other)
}

fn load(module: &str) -> io::Result<()> {
    match finit_module(File::open(module)?, c"", 0) {
        // Built in, or loaded by another.
        Err(rustix::io::Errno::EXIST) => Ok(()),
        other => Ok(other?),
    }
}

fn mount_all() -> Result<(), String> {
    const MOUNTS: &[(&CStr, &str, Option<&CStr>)] = &[
        (c"devtmpfs", "/dev", None),
        (c"proc", "/proc", None),
        (c"sysfs", "/sys", None),
        (c"tmpfs", "/tmp", Some(c"mode=1777")),
        (c"tmpfs", "/run", Some(c"mode=0755")),
        (c"devpts", "/dev/pts", None),
        (c"tmpfs", "/dev/shm", Some(c"mode=1777")),
    ];
    for (kind, place, options) in MOUNTS {
        let done = fs::create_dir_all(place)
            .and_then(|()| Ok(mount(*kind, *place, *kind, MountFlags::empty(), *options)?));
        match done {
            // The kernel has mounted /dev itself.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error()) => {}
            Err(error) => return Err(format!("{place} cannot be mounted: {error}")),
            Ok(()) => {}
        }
    }
    Ok(())
}

fn install_busybox() -> Result<(), String> {
    let said = |error: String| format!("busybox cannot install its commands: {error}");
    let status = Command::new("/bin/busybox")
        .args(["--install", "-s", "/bin"])
        .status()
        .map_err(|error| said(error.to_string()))?;
    if status.success() { Ok(()) } else { Err(said(status.to_string())) }
}

/// A shell on the console, for a person.
fn shell(port: &Port) {
    let started = File::options().read(true).write(true).open("/dev/ttyS0").and_then(|console| {
        Command::new("/bin/busybox")
            .args(["setsid", "-c", "/bin/sh", "-l"])
            .env("PATH", SEARCH_PATH)
            .env("HOME", "/")
            .env("TERM", "linux")
            .env("PS1", "rig:\\w# ")
            .stdin(console.try_clone()?)
            .stdout(console.try_clone()?)
            .stderr(console)
            .status()
    });
    if let Err(error) = started {
        port.say(&Event::Complaint(format!("no shell: {error}")));
    }
}
