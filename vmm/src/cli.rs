//! The command lines of `ravelin` and, in [`operator`], of `ravelinctl`: what can be said, and where
//! it goes.
//!
//! Each subcommand is a file. Errors come out here, in one line, with an exit code from the table in
//! [`exit`]; whatever a subcommand has made is gone by then.

pub mod exit;
pub mod foreign;
pub mod operator;

mod bench;
mod doctor;
mod error;
mod evidence;
mod gpu_server;
mod guest;
mod image;
mod images;
mod launch;
mod output;
mod passed;
mod run;
mod signals;
mod tool;

pub use error::Error;

use clap::{Args, Parser, Subcommand};
use exit::ExitCode;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

/// Runs a confidential guest that attests its GPUs and works on them through an encrypted path.
///
/// Without a subcommand, `ravelin` runs the built-in guest: it attests one modelled GPU, classifies
/// handwritten digits on it, and checks the result against a plain computation on the host.
#[derive(Debug, Parser)]
#[command(
    name = "ravelin",
    version,
    args_conflicts_with_subcommands = true,
    after_help = exit::table(ExitCode::ALL)
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a guest until it ends
    #[command(after_help = exit::table(ExitCode::ALL))]
    Run(Box<RunArgs>),
    /// Measure the path between guest and GPU, or what conversions of memory cost
    Bench {
        #[command(subcommand)]
        what: Bench,
    },
    /// Serve a GPU on its own to whoever speaks SPDM over TCP
    #[command(after_help = exit::table(ExitCode::ALL))]
    GpuServer(GpuServerArgs),
    /// Say whether this host can run each platform, and what to mend where it cannot
    #[command(after_help = exit::table(ExitCode::ALL))]
    Doctor(doctor::DoctorArgs),
    /// Make what a guest boots from
    Image {
        #[command(subcommand)]
        what: image::Image,
    },
    /// Judge evidence of GPUs and guests, offline: runs `ravelin-verify`
    #[command(disable_help_flag = true)]
    Verify(ToolArgs),
    /// Play the GPU's maker: runs `ravelin-maker`
    #[command(disable_help_flag = true)]
    Maker(ToolArgs),
    /// Speak SPDM to any responder: runs `ravelin-spdm`
    #[command(disable_help_flag = true)]
    Spdm(ToolArgs),
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Seal, move and open through the real path, both ways, beside the raw cipher and a memory copy
    #[command(after_help = exit::table(ExitCode::ALL))]
    Transfer(BenchArgs),
    /// Convert guest memory between private and shared, alone and with a device whose mappings follow
    ///
    /// No guest runs, and KVM is not needed. A device must be bound to vfio-pci (`ravelinctl bind`) and
    /// in nobody's hands.
    #[command(after_help = exit::table(ExitCode::ALL))]
    Conversions(ConversionsArgs),
}

/// Options of `ravelin run`.
#[derive(Debug, Args)]
struct RunArgs {
    /// Print one JSON object (schema "ravelin.run/1") on standard output
    #[arg(long)]
    json: bool,
    /// What keeps guest memory private: `snp` is SEV-SNP on hardware (`ravelin doctor snp` says whether
    /// this host has it); `emulated` separates memory as SEV does but protects nothing from this host;
    /// `none` has one memory for all [default: emulated]
    #[arg(long, value_name = "emulated|snp|none")]
    platform: Option<String>,
    /// A GPU: apm[,memory=SIZE][,mode=on|off|devtools], the model, or
    /// vfio=0000:01:00.0[,block=BAR:START-END,...][,profile=FILE], a device of the host's, or with
    /// vfio=fd:N,iommufd=fd:M from files that are open; repeat it for up to 8. The built-in guest
    /// attests all models before it uses any; `none` leaves a Linux guest without [default: apm,
    /// 80GiB]
    #[arg(long, value_name = "apm|vfio=DEVICE[,KEY=VALUE...]")]
    gpu: Vec<String>,
    /// Guest memory, such as 4GiB; `hugepages=on` asks for it in huge pages [default: 512MiB]
    #[arg(long, allow_hyphen_values = true, value_name = "SIZE[,hugepages=on|off]")]
    memory: Option<String>,
    /// Number of vCPUs, 1 to 32; the built-in guest uses the first [default: 1]
    #[arg(long, allow_hyphen_values = true, value_name = "N")]
    cpus: Option<String>,
    /// Boot this image, an IGVM file that `ravelin image build` has made, instead of the built-in guest
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kernel", "initrd", "cmdline"])]
    igvm: Option<PathBuf>,
    /// Boot this Linux kernel, a bzImage or an ELF vmlinux, instead of the built-in guest
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Linux's initial file system, a cpio archive
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,
    /// Linux's command line [default: "console=ttyS0 panic=-1"]
    #[arg(long, allow_hyphen_values = true, value_name = "WORDS")]
    cmdline: Option<String>,
    /// Where the guest's console goes besides the VM's serial socket: `lines` marks each line on
    /// standard error; `stdio` is this terminal, both ways; `socket` is nowhere else [default: lines]
    #[arg(long, value_name = "lines|stdio|socket|file=PATH")]
    serial: Option<String>,
    /// A disk of a Linux guest: a raw image, which no other VM may have; repeat it for more
    #[arg(long, value_name = "path=FILE[,readonly=on]")]
    disk: Vec<String>,
    /// A network card of a Linux guest, on a tap that is there; repeat it for more
    #[arg(long, value_name = "tap=NAME[,mac=ADDRESS]")]
    net: Vec<String>,
    /// Stream sockets between host and Linux guest: clients say `CONNECT PORT` at the socket, and the
    /// guest reaches SOCKET_PORT [default socket: vsock in the VM's runtime directory]
    #[arg(long, value_name = "cid=N[,socket=PATH]")]
    vsock: Option<String>,
    /// What a guest's request for a reset does: it ends the run, or the guest is launched anew from the
    /// same files [default: end]
    #[arg(long, value_enum)]
    on_reset: Option<crate::config::OnReset>,
    /// Certificates of the key that signs an SNP guest's reports, for guests that ask for them: a
    /// directory with vcek.der or vlek.der, ask.der and ark.der
    #[arg(long, value_name = "DIR")]
    certificates: Option<PathBuf>,
    /// Name for `ravelinctl` [default: made up]
    #[arg(long, allow_hyphen_values = true)]
    name: Option<String>,
    /// What the guest does
    #[arg(long, value_enum)]
    workload: Option<crate::config::Workload>,
    /// How many rounds, or `forever`
    #[arg(long, allow_hyphen_values = true, value_name = "N|forever")]
    repeat: Option<String>,
    /// Classify your own images: N x 64 or N x 8 x 8 values from 0 (paper) to 16 (ink)
    #[arg(long, value_name = "FILE.npy|FILE.csv")]
    images: Option<PathBuf>,
    /// Save what the GPUs present to the guest and the guest's own report on them, for `ravelin verify
    /// composite DIR`, or the GPUs alone for `ravelin verify apm DIR`
    #[arg(long, value_name = "DIR")]
    save_evidence: Option<PathBuf>,
    /// The nonce that the GPUs must answer, from who will verify: 64 hexadecimal digits [default:
    /// the guest's own]
    #[arg(long, value_name = "HEX", requires = "save_evidence")]
    nonce: Option<evidence::Nonce>,
    /// The policy that the evidence will be judged by: the guest's report binds its digest
    #[arg(long, value_name = "FILE.toml", requires = "save_evidence")]
    policy: Option<PathBuf>,
    /// What the guest's report shall say as HOST_DATA: 64 hexadecimal digits [default: zeros]
    #[arg(long, value_name = "HEX", requires = "save_evidence")]
    host_data: Option<evidence::bound::HostData>,
    /// A TOML file with the same words; options on the command line win
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the VM as such a file instead of running it
    #[arg(long)]
    print_config: bool,
    /// Another guest image than the built-in one: a freestanding ELF file
    #[arg(long, value_name = "FILE", hide = true)]
    guest_image: Option<PathBuf>,
}

/// Options of `ravelin bench transfer`.
#[derive(Debug, Args)]
struct BenchArgs {
    /// Print one JSON object (schema "ravelin.bench.transfer/1") on standard output
    #[arg(long)]
    json: bool,
    /// Bytes moved each way in one measurement
    #[arg(long, allow_hyphen_values = true, value_name = "SIZE", default_value = "64MiB")]
    size: String,
    /// Bytes of a record
    #[arg(long, allow_hyphen_values = true, value_name = "SIZE", default_value = "256KiB")]
    chunk: String,
    /// What keeps guest memory private
    #[arg(long, value_name = "emulated|none", default_value = "emulated")]
    platform: String,
    /// Another guest image than the built-in one: a freestanding ELF file
    #[arg(long, value_name = "FILE", hide = true)]
    guest_image: Option<PathBuf>,
}

/// Options of `ravelin bench conversions`.
#[derive(Debug, Args)]
struct ConversionsArgs {
    /// Print one JSON object (schema "ravelin.bench.conversions/1") on standard output
    #[arg(long)]
    json: bool,
    /// A device of the host's, as vfio=0000:01:00.0
    #[arg(long, value_name = "vfio=ADDRESS")]
    gpu: Option<String>,
}

/// Options of `ravelin gpu-server`.
#[derive(Debug, Args)]
struct GpuServerArgs {
    /// Where to listen, in the socket framing of the DMTF's emulators; port 0 takes a free one, and
    /// the first line on standard output says which
    #[arg(long, value_name = "ADDRESS:PORT")]
    spdm_listen: SocketAddr,
    /// What carries SPDM
    #[arg(long, value_enum, default_value_t)]
    transport: gpu_server::TransportChoice,
    /// Write what goes over the wire to a capture for DMTF's spdm_dump
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// The GPU: apm[,memory=SIZE][,mode=on|off|devtools]
    #[arg(long, value_name = "apm[,KEY=VALUE...]")]
    gpu: Option<String>,
    /// The device that `ravelin maker provision` has made in this directory, instead of the
    /// development maker's first one
    #[arg(long, value_name = "DIR")]
    identity: Option<PathBuf>,
}

/// What is for another program to understand.
#[derive(Debug, Args)]
struct ToolArgs {
    /// Its arguments; `--help` shows them
    #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Runs the command that `words` say, the program's name first. `started` is when the process began.
pub fn main(words: impl IntoIterator<Item = OsString>, started: Instant) -> ExitCode {
    output::start_log();
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => return output::usage(&error),
    };
    match cli.command {
        None => run::run(&cli.run, started),
        Some(Command::Run(arguments)) => run::run(&arguments, started),
        Some(Command::Bench { what: Bench::Transfer(arguments) }) => {
            bench::transfer(&arguments, started)
        }
        Some(Command::Bench { what: Bench::Conversions(arguments) }) => {
            bench::conversions::run(&arguments)
        }
        Some(Command::GpuServer(arguments)) => gpu_server::run(&arguments),
        Some(Command::Doctor(arguments)) => doctor::run(&arguments),
        Some(Command::Image { what }) => image::run(&what),
        Some(Command::Verify(ToolArgs { arguments })) => tool::run(tool::VERIFY, &arguments),
        Some(Command::Maker(ToolArgs { arguments })) => tool::run(tool::MAKER, &arguments),
        Some(Command::Spdm(ToolArgs { arguments })) => tool::run(tool::SPDM, &arguments),
    }
}

#[cfg(test)]
mod tests;
