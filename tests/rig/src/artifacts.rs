//! What cargo builds for the machine: test programs and the binaries, as cargo itself names them.

use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use cargo_metadata::{Artifact, Message};

use crate::workspace;

/// Why there is nothing to run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Cargo could not be run or read.
    #[error("cannot run cargo")]
    Cargo(#[source] io::Error),
    /// The build failed, and cargo has said why.
    #[error("{0} does not build: see cargo's message above")]
    Build(String),
}

/// A test program.
#[derive(Clone, Debug)]
pub(crate) struct TestProgram {
    /// The target's name, as `dependencies` for `tests/dependencies.rs`.
    pub(crate) target: String,
    /// Whether it is a file in `tests/`, rather than the unit tests of a library or binary.
    pub(crate) integration: bool,
    /// The executable, here and in the machine.
    pub(crate) executable: PathBuf,
    /// Where cargo would run it.
    pub(crate) directory: PathBuf,
}

/// Builds the test programs of a package. Binaries' own unit tests are left out: this project has
/// its code in libraries.
pub(crate) fn tests(package: &str) -> Result<Vec<TestProgram>, Error> {
    test_programs(&["test", "--no-run"], package)
}

/// Builds one test program of a package, a file in `tests/`.
pub(crate) fn test(package: &str, target: &str) -> Result<Vec<TestProgram>, Error> {
    test_programs(&["test", "--no-run", "--test", target], package)
}

/// Builds the unit tests of a package's library.
pub(crate) fn library(package: &str) -> Result<Vec<TestProgram>, Error> {
    test_programs(&["test", "--no-run", "--lib"], package)
}

fn test_programs(arguments: &[&str], package: &str) -> Result<Vec<TestProgram>, Error> {
    let mut programs: Vec<TestProgram> = cargo(arguments, package)?
        .into_iter()
        .filter(|artifact| artifact.profile.test && !artifact.target.is_bin())
        .filter_map(|artifact| {
            let directory = artifact.manifest_path.parent()?.as_std_path().to_owned();
            Some(TestProgram {
                integration: artifact.target.is_test(),
                target: artifact.target.name,
                executable: artifact.executable?.into(),
                directory,
            })
        })
        .collect();
    programs.sort_by(|a, b| (&a.target, &a.executable).cmp(&(&b.target, &b.executable)));
    Ok(programs)
}

/// Builds the binaries of a package; by name.
pub(crate) fn binaries(package: &str) -> Result<BTreeMap<String, PathBuf>, Error> {
    let built = cargo(&["build", "--bins"], package)?;
    Ok(built.into_iter().filter_map(|a| Some((a.target.name, a.executable?.into()))).collect())
}

/// Builds the agent for Linux guests, static, by the alias that everyone uses.
pub(crate) fn agent() -> Result<PathBuf, Error> {
    let built = run(command(&["agent"]), "ravelin-agent")?;
    let agent = built.into_iter().find_map(|artifact| artifact.executable);
    agent.map(Into::into).ok_or_else(|| Error::Build("ravelin-agent".to_owned()))
}

/// Where the tests' build has its tests ignored for want of a KVM, this promises it one. Only
/// there: otherwise each change between `cargo test` and the rig would build anew.
const PROMISE_OF_KVM: &str = "RAVELIN_TESTS_HAVE_KVM";

fn cargo(arguments: &[&str], package: &str) -> Result<Vec<Artifact>, Error> {
    let mut command = command(arguments);
    command.args(["--release", "--package", package]);
    if File::options().read(true).write(true).open("/dev/kvm").is_err() {
        command.env(PROMISE_OF_KVM, "1");
    }
    run(command, package)
}

/// Cargo, which says what it has built on standard output.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).args(["--message-format", "json-render-diagnostics"]);
    command.current_dir(workspace::root()).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// Runs it and gives what can be executed.
fn run(mut command: Command, package: &str) -> Result<Vec<Artifact>, Error> {
    let mut cargo = command.spawn().map_err(Error::Cargo)?;
    let mut artifacts = Vec::new();
    if let Some(output) = cargo.stdout.take() {
        for message in Message::parse_stream(BufReader::new(output)) {
            if let Message::CompilerArtifact(artifact) = message.map_err(Error::Cargo)?
                && artifact.executable.is_some()
            {
                artifacts.push(artifact);
            }
        }
    }
    let status = cargo.wait().map_err(Error::Cargo)?;
    if status.success() { Ok(artifacts) } else { Err(Error::Build(package.to_owned())) }
}
