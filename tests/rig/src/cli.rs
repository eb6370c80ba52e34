//! The host's face of the rig: the command line, and the order of things.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::builder::PossibleValue;
use clap::{Args, Parser, Subcommand};

use crate::image::{self, Choice, Image};
use crate::kernel::{self, Kernel};
use crate::libtest::Tally;
use crate::machine::Console;
use crate::protocol::{Ending, Event, Stream};
use crate::report::{self, Report};
use crate::run::record::Record;
use crate::run::{self, End};
use crate::suites::{self, SHELL, SUITES, Suite};
use crate::{host_programs, workspace};

/// Exit code when tests have failed.
const FAILED: u8 = 1;
/// Exit code when the rig could not do its work.
const BROKEN: u8 = 3;

/// Runs Ravelin's tests on a real KVM: in a machine that QEMU emulates, with nested SVM, an IOMMU
/// and devices to assign. Exit codes: 0 all passed, 1 a test failed, 2 wrong usage, 3 the rig
/// could not do its work.
#[derive(Parser)]
#[command(name = "cargo rig", bin_name = "cargo rig", args_conflicts_with_subcommands = true)]
#[command(subcommand_negates_reqs = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    person: Option<Person>,

    /// What to run, in this order.
    #[arg(required = true, value_name = "SUITE", value_parser = suite_names())]
    suites: Vec<String>,

    /// Only jobs with this in their name, as `main job` or `ravelin::vm`.
    #[arg(long, value_name = "TEXT")]
    job: Option<String>,

    /// Keep the logs of runs that pass, too.
    #[arg(long)]
    keep_logs: bool,

    #[command(flatten)]
    machine: MachineOptions,

    /// Arguments for the test programs, as the name of a test.
    #[arg(last = true, value_name = "ARGS")]
    test_arguments: Vec<String>,
}

#[derive(Args)]
struct MachineOptions {
    /// Boot this kernel instead of the suite's own.
    #[arg(long, value_enum, value_name = "SERIES")]
    kernel: Option<Kernel>,
}

#[derive(Subcommand)]
enum Person {
    /// A shell in the machine, or one command: `cargo rig shell ravelin run --json`.
    Shell {
        #[command(flatten)]
        machine: MachineOptions,
        /// Run this, show what it writes, and exit as it does.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

fn suite_names() -> clap::builder::PossibleValuesParser {
    SUITES
        .iter()
        .map(|suite| PossibleValue::new(suite.name).help(suite.about))
        .collect::<Vec<_>>()
        .into()
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Programs(#[from] host_programs::Error),
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    #[error(transparent)]
    Image(#[from] image::Error),
    #[error(transparent)]
    Initramfs(#[from] ravelin_initramfs::Error),
    #[error(transparent)]
    Run(#[from] run::Error),
    #[error("cannot write in {path}")]
    Logs { path: PathBuf, source: io::Error },
    #[error("the machine {0}")]
    Machine(String),
    #[error("suite {0} ran no test")]
    NoTest(&'static str),
}

/// Parses the command line and does what it says.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.person {
        Some(Person::Shell { machine, command }) => shell(&machine, command),
        None => run_suites(&cli),
    };
    done.unwrap_or_else(|error| {
        let mut message = format!("rig: {error}");
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            message.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        eprintln!("{message}");
        ExitCode::from(BROKEN)
    })
}

fn run_suites(cli: &Cli) -> Result<ExitCode, Error> {
    let mut tally = Tally::default();
    for suite in cli.suites.iter().filter_map(|name| suites::find(name)) {
        let choice = Choice {
            job: cli.job.clone(),
            test_arguments: cli.test_arguments.clone(),
            command: Vec::new(),
        };
        for kernel in kernels(suite, &cli.machine) {
            let counted = run_suite(suite, kernel, &choice, cli.keep_logs)?;
            if counted.total() == 0 && cli.test_arguments.is_empty() {
                return Err(Error::NoTest(suite.name));
            }
            tally += counted;
        }
    }
    println!("{}", report::last_line(tally));
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn run_suite(
    suite: &Suite,
    kernel: Kernel,
    choice: &Choice,
    keep_logs: bool,
) -> Result<Tally, Error> {
    let report = Report::new(suite.name);
    let prepared = Prepared::new(suite, kernel, choice, &report)?;
    let (end, record) = prepared.run(&report)?;
    let tally = record.tally();
    for complaint in &record.complaints {
        report.warn(complaint);
    }
    for job in record.jobs.iter().filter(|job| job.ended.is_none()) {
        report.job(job);
    }
    match end {
        End::Finished => {}
        End::Died => report.warn(&format!("the machine ended early: {}", prepared.last_words())),
        End::Frozen => report.warn("the machine froze once more"),
    }
    if keep_logs || tally.failed > 0 || end != End::Finished {
        report::keep(&record, prepared.logs.path())
            .map_err(|source| prepared.logs_error(source))?;
        report.warn(&format!("logs: {}", prepared.keep_logs().display()));
    }
    let took = report.end();
    let kernel = record.kernel.as_deref().unwrap_or("no kernel");
    println!(
        "{}: {} on Linux {kernel}, {:.0} s",
        suite.name,
        report::last_line(tally),
        took.as_secs_f64()
    );
    Ok(tally)
}

fn shell(options: &MachineOptions, command: Vec<String>) -> Result<ExitCode, Error> {
    let report = Report::new(SHELL.name);
    let choice = Choice { command, ..Choice::default() };
    let Some(kernel) = kernels(&SHELL, options).next() else { return Ok(ExitCode::from(BROKEN)) };
    let prepared = Prepared::new(&SHELL, kernel, &choice, &report)?;
    if prepared.image.jobs.is_empty() {
        report.end();
        return prepared.terminal(&SHELL);
    }
    let (end, record) = prepared.run(&report)?;
    report.end();
    for complaint in &record.complaints {
        eprintln!("rig: {complaint}");
    }
    match record.jobs.first().and_then(|job| job.ended.as_ref()) {
        Some((Ending::Exit(code), _)) => {
            Ok(u8::try_from(*code).map_or(ExitCode::from(FAILED), ExitCode::from))
        }
        Some((ending, _)) => Err(Error::Machine(format!("says of the command: {ending:?}"))),
        None => {
            let said = prepared.last_words();
            let logs = prepared.keep_logs();
            Err(Error::Machine(format!("ended early ({end:?}): {said}; logs: {}", logs.display())))
        }
    }
}

/// The suite's kernels, or the one that is asked for.
fn kernels(suite: &Suite, options: &MachineOptions) -> impl Iterator<Item = Kernel> + use<> {
    let own = if options.kernel.is_none() { suite.kernels } else { &[] };
    options.kernel.into_iter().chain(own.iter().copied())
}

/// All that a machine needs to be booted, once or twice.
struct Prepared {
    suite: Suite,
    kernel: kernel::Unpacked,
    image: Image,
    /// Holds the initramfs and the logs of a run.
    logs: tempfile::TempDir,
    echo: bool,
}

impl Prepared {
    fn new(suite: &Suite, kernel: Kernel, choice: &Choice, report: &Report) -> Result<Self, Error> {
        host_programs::ensure(&|what| report.step(what))?;
        report.step("getting the kernel");
        let kernel = report.aside(|| kernel::get(kernel))?;
        report.step("building what the machine runs");
        let image = report.aside(|| image::build(suite, &kernel, choice))?;
        let place = workspace::cache().join("rig");
        let logs = fs::create_dir_all(&place)
            .and_then(|()| {
                tempfile::Builder::new().prefix(suite.name).suffix(".run").tempdir_in(&place)
            })
            .map_err(|source| Error::Logs { path: place, source })?;
        Ok(Self { suite: *suite, kernel, image, logs, echo: !choice.command.is_empty() })
    }

    fn pack(&self) -> Result<(), Error> {
        let file = File::create(self.initramfs()).map_err(|source| self.logs_error(source))?;
        let mut file = BufWriter::new(file);
        self.image.tree.write(&mut file)?;
        file.flush().map_err(|source| self.logs_error(source))
    }

    /// Boots the machine and follows it; once more if the emulation fails it: it freezes, or its own
    /// kernel panics. A command that a person has given is never given twice.
    fn run(&self, report: &Report) -> Result<(End, Record), Error> {
        let (end, record) = self.run_once(report)?;
        match end {
            End::Frozen => {
                report.warn(
                    "the machine froze, as one in some dozens does under emulation: once more",
                );
            }
            End::Died if !self.echo => report.warn(&format!(
                "the machine's own kernel died, as it rarely does under emulation: once more: {}",
                self.last_words()
            )),
            End::Finished | End::Died => return Ok((end, record)),
        }
        self.run_once(report)
    }

    fn run_once(&self, report: &Report) -> Result<(End, Record), Error> {
        report.step("packing the initramfs");
        self.pack()?;
        report.step("booting");
        let console = self.logs.path().join("console.log");
        let command = self.suite.machine.command(
            &self.kernel.image(),
            &self.initramfs(),
            Console::File(&console),
        );
        let mut record = Record::new(&self.image.jobs, &self.image.readings);
        let end =
            run::follow(&command, &self.logs.path().join("qemu.log"), run::SILENCE, |event| {
                match &event {
                    Event::Ready { kernel, .. } => {
                        report.step(&format!("Linux {kernel} is up"));
                        // Some hundred megabytes that would stay if the rig were killed.
                        let _ = fs::remove_file(self.initramfs());
                    }
                    Event::Output(_, stream, line) if self.echo => report.aside(|| match stream {
                        Stream::Out => println!("{line}"),
                        Stream::Err => eprintln!("{line}"),
                    }),
                    _ => {}
                }
                if let Some(job) = record.take(event)
                    && !self.echo
                {
                    report.job(job);
                }
                report.running(&record);
            })?;
        Ok((end, record))
    }

    /// Gives the machine's console to the person at this terminal.
    fn terminal(&self, suite: &Suite) -> Result<ExitCode, Error> {
        if io::stdin().is_terminal() {
            eprintln!("Ctrl-D or `poweroff -f` ends the machine, Ctrl-A X kills it.");
        }
        self.pack()?;
        let events = self.logs.path().join("events.log");
        let command = suite.machine.command(
            &self.kernel.image(),
            &self.initramfs(),
            Console::Terminal { events: &events },
        );
        let Some((program, arguments)) = command.split_first() else {
            return Ok(ExitCode::from(BROKEN));
        };
        let status = Command::new(program)
            .args(arguments)
            .status()
            .map_err(|source| Error::Run(run::Error::Start(source)))?;
        Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::from(BROKEN) })
    }

    /// The last thing that QEMU or the machine's console said.
    fn last_words(&self) -> String {
        let last = |file| {
            let text = fs::read(self.logs.path().join(file)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
            Some(line.trim().to_owned())
        };
        last("console.log").or_else(|| last("qemu.log")).unwrap_or_else(|| "no word".to_owned())
    }

    fn initramfs(&self) -> PathBuf {
        self.logs.path().join("initramfs.cpio")
    }

    fn logs_error(&self, source: io::Error) -> Error {
        Error::Logs { path: self.logs.path().to_owned(), source }
    }

    /// Leaves the logs where they are when the rig ends, without the initramfs.
    fn keep_logs(&self) -> PathBuf {
        let kept = kept_name(self.logs.path());
        let _ = fs::remove_file(self.initramfs());
        match fs::rename(self.logs.path(), &kept) {
            Ok(()) => kept,
            Err(_) => self.logs.path().to_owned(),
        }
    }
}

/// `kvmAbC.run`, which is removed at the end, becomes `kvmAbC.logs`, which is not.
fn kept_name(running: &Path) -> PathBuf {
    running.with_extension("logs")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_suite_takes_arguments_for_its_tests_behind_two_dashes() {
        let cli = Cli::try_parse_from(["rig", "kvm", "--job", "vm", "--", "--nocapture"]).unwrap();
        assert_eq!(cli.suites, ["kvm"]);
        assert_eq!(cli.job.as_deref(), Some("vm"));
        assert_eq!(cli.test_arguments, ["--nocapture"]);
    }

    #[test]
    fn a_shell_takes_a_command_with_its_options() {
        let cli = Cli::try_parse_from(["rig", "shell", "ravelin", "run", "--json"]).unwrap();
        let Some(Person::Shell { command, .. }) = cli.person else { panic!("no shell") };
        assert_eq!(command, ["ravelin", "run", "--json"]);
    }

    #[test]
    fn an_unknown_suite_is_refused_with_the_known_ones() {
        let error = Cli::try_parse_from(["rig", "kvn"]).err().unwrap();
        assert!(error.to_string().contains("kvm"), "{error}");
    }
}
