//! `ravelin image build`: an IGVM file of a guest that boots without firmware.

use super::source::{Error, MachineArgs};
use crate::config::Workload;
use clap::Args;
use ravelin_launch::Image;
use std::path::PathBuf;

/// Options of `ravelin image build`.
#[derive(Debug, Args)]
pub(in crate::cli) struct BuildArgs {
    /// A Linux kernel, a bzImage or an ELF vmlinux
    #[arg(long, value_name = "FILE", conflicts_with = "workload")]
    kernel: Option<PathBuf>,
    /// Linux's initial file system
    #[arg(long, value_name = "FILE", requires = "kernel")]
    initrd: Option<PathBuf>,
    /// Linux's command line [default: "console=ttyS0 panic=-1"]
    #[arg(long, visible_alias = "append", value_name = "WORDS", requires = "kernel")]
    #[arg(allow_hyphen_values = true)]
    cmdline: Option<String>,
    /// The built-in guest with this workload, instead of Linux
    #[arg(long, value_enum)]
    workload: Option<Workload>,
    /// Number of vCPUs
    #[arg(long, visible_alias = "cpus", value_name = "N", default_value_t = 1)]
    vcpus: u32,
    #[command(flatten)]
    machine: MachineArgs,
    /// The file to write
    #[arg(long, value_name = "FILE.igvm")]
    pub(super) output: PathBuf,
    /// Print one JSON object (schema "ravelin.image/1") on standard output
    #[arg(long)]
    pub(super) json: bool,
}

/// The image that the arguments say.
pub(super) fn image(arguments: &BuildArgs) -> Result<Image, Error> {
    let BuildArgs { kernel, initrd, cmdline, workload, vcpus, machine, .. } = arguments;
    let (kernel, initrd) = (kernel.as_deref(), initrd.as_deref());
    machine.direct(kernel, initrd, cmdline.as_deref(), *workload, *vcpus)
}
