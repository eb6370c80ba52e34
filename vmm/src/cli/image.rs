//! `ravelin image`: makes what a guest boots from.
//!
//! `initramfs` packs the agent and the user's files for a Linux guest. The archive is
//! [`ravelin_initramfs`]'s; what an image of Ravelin's has in it is said here.

use super::exit::ExitCode;
use super::output::{self, Progress};
use super::tool;
use clap::{Args, Subcommand, ValueEnum};
use flate2::Compression as Level;
use flate2::write::GzEncoder;
use ravelin_initramfs::Tree;
use ravelin_initramfs::program::Program;
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where the agent is in an image.
const AGENT: &str = "/bin/ravelin-agent";
/// What process 1 is. The agent that is started by this name is an init.
const INIT: &str = "/init";
/// Where an init mounts things and puts files.
const DIRECTORIES: [&str; 6] = ["/dev", "/proc", "/root", "/run", "/sys", "/tmp"];

/// What to make.
#[derive(Debug, Subcommand)]
pub(super) enum Image {
    /// Pack the agent and your files into an initramfs for a Linux guest
    ///
    /// The agent is its /init: it mounts /proc, /sys and /dev, does what the kernel's command line
    /// asks (`ravelin.run=digits`), reports to the launcher, and powers the guest off. The same
    /// files give the same bytes, wherever and whenever they are packed.
    #[command(after_help = super::exit::table(ExitCode::ALL))]
    Initramfs(InitramfsArgs),
}

/// Options of `ravelin image initramfs`.
#[derive(Debug, Args)]
pub(super) struct InitramfsArgs {
    /// Print one JSON object (schema "ravelin.image/1") on standard output
    #[arg(long)]
    json: bool,
    /// The archive to write
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// The agent, a static program [default: ravelin-agent beside ravelin, where `cargo agent`
    /// puts it, or in PATH]
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
    /// A file or directory of yours and its path in the guest; repeat it for more
    #[arg(long, value_name = "HOST:GUEST")]
    file: Vec<Placed>,
    /// A program of yours to be /init instead of the agent
    #[arg(long, value_name = "PATH")]
    init: Option<PathBuf>,
    /// How to compress the archive
    #[arg(long, value_enum, default_value_t)]
    compression: Compression,
}

/// How an archive is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Compression {
    /// Not at all: starts fastest
    #[default]
    None,
    /// As gzip does
    Gzip,
}

/// A file of the host and its place in the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Placed {
    host: PathBuf,
    guest: String,
}

impl FromStr for Placed {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The last colon: what users name in their guest rarely has one.
        match text.rsplit_once(':') {
            Some((host, guest)) if !host.is_empty() && guest.starts_with('/') => {
                Ok(Self { host: host.into(), guest: guest.into() })
            }
            _ => Err("say HOST:GUEST, such as digits.npy:/data/digits.npy"),
        }
    }
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// There is no agent.
    #[error(
        "{} is neither beside ravelin nor in PATH: build it with `cargo agent`, or give \
         --agent PATH",
        tool::AGENT
    )]
    AgentAbsent,
    /// A program of the image cannot be read.
    #[error("cannot read {0}: check the path and its permissions")]
    Program(PathBuf, #[source] io::Error),
    /// A program is none that a bare initramfs can run.
    #[error(
        "{0} is no static program for x86-64, and an initramfs has no libraries: build the agent \
         with `cargo agent`"
    )]
    NotStatic(PathBuf),
    /// The archive is none.
    #[error(transparent)]
    Archive(#[from] ravelin_initramfs::Error),
    /// It cannot be written there.
    #[error("cannot write {0}")]
    Output(PathBuf, #[source] io::Error),
}

impl Error {
    /// The exit code.
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Error::AgentAbsent => ExitCode::ToolAbsent,
            _ => ExitCode::Image,
        }
    }
}

/// What was made.
#[derive(Serialize)]
struct Made<'a> {
    schema: &'static str,
    output: &'a Path,
    bytes: u64,
    result: &'static str,
}

/// Makes it.
pub(super) fn run(image: &Image) -> ExitCode {
    let Image::Initramfs(arguments) = image;
    match initramfs(arguments) {
        Ok(bytes) => {
            let output = &arguments.output;
            if arguments.json {
                output::json(&Made { schema: "ravelin.image/1", output, bytes, result: "ok" });
            } else {
                let text = format_args!("{}, {bytes} bytes", output.display());
                Progress::new().say("image", text);
            }
            ExitCode::Ok
        }
        Err(error) => {
            output::failure(&error);
            error.exit_code()
        }
    }
}

fn initramfs(arguments: &InitramfsArgs) -> Result<u64, Error> {
    let agent = match &arguments.agent {
        Some(path) => path.clone(),
        None => tool::agent().ok_or(Error::AgentAbsent)?,
    };
    let tree = fill(&agent, arguments.init.as_deref(), &arguments.file)?;
    write(&tree, &arguments.output, arguments.compression)
}

/// What is in an image.
fn fill(agent: &Path, init: Option<&Path>, files: &[Placed]) -> Result<Tree, Error> {
    let mut tree = Tree::new();
    for directory in DIRECTORIES {
        tree.directory(directory)?;
    }
    check_static(agent)?;
    tree.host_file(AGENT, agent)?;
    match init {
        Some(init) => tree.host_file(INIT, init)?,
        None => tree.symlink(INIT, AGENT)?,
    }
    for Placed { host, guest } in files {
        if host.is_dir() {
            tree.host_directory(guest, host)?;
        } else {
            tree.host_file(guest, host)?;
        }
    }
    Ok(tree)
}

/// Writes the whole archive or none: a file of that name stays as it is until the new one is whole.
fn write(tree: &Tree, output: &Path, compression: Compression) -> Result<u64, Error> {
    let failed = |error| Error::Output(output.into(), error);
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = output.with_file_name(name);
    let written = (|| {
        let file = BufWriter::new(File::create(&part).map_err(failed)?);
        let mut file = match compression {
            Compression::None => {
                let mut file = file;
                tree.write(&mut file)?;
                file
            }
            Compression::Gzip => {
                // Neither a time nor a name goes into its header.
                let mut encoder = GzEncoder::new(file, Level::default());
                tree.write(&mut encoder)?;
                encoder.finish().map_err(failed)?
            }
        };
        file.flush().map_err(failed)?;
        let bytes = file.get_ref().metadata().map_err(failed)?.len();
        std::fs::rename(&part, output).map_err(failed)?;
        Ok(bytes)
    })();
    if written.is_err() {
        // What is left of it is of no use; the error says why.
        let _ = std::fs::remove_file(&part);
    }
    written
}

/// Whether the kernel can run a program that brings no libraries along: an ELF file for this
/// processor that asks for no loader.
fn check_static(program: &Path) -> Result<(), Error> {
    let bytes = std::fs::read(program).map_err(|error| Error::Program(program.into(), error))?;
    match Program::of(&bytes) {
        Some(Program::Static) => Ok(()),
        _ => Err(Error::NotStatic(program.into())),
    }
}

#[cfg(test)]
mod tests;
