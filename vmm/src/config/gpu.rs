//! A GPU as its user describes it: `apm[,memory=SIZE][,mode=on|off|devtools]`, or a device of the
//! host's ([`VfioSpec`]).

use super::{Error, Size, VfioSpec};
use ravelin_gpu_abi::registers::Mode;
use ravelin_gpu_model::GpuConfig;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::str::FromStr;

/// Most GPUs of a VM.
pub const MAX_GPUS: usize = 8;
/// Least HBM.
const LEAST_MEMORY: Size = Size::mib(8);
/// Unit of HBM.
const MEMORY_UNIT: Size = Size::mib(2);
/// Most HBM.
const MOST_MEMORY: Size = Size::gib(1 << 10);

/// A GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Words", into = "Words")]
pub enum GpuSpec {
    /// The model, in this process.
    Apm(ApmSpec),
    /// A device of the host's.
    Vfio(VfioSpec),
}

/// The model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApmSpec {
    /// Bytes of HBM; memory of the host only where the guest writes.
    pub memory: Size,
    /// Protection mode at power-on.
    pub mode: ModeSpec,
}

/// How a file says it: the keys of every kind.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Words {
    model: ModelSpec,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<Size>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<ModeSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iommufd: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    block: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<PathBuf>,
}

/// Kinds of GPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ModelSpec {
    /// The model, in this process.
    #[default]
    Apm,
    /// A device of the host's.
    Vfio,
}

/// A protection mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ModeSpec {
    /// Confidential.
    #[default]
    On,
    /// No protection.
    Off,
    /// Confidential protocols with debug open.
    Devtools,
}

impl From<ModeSpec> for Mode {
    fn from(mode: ModeSpec) -> Self {
        match mode {
            ModeSpec::On => Mode::On,
            ModeSpec::Off => Mode::Off,
            ModeSpec::Devtools => Mode::Devtools,
        }
    }
}

impl Default for ApmSpec {
    fn default() -> Self {
        Self { memory: Size(GpuConfig::MEMORY), mode: ModeSpec::On }
    }
}

impl Default for GpuSpec {
    fn default() -> Self {
        Self::Apm(ApmSpec::default())
    }
}

impl GpuSpec {
    /// Checks what holds for every GPU of this kind.
    ///
    /// # Errors
    /// Its memory is too small, too large or uneven.
    pub fn check(&self) -> Result<(), Error> {
        match self {
            GpuSpec::Apm(apm) => {
                apm.memory.check("GPU memory", LEAST_MEMORY, MEMORY_UNIT, MOST_MEMORY)
            }
            GpuSpec::Vfio(_) => Ok(()),
        }
    }
}

impl FromStr for ApmSpec {
    type Err = Error;

    /// Reads what follows `apm,`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |problem: String| Error::Gpu { text: format!("apm,{text}"), problem };
        let mut spec = Self::default();
        let mut seen = Vec::new();
        for word in text.split(',') {
            let (key, value) =
                word.split_once('=').ok_or_else(|| wrong(format!("{word:?} is no key=value")))?;
            if seen.contains(&key) {
                return Err(wrong(format!("{key} is said twice")));
            }
            seen.push(key);
            match (key, value) {
                ("memory", size) => spec.memory = Size::parse("GPU memory", size)?,
                ("mode", "on") => spec.mode = ModeSpec::On,
                ("mode", "off") => spec.mode = ModeSpec::Off,
                ("mode", "devtools") => spec.mode = ModeSpec::Devtools,
                ("mode", _) => return Err(wrong(format!("no mode is called {value:?}"))),
                _ => return Err(wrong(format!("a GPU has no {key:?}"))),
            }
        }
        Ok(spec)
    }
}

impl FromStr for GpuSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let spec = match text.split_once(',') {
            _ if text == "apm" => Self::default(),
            Some(("apm", words)) => Self::Apm(words.parse()?),
            _ if text.starts_with("vfio=") => Self::Vfio(text.parse()?),
            _ => {
                let problem = match text {
                    "none" => "none stands alone",
                    _ => "the kinds of GPU are apm and vfio",
                };
                return Err(Error::Gpu { text: text.into(), problem: problem.into() });
            }
        };
        spec.check()?;
        Ok(spec)
    }
}

impl TryFrom<Words> for GpuSpec {
    type Error = Error;

    fn try_from(words: Words) -> Result<Self, Error> {
        let Words { model, memory, mode, device, iommufd, block, profile } = words;
        let mixed =
            |problem: &str| Err(Error::Gpu { text: "[[gpus]]".into(), problem: problem.into() });
        match model {
            ModelSpec::Apm => {
                if device.is_some() || iommufd.is_some() || profile.is_some() || !block.is_empty() {
                    return mixed("device, iommufd, block and profile go with model = \"vfio\"");
                }
                let default = ApmSpec::default();
                let (memory, mode) =
                    (memory.unwrap_or(default.memory), mode.unwrap_or(default.mode));
                Ok(Self::Apm(ApmSpec { memory, mode }))
            }
            ModelSpec::Vfio => {
                if memory.is_some() || mode.is_some() {
                    return mixed("memory and mode go with model = \"apm\"");
                }
                let device = device.unwrap_or_default();
                VfioSpec::new(&device, iommufd.as_deref(), &block, profile).map(Self::Vfio)
            }
        }
    }
}

impl From<GpuSpec> for Words {
    fn from(spec: GpuSpec) -> Self {
        match spec {
            GpuSpec::Apm(ApmSpec { memory, mode }) => {
                Words { memory: Some(memory), mode: Some(mode), ..Self::default() }
            }
            GpuSpec::Vfio(spec) => {
                let (device, iommufd) = spec.device.in_words();
                Words {
                    model: ModelSpec::Vfio,
                    device: Some(device),
                    iommufd,
                    block: spec.block.iter().map(ToString::to_string).collect(),
                    profile: spec.profile,
                    ..Self::default()
                }
            }
        }
    }
}
