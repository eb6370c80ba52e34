//! The command line: what can be said, and what is answered, to people and to scripts.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use ravelin_report::Bench;
use ravelin_workload::task::{Repeat, in_words};
use serde::Serialize;

use crate::account::{Account, Summary};
use crate::init;
use crate::machine::{Machine, Sysfs};
use crate::report::Report;
use crate::work::{self, Task, Terms};

pub mod exit;
mod info;
mod outcome;

use exit::ExitCode;
use outcome::{Attested, Measured, Worked};

/// Name by which the agent is process 1 of an initramfs.
const INIT: &str = "init";

/// Attests the GPUs of a Linux guest and works on them through an encrypted path.
///
/// A GPU is used only after its evidence has been judged: who made it, which firmware it runs, and
/// whether it protects its memory. Whatever crosses the bus from then on is sealed; the host that
/// runs this guest sees ciphertext. Run it as root.
#[derive(Debug, Parser)]
#[command(name = "ravelin-agent", version, after_help = exit::table())]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Where sysfs is
    #[arg(long, global = true, value_name = "DIR", default_value = "/sys", hide = true)]
    sysfs: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Judge every GPU and say what came of it; nothing is sent to one before
    #[command(after_help = exit::table())]
    Attest(Common),
    /// Say what protects this guest and which GPUs it has, without talking to them
    #[command(after_help = exit::table())]
    Info {
        /// Print one JSON object (schema "ravelin.agent.info/1") on standard output
        #[arg(long)]
        json: bool,
    },
    /// Attest every GPU and run a workload on each
    #[command(after_help = exit::table())]
    Run {
        /// What to run
        #[command(subcommand)]
        workload: Workload,
    },
    /// Measure the path to the first GPU, both ways, beside the raw cipher and a memory copy
    #[command(after_help = exit::table())]
    Bench {
        #[command(flatten)]
        common: Common,
        /// Bytes moved each way in one measurement, such as 64MiB
        #[arg(long, value_name = "SIZE", default_value = "64MiB")]
        size: Bytes,
    },
    /// Be process 1 of an initramfs: mount, do what `ravelin.run=` on the kernel's command line
    /// asks, report to the launcher, power off
    ShellInit,
}

#[derive(Debug, Subcommand)]
enum Workload {
    /// Classify handwritten digits, and hold the result against a plain computation
    Digits {
        #[command(flatten)]
        common: Common,
        /// How many rounds, or `forever`
        #[arg(long, value_name = "N|forever", default_value = "1")]
        repeat: Rounds,
    },
    /// Keep the GPUs attested until a signal ends it
    Idle(Common),
}

#[derive(Debug, Args)]
struct Common {
    /// Print one JSON object on standard output, with stable fields (`schema` names them)
    #[arg(long)]
    json: bool,
    /// Bytes of a record, such as 256KiB [default: 64KiB]
    #[arg(long, value_name = "SIZE")]
    chunk: Option<Bytes>,
    /// Use GPUs that protect nothing, too: for work on drivers, never for a secret
    #[arg(long)]
    unprotected: bool,
    /// Report to the launcher as well, through a port such as /dev/ttyS1
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// A number of bytes: decimal, with KiB, MiB or GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bytes(u64);

impl FromStr for Bytes {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (digits, unit) = match text.find(|letter: char| !letter.is_ascii_digit()) {
            Some(end) => text.split_at(end),
            None => (text, ""),
        };
        let shift = match unit {
            "" | "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return Err("the unit is none of B, KiB, MiB, GiB"),
        };
        let number: u64 = digits.parse().map_err(|_| "say a number of bytes, such as 64MiB")?;
        let bytes = number.checked_mul(1 << shift).filter(|bytes| *bytes > 0);
        bytes.map(Self).ok_or("choose 1 byte or more, and fewer than there are addresses")
    }
}

/// A number of rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rounds(Repeat);

impl FromStr for Rounds {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.parse()) {
            ("forever", _) => Ok(Self(Repeat::Forever)),
            (_, Ok(times)) if times > 0 => Ok(Self(Repeat::Times(times))),
            _ => Err("say a number from 1 on, or forever"),
        }
    }
}

impl Common {
    fn terms(&self) -> Terms {
        Terms {
            // What is no u32 is no size of a record either; the driver says so.
            chunk: self.chunk.map(|Bytes(chunk)| u32::try_from(chunk).unwrap_or(u32::MAX)),
            unprotected_allowed: self.unprotected,
            ..Terms::default()
        }
    }
}

/// Runs the command that `words` say, the program's name first.
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let words: Vec<OsString> = words.into_iter().collect();
    let name = words.first().map(Path::new).and_then(Path::file_name);
    if name.is_some_and(|name| name == INIT) {
        return be_init(&Sysfs { root: "/sys".into() });
    }
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let machine = Sysfs { root: cli.sysfs };
    match cli.command {
        Command::Attest(common) => perform(&machine, Task::Attest, &common, |result, summary| {
            Attested::new(result, summary)
        }),
        Command::Info { json } => info::show(&machine, json),
        Command::Run { workload: Workload::Digits { common, repeat } } => {
            perform(&machine, Task::Digits(repeat.0), &common, Worked::new)
        }
        Command::Run { workload: Workload::Idle(common) } => {
            perform(&machine, Task::Idle, &common, Attested::new)
        }
        Command::Bench { common, size } => {
            perform(&machine, Task::Bench(size.0), &common, Measured::new)
        }
        Command::ShellInit => be_init(&machine),
    }
}

/// Process 1 must not end: the kernel would panic. It sleeps where it could not power off.
fn be_init(machine: &impl Machine) -> ExitCode {
    init::run(machine);
    if rustix::process::getpid().is_init() {
        loop {
            std::thread::park();
        }
    }
    ExitCode::Internal
}

/// What is said of work that has ended.
trait Outcome: Serialize {
    /// The same in lines for people.
    fn lines(&self) -> Vec<String>;
}

/// Does the work and says what came of it.
fn perform<O: Outcome>(
    machine: &impl Machine,
    task: Task,
    common: &Common,
    outcome: impl FnOnce(&'static str, Summary) -> O,
) -> ExitCode {
    let report = match common.report.as_deref().map(Report::open).transpose() {
        Ok(report) => report,
        Err(error) => {
            let path = common.report.as_deref().unwrap_or(Path::new("")).display();
            problem(&format!("--report {path}: {error}"));
            return ExitCode::Report;
        }
    };
    let account = Account::new(report, true);
    let done = work::run(machine, task, common.terms(), &account);
    account.flush();
    let summary = account.summary();
    let (result, code) = match &done {
        Err(error) => (error.code(), ExitCode::of(error)),
        Ok(()) if summary.wrong_rounds > 0 => ("wrong-result", ExitCode::WrongResult),
        Ok(()) => ("ok", ExitCode::Ok),
    };
    let outcome = outcome(result, summary);
    if common.json {
        json(&outcome);
    } else {
        outcome.lines().iter().for_each(|text| line(text));
    }
    if let Err(error) = &done {
        problem(&in_words(error));
    } else if code == ExitCode::WrongResult {
        problem("the GPU's result is not that of the plain computation");
    }
    code
}

/// Shows what clap has to say: help in full, an error in one line.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::Ok;
    }
    let text = error.to_string();
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = write!(io::stderr(), "{text}");
        return ExitCode::Usage;
    }
    let words = text
        .split("\n\n")
        .filter(|part| !part.starts_with("Usage:") && !part.starts_with("For more information"));
    let words = words.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ");
    let words = words.strip_prefix("error: ").unwrap_or(&words);
    problem(&format!("{words}; `--help` shows what can be said"));
    ExitCode::Usage
}

fn problem(text: &str) {
    let _ = writeln!(io::stderr(), "error: {text}");
}

fn line(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

fn json(object: &impl Serialize) {
    if let Ok(text) = serde_json::to_string_pretty(object) {
        line(&text);
    }
}

/// Bytes a second, in the unit of the field.
fn gbps(bytes_a_second: f64) -> f64 {
    (bytes_a_second / 1e6).round() / 1e3
}

/// What the bench's numbers are in GB/s, by name.
fn speeds(bench: &Bench) -> [(&'static str, f64); 5] {
    [
        ("h2d", gbps(bench.h2d)),
        ("d2h", gbps(bench.d2h)),
        ("raw seal", gbps(bench.raw_seal)),
        ("raw open", gbps(bench.raw_open)),
        ("memcpy", gbps(bench.memcpy)),
    ]
}

#[cfg(test)]
mod tests;
