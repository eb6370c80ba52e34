//! Whether this host can run each platform and assign devices; where it cannot, what is missing and
//! what to do about it.
//!
//! [`examine`] asks a [`Host`] what it is and has, one question a check, in the order in which a person
//! would have to mend it. [`checks`] are the questions, [`host`] is the machine that this runs on. The
//! launcher asks the same before it makes an SNP guest, so that there is one list of what SNP takes.

mod checks;
pub mod host;

pub use host::{Host, ThisHost};

use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// What a host can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// Platform `none`.
    None,
    /// Platform `emulated`.
    Emulated,
    /// Platform `snp`.
    Snp,
    /// Devices assigned to guests.
    Vfio,
}

impl Subject {
    /// All of them.
    pub const ALL: [Subject; 4] = [Subject::None, Subject::Emulated, Subject::Snp, Subject::Vfio];
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Subject::None => "none",
            Subject::Emulated => "emulated",
            Subject::Snp => "snp",
            Subject::Vfio => "vfio",
        })
    }
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Subject::ALL.into_iter().find(|subject| subject.to_string() == name);
        found.ok_or_else(|| format!("{name:?} is none of none, emulated, snp and vfio"))
    }
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it must be.
    Ok,
    /// Not as it must be.
    Missing,
    /// It works without, and less well.
    Limited,
    /// It could not be looked at, because something before it is missing.
    Unknown,
}

/// One question and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// A stable name.
    pub id: &'static str,
    /// How it went.
    pub state: State,
    /// What there is.
    pub found: String,
    /// What to do, where it is not as it must be.
    pub fix: Option<String>,
}

/// A subject and its checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Examination {
    /// What was asked for.
    pub subject: Subject,
    /// Whether the host can.
    pub able: bool,
    /// Why, in the order in which to mend it.
    pub checks: Vec<Check>,
}

impl Examination {
    /// The first thing to mend.
    pub fn first_missing(&self) -> Option<&Check> {
        self.checks.iter().find(|check| check.state == State::Missing)
    }
}

/// What a host is, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Description {
    /// Release of its kernel.
    pub kernel: String,
    /// Its processor, by the name that it gives itself.
    pub processor: String,
    /// Whether it is itself a guest of somebody's.
    pub virtual_machine: bool,
    /// What stands behind `/dev/kvm`: `amd`, `intel`, `pvm` (no hardware virtualization), or `unknown`.
    pub kvm: &'static str,
}

/// Describes a host.
pub fn describe(host: &dyn Host) -> Description {
    Description {
        kernel: host.kernel_release(),
        processor: checks::processor(host),
        virtual_machine: checks::is_virtual(host),
        kvm: checks::kvm_kind(host),
    }
}

/// Asks whether a host can do something.
pub fn examine(host: &dyn Host, subject: Subject) -> Examination {
    let checks = match subject {
        Subject::None => checks::none(host),
        Subject::Emulated => checks::emulated(host),
        Subject::Snp => checks::snp(host),
        Subject::Vfio => checks::vfio(host),
    };
    let able = checks.iter().all(|check| matches!(check.state, State::Ok | State::Limited));
    Examination { subject, able, checks }
}

/// The host cannot; this is the first thing to mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this host cannot run platform {subject}: {found}: {fix} (all of it: `ravelin doctor {subject}`)"
)]
pub struct Unable {
    /// What was asked for.
    pub subject: Subject,
    /// What there is instead.
    pub found: String,
    /// What to do.
    pub fix: String,
}

/// Asks whether a host can do something, for whoever is about to do it.
///
/// # Errors
/// It cannot.
pub fn require(host: &dyn Host, subject: Subject) -> Result<(), Unable> {
    match examine(host, subject).first_missing() {
        None => Ok(()),
        Some(check) => Err(Unable {
            subject,
            found: check.found.clone(),
            fix: check.fix.clone().unwrap_or_default(),
        }),
    }
}

#[cfg(test)]
mod tests;
