//! What an image is made of, or is: the options that `build` and `measure` have in common, and the image
//! that they say.

use crate::boot::direct::{ImageError, Machine, Target};
use crate::boot::image;
use crate::boot::linux::{self, Linux};
use crate::config::{self, MAX_CPUS, Size, Workload};
use crate::vm::Builtin;
use clap::{Args, ValueEnum};
use ravelin_digits::EMBEDDED;
use ravelin_launch::ovmf::kernel_hashes::KernelHashes;
use ravelin_launch::ovmf::{self, Firmware};
use ravelin_launch::vcpu::{Signature, Vmm};
use ravelin_launch::{DEFAULT_POLICY, Image, igvm};
use ravelin_sp_model::chip;
use std::io;
use std::path::{Path, PathBuf};

/// Where SNP hosts of today have the C-bit.
const C_BIT_OF_SNP: u8 = 51;
/// The processor of an SNP host where nothing is said: EPYC-Milan.
const MILAN: Signature = Signature::new(0x19, 1, 1);
/// Where the emulated platform has it on hosts with 48 address bits or more.
const C_BIT_OF_EMULATED: u8 = 47;

/// Why there is no such image.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum Error {
    /// A file cannot be read.
    #[error("cannot read {}: check the path and its permissions", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// The firmware is none.
    #[error("{} cannot be launched", .0.display())]
    Firmware(PathBuf, #[source] ovmf::Error),
    /// The IGVM file is none.
    #[error("{} cannot be launched", .0.display())]
    Igvm(PathBuf, #[source] igvm::Error),
    /// The kernel cannot be booted.
    #[error(transparent)]
    Linux(#[from] linux::Error),
    /// The guest does not fit its machine.
    #[error(transparent)]
    Direct(#[from] ImageError),
    /// A size or a number of vCPUs.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// A number of vCPUs that the file does not have.
    #[error("--vcpus {asked}: the IGVM file has the states of {has}; leave the option away")]
    Vcpus {
        /// What was asked for.
        asked: u32,
        /// What the file has.
        has: usize,
    },
    /// Nothing to make an image of.
    #[error("say what to boot: --kernel FILE, or --workload digits for the built-in guest")]
    Nothing,
}

/// The machine that an image is for.
#[derive(Debug, Args)]
pub(in crate::cli) struct MachineArgs {
    /// The platform to boot on without firmware; its page tables are in the image
    #[arg(long, value_enum, default_value_t)]
    platform: Platform,
    /// Which bit of a page-table entry makes memory private [default: 51 on snp, 47 on emulated]
    #[arg(long, value_name = "BIT", value_parser = clap::value_parser!(u8).range(36..=51))]
    c_bit: Option<u8>,
    /// Guest memory; without firmware all of it is measured
    #[arg(long, value_name = "SIZE", default_value = "512MiB")]
    memory: String,
    /// The processor, by QEMU's name or as the hexadecimal EAX of CPUID 1 [default: EPYC-Milan, or on
    /// emulated what the emulated AMD-SP is part of]
    #[arg(long, value_name = "NAME")]
    vcpu_type: Option<Signature>,
    /// SEV_FEATURES of each vCPU
    #[arg(long, value_name = "HEX", value_parser = hexadecimal, default_value = "0x1")]
    guest_features: u64,
}

/// A platform that an image can be for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Platform {
    /// SEV-SNP
    #[default]
    Snp,
    /// Ravelin's emulated platform
    Emulated,
}

pub(super) fn hexadecimal(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u64::from_str_radix(digits, 16).map_err(|_| "write hexadecimal digits, such as 0x1".into())
}

impl MachineArgs {
    fn machine(&self, cpus: u32) -> Result<Machine, Error> {
        let cpus = u8::try_from(cpus).ok().filter(|cpus| (1..=MAX_CPUS).contains(cpus));
        let (target, usual, processor) = match self.platform {
            Platform::Snp => (Target::Snp, C_BIT_OF_SNP, MILAN),
            Platform::Emulated => (Target::Emulated, C_BIT_OF_EMULATED, Signature(chip::FMS)),
        };
        Ok(Machine {
            target,
            c_bit: self.c_bit.unwrap_or(usual),
            memory: Size::parse("memory", &self.memory)?.0,
            cpus: cpus.ok_or_else(|| config::Error::Cpus("beyond them".into()))?,
            signature: self.vcpu_type.unwrap_or(processor),
            sev_features: self.guest_features,
            policy: DEFAULT_POLICY,
        })
    }

    /// The image of a guest that boots without firmware.
    pub(super) fn direct(
        &self,
        kernel: Option<&Path>,
        initrd: Option<&Path>,
        command_line: Option<&str>,
        workload: Option<Workload>,
        cpus: u32,
    ) -> Result<Image, Error> {
        let machine = self.machine(cpus)?;
        match (kernel, workload) {
            (Some(kernel), _) => {
                let words = command_line.unwrap_or(linux::DEFAULT_COMMAND_LINE);
                Ok(machine.linux(Linux::open(kernel, initrd, words)?)?)
            }
            (None, Some(workload)) => Ok(machine.builtin(&builtin(workload))?),
            (None, None) => Err(Error::Nothing),
        }
    }

    /// The image of a firmware.
    pub(super) fn firmware(
        &self,
        path: &Path,
        kernel: Option<KernelHashes>,
        vcpus: u32,
        vmm: Vmm,
    ) -> Result<Image, Error> {
        let bytes = read(path)?;
        let launch = ovmf::Launch {
            vcpus,
            signature: self.vcpu_type.unwrap_or(MILAN),
            sev_features: self.guest_features,
            vmm,
            kernel,
        };
        let image = Firmware::parse(&bytes).and_then(|firmware| firmware.image(&launch));
        image.map_err(|error| Error::Firmware(path.into(), error))
    }
}

/// The image in an IGVM file.
pub(super) fn from_igvm(path: &Path, vcpus: Option<u32>) -> Result<Image, Error> {
    let image = igvm::read(&read(path)?).map_err(|error| Error::Igvm(path.into(), error))?;
    let has = image.vcpus.len();
    match vcpus {
        Some(asked) if asked as usize != has => Err(Error::Vcpus { asked, has }),
        _ => Ok(image),
    }
}

/// The hashes of what the host will hand a firmware.
pub(super) fn hashes(
    kernel: &Path,
    initrd: Option<&Path>,
    command_line: &str,
) -> Result<KernelHashes, Error> {
    let initrd = initrd.map(read).transpose()?.unwrap_or_default();
    Ok(KernelHashes::new(&read(kernel)?, &initrd, command_line))
}

/// A file of the user's.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| Error::Read(path.into(), error))
}

/// The built-in guest as `ravelin run` starts it.
fn builtin(workload: Workload) -> Builtin {
    Builtin {
        image: image::BUILTIN,
        parameters: format!("workload={workload} repeat=1"),
        hints: String::new(),
        host_data: [0; 32],
        payload: if workload == Workload::Digits { EMBEDDED.to_vec() } else { Vec::new() },
    }
}
