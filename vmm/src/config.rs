//! What a VM is made of, as its user says it: one serde structure with two spellings.
//!
//! The command line says it in options and `key=value` pairs, a TOML file in tables; both end in a
//! [`VmSpec`], and everything that can be checked without a machine is checked by building one.
//! Making the VM is [`machine`](crate::machine)'s.

mod gpu;
mod name;
mod pairs;
mod peripheral;
mod serial;
mod size;
mod vfio;

pub use gpu::{ApmSpec, GpuSpec, MAX_GPUS, ModeSpec};
pub use name::Name;
pub use peripheral::{DiskSpec, MAX_PERIPHERALS, NetSpec, VsockSpec};
pub use serial::SerialSpec;
pub use size::Size;
pub(crate) use vfio::read_block;
pub use vfio::{VfioDeviceSpec, VfioSpec};

use crate::platform::Platform;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Why words make no VM. Each has an exit code of its own
/// ([`ExitCode`](crate::cli::exit::ExitCode)).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A size that is no number with a unit.
    #[error("{what} {text:?} is no size: write a number and a unit, such as 512MiB or 80GiB")]
    SizeUnreadable {
        /// "memory", "GPU memory" and so on.
        what: &'static str,
        /// What was written.
        text: String,
    },
    /// A size below the least that works.
    #[error("{what} of {size} is too small: give at least {least}")]
    SizeTooSmall {
        /// Which size.
        what: &'static str,
        /// What was asked for.
        size: Size,
        /// The least.
        least: Size,
    },
    /// A size beyond the address space.
    #[error("{what} of {text} is beyond the address space: give at most {most}")]
    SizeTooLarge {
        /// Which size.
        what: &'static str,
        /// What was asked for.
        text: String,
        /// The most.
        most: Size,
    },
    /// A size between two units of allocation.
    #[error("{what} of {size} is no multiple of {unit}: round it")]
    SizeUneven {
        /// Which size.
        what: &'static str,
        /// What was asked for.
        size: Size,
        /// The unit.
        unit: Size,
    },
    /// A GPU that is none.
    #[error(
        "--gpu {text:?}: {problem}; write apm[,memory=SIZE][,mode=on|off|devtools] or {}",
        vfio::FORM
    )]
    Gpu {
        /// What was written.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No GPU for a guest that needs one, or too many.
    #[error("{0} GPUs: give 1 to {MAX_GPUS}, or none to a Linux guest")]
    GpuCount(usize),
    /// Words behind the size of memory that are none.
    #[error("--memory {0:?}: write SIZE[,hugepages=on|off]")]
    Memory(String),
    /// No vCPU, or too many.
    #[error("--cpus {0}: give 1 to {MAX_CPUS}")]
    Cpus(String),
    /// A console that is none.
    #[error("--serial {0:?}: say lines, stdio, socket or file=PATH")]
    Serial(String),
    /// Something for Linux where there is no kernel, or the reverse.
    #[error("{0} goes with {1}: drop one of the two")]
    Mismatch(&'static str, &'static str),
    /// A name that cannot be one.
    #[error("{0:?} is no name for a VM: use 1 to 48 of a-z, A-Z, 0-9, '-' and '_', not '-' first")]
    Name(String),
    /// A disk, a network card or a socket device that is none.
    #[error("{option} {text:?}: {problem}; write {form}")]
    Device {
        /// Which option.
        option: &'static str,
        /// What was written.
        text: String,
        /// What is wrong with it.
        problem: String,
        /// How it is written.
        form: &'static str,
    },
    /// A disk or a tap that cannot be had twice.
    #[error("{option} {text:?} is given twice: drop one of the two{or}")]
    Twice {
        /// Which option.
        option: &'static str,
        /// What is given twice.
        text: String,
        /// What else can be done.
        or: &'static str,
    },
    /// More disks and network cards than the bus takes.
    #[error("{0} disks and network cards: give at most {MAX_PERIPHERALS}")]
    PeripheralCount(usize),
    /// A repetition that is none.
    #[error("--repeat {0:?} is no count: write a number from 1, or forever")]
    Repeat(String),
    /// Images make no sense for this workload.
    #[error("--images goes with --workload digits, not {0}: drop one of the two")]
    ImagesWithoutDigits(Workload),
    /// A TOML file that is no VM.
    #[error("the VM's file is not understood: {0}")]
    File(String),
}

/// A VM, as its user describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct VmSpec {
    /// Its name among the running VMs; made up where absent.
    pub name: Option<Name>,
    /// What keeps its memory private.
    #[serde(with = "platform_name")]
    pub platform: Platform,
    /// Bytes of guest memory.
    pub memory: Size,
    /// Whether guest memory is asked for in huge pages.
    pub hugepages: bool,
    /// Number of vCPUs.
    pub cpus: u8,
    /// An IGVM file, instead of a kernel or the built-in guest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub igvm: Option<PathBuf>,
    /// A Linux kernel, bzImage or ELF; the built-in guest where absent.
    pub kernel: Option<PathBuf>,
    /// Linux's initial file system.
    pub initrd: Option<PathBuf>,
    /// Linux's command line; a usual one where absent.
    pub cmdline: Option<String>,
    /// Where the guest's console goes.
    pub serial: SerialSpec,
    /// Its GPUs, in the order in which the guest finds them.
    pub gpus: Vec<GpuSpec>,
    /// A Linux guest's disks: the first is `vda`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<DiskSpec>,
    /// A Linux guest's network cards.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nets: Vec<NetSpec>,
    /// A Linux guest's socket device.
    pub vsock: Option<VsockSpec>,
    /// What its request for a reset does.
    pub on_reset: OnReset,
    /// Certificates of the key that signs an SNP guest's reports, a directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificates: Option<PathBuf>,
    /// What the guest does.
    pub workload: Workload,
    /// How often it does it.
    pub repeat: Repeat,
    /// The user's own images, `.npy` or `.csv`; the built-in test set where absent.
    pub images: Option<PathBuf>,
}

/// Most vCPUs.
pub const MAX_CPUS: u8 = 32;
/// Least memory of a Linux guest on a platform with private memory: its bounce buffers alone take
/// 64 MiB.
pub const LEAST_MEMORY_OF_PRIVATE_LINUX: Size = Size::mib(256);
/// Least guest memory: what the built-in guest needs to live.
pub const LEAST_MEMORY: Size = Size::mib(64);
/// Unit of guest memory: a large page.
pub const MEMORY_UNIT: Size = Size::mib(2);
/// Most guest memory that is worth asking the machine for: what 47 bits address.
pub const MOST_MEMORY: Size = Size::gib(128 << 10);

impl Default for VmSpec {
    fn default() -> Self {
        Self {
            name: None,
            platform: Platform::default(),
            memory: Size::mib(512),
            hugepages: false,
            cpus: 1,
            igvm: None,
            kernel: None,
            initrd: None,
            cmdline: None,
            serial: SerialSpec::default(),
            gpus: vec![GpuSpec::default()],
            disks: Vec::new(),
            nets: Vec::new(),
            vsock: None,
            on_reset: OnReset::default(),
            certificates: None,
            workload: Workload::default(),
            repeat: Repeat::default(),
            images: None,
        }
    }
}

impl VmSpec {
    /// The VM in a TOML file.
    ///
    /// # Errors
    /// The text is no TOML, or names something that a VM does not have.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        toml::from_str(text).map_err(|error| Error::File(one_line(&error.to_string())))
    }

    /// Checks what holds for every VM on every machine.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), Error> {
        self.memory.check("memory", LEAST_MEMORY, MEMORY_UNIT, MOST_MEMORY)?;
        if !(1..=MAX_CPUS).contains(&self.cpus) {
            return Err(Error::Cpus(self.cpus.to_string()));
        }
        let least_gpus = if self.kernel.is_some() || self.igvm.is_some() { 0 } else { 1 };
        if !(least_gpus..=MAX_GPUS).contains(&self.gpus.len()) {
            return Err(Error::GpuCount(self.gpus.len()));
        }
        self.gpus.iter().try_for_each(GpuSpec::check)?;
        if self.hugepages && self.platform == Platform::Snp {
            return Err(Error::Mismatch("hugepages=on", "--platform emulated or none"));
        }
        if self.certificates.is_some() && self.platform != Platform::Snp {
            return Err(Error::Mismatch("--certificates", "--platform snp"));
        }
        match (&self.igvm, &self.kernel) {
            (Some(_), _) => self.check_image(),
            (None, Some(_)) => self.check_linux(),
            (None, None) => self.check_builtin(),
        }
    }

    fn check_image(&self) -> Result<(), Error> {
        let unused = [
            ("--kernel", self.kernel.is_some()),
            ("--initrd", self.initrd.is_some()),
            ("--cmdline", self.cmdline.is_some()),
            ("--images", self.images.is_some()),
        ];
        if let Some((option, _)) = unused.into_iter().find(|(_, given)| *given) {
            return Err(Error::Mismatch(option, "a guest that is not an image (--igvm)"));
        }
        if !self.platform.splits_memory() {
            return Err(Error::Mismatch("--igvm", "--platform emulated"));
        }
        self.check_peripherals()
    }

    fn check_linux(&self) -> Result<(), Error> {
        if self.platform.splits_memory() {
            let (what, least) = ("memory of a Linux guest", LEAST_MEMORY_OF_PRIVATE_LINUX);
            self.memory.check(what, least, MEMORY_UNIT, MOST_MEMORY)?;
        }
        self.check_peripherals()?;
        match self.images {
            Some(_) => Err(Error::Mismatch("--images", "the built-in guest, not with --kernel")),
            None => Ok(()),
        }
    }

    fn check_peripherals(&self) -> Result<(), Error> {
        let peripherals = self.disks.len() + self.nets.len();
        if peripherals > MAX_PERIPHERALS {
            return Err(Error::PeripheralCount(peripherals));
        }
        self.check_distinct()?;
        self.vsock.as_ref().map_or(Ok(()), VsockSpec::check)
    }

    /// A disk that somebody writes is nobody else's, and a tap has one end.
    fn check_distinct(&self) -> Result<(), Error> {
        for (index, disk) in self.disks.iter().enumerate() {
            let same = |other: &&DiskSpec| other.path == disk.path;
            let earlier = self.disks[..index].iter().find(same);
            if earlier.is_some_and(|other| !(other.readonly && disk.readonly)) {
                let (text, or) = (disk.path.display().to_string(), ", or give both readonly=on");
                return Err(Error::Twice { option: "--disk", text, or });
            }
        }
        for (index, net) in self.nets.iter().enumerate() {
            if self.nets[..index].iter().any(|other| other.tap == net.tap) {
                let (text, or) = (net.tap.clone(), ", or make another tap");
                return Err(Error::Twice { option: "--net", text, or });
            }
        }
        Ok(())
    }

    fn check_builtin(&self) -> Result<(), Error> {
        let unused = [
            ("--initrd", self.initrd.is_some()),
            ("--cmdline", self.cmdline.is_some()),
            ("--disk", !self.disks.is_empty()),
            ("--net", !self.nets.is_empty()),
            ("--vsock", self.vsock.is_some()),
        ];
        if let Some((option, _)) = unused.into_iter().find(|(_, given)| *given) {
            return Err(Error::Mismatch(option, "--kernel"));
        }
        if self.images.is_some() && self.workload != Workload::Digits {
            return Err(Error::ImagesWithoutDigits(self.workload));
        }
        Ok(())
    }
}

/// What the guest does with its GPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Classifies handwritten digits.
    #[default]
    Digits,
    /// Attests its GPUs and waits.
    Idle,
    /// Tries out QEMU's device edu, passed through: `--repeat` conversions while its DMA runs.
    Edu,
    /// Tries out QEMU's NVMe controller, passed through: `--repeat` commands.
    Nvme,
}

impl std::fmt::Display for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Workload::Digits => "digits",
            Workload::Idle => "idle",
            Workload::Edu => "edu",
            Workload::Nvme => "nvme",
        })
    }
}

/// What a guest's request for a reset does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum OnReset {
    /// It ends the run.
    #[default]
    End,
    /// The guest is launched anew.
    Relaunch,
}

/// How often the workload runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RepeatWords", into = "RepeatWords")]
pub enum Repeat {
    /// So many rounds, at least 1.
    Times(u64),
    /// Until somebody stops the VM.
    Forever,
}

impl Default for Repeat {
    fn default() -> Self {
        Repeat::Times(1)
    }
}

impl std::str::FromStr for Repeat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.parse() {
            _ if text == "forever" => Ok(Repeat::Forever),
            Ok(times) if times > 0 => Ok(Repeat::Times(times)),
            _ => Err(Error::Repeat(text.into())),
        }
    }
}

impl std::fmt::Display for Repeat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Repeat::Times(times) => times.fmt(f),
            Repeat::Forever => f.write_str("forever"),
        }
    }
}

/// How a file says it: a number or a word.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum RepeatWords {
    Number(u64),
    Word(String),
}

impl TryFrom<RepeatWords> for Repeat {
    type Error = Error;

    fn try_from(words: RepeatWords) -> Result<Self, Error> {
        match words {
            RepeatWords::Number(number) => number.to_string().parse(),
            RepeatWords::Word(word) => word.parse(),
        }
    }
}

impl From<Repeat> for RepeatWords {
    fn from(repeat: Repeat) -> Self {
        match repeat {
            Repeat::Times(times) => RepeatWords::Number(times),
            Repeat::Forever => RepeatWords::Word(repeat.to_string()),
        }
    }
}

/// Serde by the names that the command line uses.
mod platform_name {
    use super::Platform;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(platform: &Platform, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(platform)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Platform, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// An error text of several lines as one, cut where it shows a file that is no text.
fn one_line(text: &str) -> String {
    const LONGEST: usize = 500;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} ...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests;
