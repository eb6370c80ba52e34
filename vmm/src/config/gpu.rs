//! A GPU as its user describes it: `apm[,memory=SIZE][,mode=on|off|devtools]`.

use super::{Error, Size};
use ravelin_gpu_abi::registers::Mode;
use ravelin_gpu_model::GpuConfig;
use serde::{Deserialize, Serialize};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct GpuSpec {
    /// What it is.
    pub model: ModelSpec,
    /// Bytes of HBM; memory of the host only where the guest writes.
    pub memory: Size,
    /// Protection mode at power-on.
    pub mode: ModeSpec,
}

/// Kinds of GPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelSpec {
    /// The model, in this process.
    #[default]
    Apm,
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

impl Default for GpuSpec {
    fn default() -> Self {
        Self { model: ModelSpec::Apm, memory: Size(GpuConfig::MEMORY), mode: ModeSpec::On }
    }
}

impl GpuSpec {
    /// Checks what holds for every GPU of this kind.
    ///
    /// # Errors
    /// Its memory is too small, too large or uneven.
    pub fn check(&self) -> Result<(), Error> {
        self.memory.check("GPU memory", LEAST_MEMORY, MEMORY_UNIT, MOST_MEMORY)
    }
}

impl FromStr for GpuSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |problem: String| Error::Gpu { text: text.into(), problem };
        let mut words = text.split(',');
        if words.next() != Some("apm") {
            return Err(wrong("the only kind of GPU is apm".into()));
        }
        let mut spec = Self::default();
        let mut seen = Vec::new();
        for word in words {
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
        spec.check()?;
        Ok(spec)
    }
}
