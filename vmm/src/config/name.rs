//! The name of a VM, which is also the name of its runtime directory.

use super::Error;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Most letters of a name: with it, the path of a socket must stay below 108 bytes.
const LONGEST: usize = 48;

/// A name that is safe as a directory and on a command line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// The name of a VM whose user gave none: `vm-` and the number of this process.
    pub fn of_this_process() -> Self {
        Self(format!("vm-{}", std::process::id()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let letters = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
        let valid = (1..=LONGEST).contains(&text.len())
            && text.chars().all(letters)
            && !text.starts_with('-');
        valid.then(|| Self(text.into())).ok_or_else(|| Error::Name(text.into()))
    }
}

impl TryFrom<String> for Name {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
