//! The agent as process 1 of an initramfs: mounts what programs expect, does what the kernel's
//! command line asks, tells the launcher how it ended, and powers the guest off.
//!
//! The words on the command line begin with `ravelin.`; [`Plan`] says which there are. What they ask
//! is chosen by the host, as on the built-in guest: the verdict on the GPUs is not theirs to change,
//! but for `ravelin.platform=none`, with which the guest knows that nothing is protected.

use std::fs;
use std::path::Path;
use std::process::Command;

use ravelin_report::Event;
use ravelin_workload::parameters::{self, Parameters};
use ravelin_workload::task::{Repeat, in_words};
use rustix::fs::sync;
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, reboot};

use crate::account::Account;
use crate::machine::Machine;
use crate::report::{self, Report};
use crate::work::{self, Task, Terms};

/// Bytes of a bench that the command line does not size.
pub const BENCH_SIZE: u64 = 64 << 20;
/// Shells that an image may have, and how each is called.
const SHELLS: [(&str, &[&str]); 3] =
    [("/bin/bash", &[]), ("/bin/sh", &[]), ("/bin/busybox", &["sh"])];

/// What the kernel's command line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// `ravelin.run=digits|attest|idle|bench`; without it there is nothing to do but the shell.
    pub task: Option<Task>,
    /// `ravelin.chunk=`, `ravelin.nonce=`, `ravelin.evidence=report`, `ravelin.platform=none`.
    pub terms: Terms,
    /// `ravelin.shell`: a shell after the work. Also where there is no work.
    pub shell: bool,
}

/// Why the command line cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A value makes no sense.
    #[error(transparent)]
    Parameter(#[from] parameters::Error),
    /// No work is called so.
    #[error("ravelin.run={0} on the command line: choose digits, attest, idle or bench")]
    UnknownTask(String),
}

impl Plan {
    /// Reads the kernel's command line.
    ///
    /// # Errors
    /// A word with `ravelin.` has a value that makes no sense.
    pub fn parse(command_line: &str) -> Result<Self, Error> {
        let words = Parameters::new(command_line);
        let repeat = match words.get("ravelin.repeat") {
            Some("forever") => Repeat::Forever,
            _ => Repeat::Times(words.number("ravelin.repeat")?.unwrap_or(1)),
        };
        let task = match words.get("ravelin.run") {
            None => None,
            Some("digits") => Some(Task::Digits(repeat)),
            Some("attest") => Some(Task::Attest),
            Some("idle") => Some(Task::Idle),
            Some("bench") => Some(Task::Bench(words.number("ravelin.size")?.unwrap_or(BENCH_SIZE))),
            Some(name) => return Err(Error::UnknownTask(name.into())),
        };
        // What is no u32 is no size of a record either; the driver says so.
        let chunk = words.number("ravelin.chunk")?;
        let terms = Terms {
            chunk: chunk.map(|chunk| u32::try_from(chunk).unwrap_or(u32::MAX)),
            nonce: words.bytes("ravelin.nonce")?,
            show_evidence: words.get("ravelin.evidence") == Some("report"),
            unprotected_allowed: words.get("ravelin.platform") == Some("none"),
        };
        let shell = task.is_none()
            || command_line.split_ascii_whitespace().any(|word| word == "ravelin.shell");
        Ok(Self { task, terms, shell })
    }
}

/// Is process 1, from mounting to power-off. Returns only where the kernel does not power off.
pub fn run(machine: &impl Machine) {
    mount_all();
    let report = match Report::open(Path::new(report::PORT)) {
        Ok(report) => Some(report),
        Err(error) => {
            eprintln!("no report to the launcher: {}: {error}", report::PORT);
            None
        }
    };
    let account = Account::new(report, true);
    let command_line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    if serve(machine, &command_line, &account) {
        shell();
    }
    account.flush();
    sync();
    if let Err(error) = reboot(RebootCommand::PowerOff) {
        eprintln!("cannot power off: {error}");
    }
}

/// Does what the command line asks and reports on it, from the first event to the last. Returns
/// whether a shell is asked for.
pub fn serve(machine: &impl Machine, command_line: &str, account: &Account) -> bool {
    account.send(&Event::Ready { guest: "linux".into() });
    let finished = |result: &str, message| {
        account.send(&Event::Finished { result: result.into(), message });
        account.flush();
    };
    let failed = |code, error: &dyn std::error::Error| {
        let message = in_words(error);
        eprintln!("error: {message}");
        finished(code, message);
    };
    let plan = match Plan::parse(command_line) {
        Ok(plan) => plan,
        Err(error) => {
            failed("bad-parameter", &error);
            return false;
        }
    };
    match plan.task.map(|task| work::run(machine, task, plan.terms, account)) {
        None | Some(Ok(())) => finished("ok", String::new()),
        Some(Err(error)) => failed(error.code(), &error),
    }
    plan.shell
}

/// Mounts what is not there yet.
fn mount_all() {
    for (kind, place) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/tmp"),
        ("tmpfs", "/run"),
    ] {
        let mounted =
            fs::create_dir_all(place).map_err(|error| error.to_string()).and_then(
                |()| match mount(kind, place, kind, MountFlags::empty(), None) {
                    // The kernel has done it.
                    Ok(()) | Err(Errno::BUSY) => Ok(()),
                    Err(error) => Err(error.to_string()),
                },
            );
        if let Err(error) = mounted {
            eprintln!("cannot mount {place}: {error}");
        }
    }
}

/// A shell on the console, until it ends.
fn shell() {
    match SHELLS.into_iter().find(|(path, _)| Path::new(path).exists()) {
        Some((path, arguments)) => {
            eprintln!("{path}; the guest powers off when it ends");
            let status = Command::new(path)
                .args(arguments)
                .env("PATH", "/bin:/sbin:/usr/bin:/usr/sbin")
                .status();
            if let Err(error) = status {
                eprintln!("cannot start {path}: {error}");
            }
        }
        None => eprintln!(
            "no shell in this image: pack one with `ravelin image initramfs --file \
             /bin/busybox:/bin/busybox`"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_says_what_to_do_and_on_which_terms() {
        let plan = Plan::parse("console=ttyS0 ravelin.run=digits ravelin.repeat=3 quiet").unwrap();
        let digits = Some(Task::Digits(Repeat::Times(3)));
        assert_eq!(plan, Plan { task: digits, terms: Terms::default(), shell: false });
        let nonce = "ab".repeat(32);
        let words = format!(
            "ravelin.run=bench ravelin.size=0x1000 ravelin.chunk=4096 ravelin.nonce={nonce} \
             ravelin.evidence=report ravelin.platform=none ravelin.shell"
        );
        let terms = Terms {
            chunk: Some(4096),
            nonce: Some([0xab; 32]),
            show_evidence: true,
            unprotected_allowed: true,
        };
        let plan = Plan { task: Some(Task::Bench(4096)), terms, shell: true };
        assert_eq!(Plan::parse(&words), Ok(plan));
    }

    #[test]
    fn without_work_there_is_a_shell() {
        let plan = Plan { task: None, terms: Terms::default(), shell: true };
        assert_eq!(Plan::parse("console=ttyS0 run=digits"), Ok(plan));
    }

    #[test]
    fn words_that_make_no_sense_are_named() {
        for (words, name) in [
            ("ravelin.run=dance", "dance"),
            ("ravelin.run=digits ravelin.repeat=often", "ravelin.repeat"),
            ("ravelin.chunk=x", "ravelin.chunk"),
            ("ravelin.nonce=00", "ravelin.nonce"),
        ] {
            let error = Plan::parse(words).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
