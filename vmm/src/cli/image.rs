//! `ravelin image`: makes what a guest boots from.
//!
//! `initramfs` packs the agent and the user's files for a Linux guest. The archive is
//! [`ravelin_initramfs`]'s; what an image of Ravelin's has in it is said here. [`build`] makes an IGVM file
//! of a whole guest, [`measure`] tells what a launch digest will be, both of what [`source`] reads. Signing
//! needs an owner's key, which the launcher must not have: `sign` and `check` are a program of their own.

mod build;
mod measure;
mod source;

use super::exit::ExitCode;
use super::output::{self, Progress};
use super::{ToolArgs, tool};
use clap::{Args, Subcommand, ValueEnum};
use flate2::Compression as Level;
use flate2::write::GzEncoder;
use measure::Measured;
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
    /// Make an IGVM file of a guest that boots without firmware
    ///
    /// Kernel, initrd, command line, page tables and the state of each vCPU are in it, and so in the
    /// guest's launch digest. The same files and options give the same bytes, wherever and whenever.
    #[command(after_help = super::exit::table(ExitCode::ALL))]
    Build(Box<build::BuildArgs>),
    /// Tell the launch digest of a guest before it is launched, as its reports will
    ///
    /// Of an IGVM file, of OVMF (with the hashes of a kernel that it is to check), or of a guest that boots
    /// without firmware. Prints 96 hexadecimal digits, those of sev-snp-measure.
    #[command(after_help = super::exit::table(ExitCode::ALL))]
    Measure(Box<measure::MeasureArgs>),
    /// Sign an image's id block, as the guest's owner: runs `ravelin-id-block`
    #[command(disable_help_flag = true)]
    Sign(ToolArgs),
    /// Check an image's id block as firmware would: runs `ravelin-id-block`
    #[command(disable_help_flag = true)]
    Check(ToolArgs),
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
    Source(#[from] source::Error),
    /// The image is too much for its format.
    #[error("the image cannot be written")]
    Igvm(#[from] ravelin_launch::igvm::Error),
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
            Error::Source(source::Error::Linux(error)) => super::error::of_linux(error),
            Error::Source(source::Error::Config(error)) => super::error::of_config(error),
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
    /// The launch digest, hex; only of an IGVM file.
    #[serde(skip_serializing_if = "Option::is_none")]
    measurement: Option<String>,
    result: &'static str,
}

/// Makes it.
pub(super) fn run(image: &Image) -> ExitCode {
    let done = match image {
        Image::Initramfs(arguments) => {
            initramfs(arguments).map(|bytes| show(&arguments.output, bytes, None, arguments.json))
        }
        Image::Build(arguments) => build(arguments),
        Image::Measure(arguments) => measure::image(arguments).map_err(Error::from).map(|image| {
            let measured = Measured::new(&image);
            match arguments.json {
                true => output::json(&measured),
                false => output::line(measured.measurement()),
            }
        }),
        Image::Sign(arguments) => return id_block("sign", arguments),
        Image::Check(arguments) => return id_block("check", arguments),
    };
    match done {
        Ok(()) => ExitCode::Ok,
        Err(error) => {
            output::failure(&error);
            error.exit_code()
        }
    }
}

fn id_block(command: &str, arguments: &ToolArgs) -> ExitCode {
    let mut words = vec![command.into()];
    words.extend(arguments.arguments.iter().cloned());
    tool::run(tool::ID_BLOCK, &words)
}

fn build(arguments: &build::BuildArgs) -> Result<(), Error> {
    let image = build::image(arguments)?;
    let file = ravelin_launch::igvm::write(&image)?;
    let output = &arguments.output;
    let bytes = whole(output, |mut to| {
        to.write_all(&file).map_err(|error| Error::Output(output.into(), error))?;
        Ok(to)
    })?;
    show(output, bytes, Some(measure::digest(&image)), arguments.json);
    Ok(())
}

fn show(output: &Path, bytes: u64, measurement: Option<String>, json: bool) {
    if json {
        let schema = "ravelin.image/1";
        output::json(&Made { schema, output, bytes, measurement, result: "ok" });
        return;
    }
    let progress = Progress::new();
    progress.say("image", format_args!("{}, {bytes} bytes", output.display()));
    if let Some(measurement) = measurement {
        progress.say("measures", format_args!("{measurement}"));
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

/// Writes an archive.
fn write(tree: &Tree, output: &Path, compression: Compression) -> Result<u64, Error> {
    whole(output, |mut file| match compression {
        Compression::None => {
            tree.write(&mut file)?;
            Ok(file)
        }
        Compression::Gzip => {
            // Neither a time nor a name goes into its header.
            let mut encoder = GzEncoder::new(file, Level::default());
            tree.write(&mut encoder)?;
            encoder.finish().map_err(|error| Error::Output(output.into(), error))
        }
    })
}

/// Writes the whole file or none: one of that name stays as it is until the new one is whole. Its length.
fn whole(
    output: &Path,
    fill: impl FnOnce(BufWriter<File>) -> Result<BufWriter<File>, Error>,
) -> Result<u64, Error> {
    let failed = |error| Error::Output(output.into(), error);
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = output.with_file_name(name);
    let written = (|| {
        let mut file = fill(BufWriter::new(File::create(&part).map_err(failed)?))?;
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
