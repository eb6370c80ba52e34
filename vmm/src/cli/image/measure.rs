//! `ravelin image measure`: what reports on a guest will say, before there is one.

use super::source::{self, Error, MachineArgs};
use crate::config::Workload;
use clap::Args;
use ravelin_launch::Image;
use ravelin_launch::vcpu::Vmm;
use serde::Serialize;
use std::path::PathBuf;

/// Options of `ravelin image measure`.
#[derive(Debug, Args)]
pub(in crate::cli) struct MeasureArgs {
    /// An IGVM file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ovmf", "kernel", "workload"])]
    igvm: Option<PathBuf>,
    /// Firmware, such as OVMF.fd; for a kernel, OVMF.amdsev.fd
    #[arg(long, value_name = "FILE", conflicts_with = "workload")]
    ovmf: Option<PathBuf>,
    /// A Linux kernel: started by the firmware, which checks it, or without firmware
    #[arg(long, value_name = "FILE", conflicts_with = "workload")]
    kernel: Option<PathBuf>,
    /// Linux's initial file system
    #[arg(long, value_name = "FILE", requires = "kernel")]
    initrd: Option<PathBuf>,
    /// Linux's command line [default: none with --ovmf, otherwise "console=ttyS0 panic=-1"]
    #[arg(long, visible_alias = "cmdline", value_name = "WORDS", requires = "kernel")]
    #[arg(allow_hyphen_values = true)]
    append: Option<String>,
    /// The built-in guest with this workload
    #[arg(long, value_enum)]
    workload: Option<Workload>,
    /// Number of vCPUs [default: 1, or what an IGVM file has]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=512))]
    vcpus: Option<u32>,
    /// Whose vCPUs a firmware starts on: qemu, ec2 or gce
    #[arg(long, value_name = "NAME", default_value = "qemu", requires = "ovmf")]
    vmm_type: Vmm,
    #[command(flatten)]
    machine: MachineArgs,
    /// Print one JSON object (schema "ravelin.image.measure/1") on standard output
    #[arg(long)]
    pub(super) json: bool,
}

/// What was measured.
#[derive(Serialize)]
pub(super) struct Measured {
    schema: &'static str,
    /// The launch digest, hex: MEASUREMENT of reports.
    measurement: String,
    /// How many vCPUs are in it.
    vcpus: usize,
    /// How many pages are.
    pages: usize,
    /// POLICY of the guest, hex.
    policy: String,
    result: &'static str,
}

impl Measured {
    pub(super) fn new(image: &Image) -> Measured {
        Measured {
            schema: "ravelin.image.measure/1",
            measurement: digest(image),
            vcpus: image.vcpus.len(),
            pages: image.pages.len(),
            policy: format!("{:#x}", image.policy),
            result: "ok",
        }
    }

    /// The launch digest, hex.
    pub(super) fn measurement(&self) -> &str {
        &self.measurement
    }
}

/// The launch digest, hex.
pub(super) fn digest(image: &Image) -> String {
    image.digest().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The image that the arguments say.
pub(super) fn image(arguments: &MeasureArgs) -> Result<Image, Error> {
    let MeasureArgs { kernel, initrd, append, machine, .. } = arguments;
    if let Some(path) = &arguments.igvm {
        return source::from_igvm(path, arguments.vcpus);
    }
    let vcpus = arguments.vcpus.unwrap_or(1);
    if let Some(path) = &arguments.ovmf {
        let words = append.as_deref().unwrap_or_default();
        let hashes = kernel.as_deref().map(|file| source::hashes(file, initrd.as_deref(), words));
        return machine.firmware(path, hashes.transpose()?, vcpus, arguments.vmm_type);
    }
    let workload = arguments.workload;
    machine.direct(kernel.as_deref(), initrd.as_deref(), append.as_deref(), workload, vcpus)
}
