//! Where a guest's console goes: `lines`, `stdio`, `socket` or `file=PATH`.

use super::Error;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where the guest's console goes, besides the serial socket in the VM's runtime directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SerialSpec {
    /// To standard error, line by line and marked as the guest's.
    #[default]
    Lines,
    /// To standard output as it is, and from standard input.
    Stdio,
    /// Nowhere else.
    Socket,
    /// To the end of a file, as it is.
    File(PathBuf),
}

impl FromStr for SerialSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match (text, text.strip_prefix("file=")) {
            ("lines", _) => Ok(Self::Lines),
            ("stdio", _) => Ok(Self::Stdio),
            ("socket", _) => Ok(Self::Socket),
            (_, Some(path)) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => Err(Error::Serial(text.into())),
        }
    }
}

impl fmt::Display for SerialSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lines => f.write_str("lines"),
            Self::Stdio => f.write_str("stdio"),
            Self::Socket => f.write_str("socket"),
            Self::File(path) => write!(f, "file={}", path.display()),
        }
    }
}

impl TryFrom<String> for SerialSpec {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<SerialSpec> for String {
    fn from(spec: SerialSpec) -> Self {
        spec.to_string()
    }
}
