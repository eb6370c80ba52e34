//! What a user may have asked besides: before the key exchange, or in the session. One word each.

use std::fmt;
use std::str::FromStr;

use ravelin_spdm::message::measurements::Operation;
use ravelin_spdm::version::Version;

/// How questions before the session are spelled, for the help.
pub const BEFORE: &str = "challenge|measurements[=all|=count|=INDEX][,signed]";

/// How questions in the session are spelled, for the help.
pub const IN_SESSION: &str =
    "heartbeat|update-key|update-all-keys|measurements[=all|=count|=INDEX][,signed]";

/// Which measurements, and whether the responder's key is to sign them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measurements {
    /// Which.
    pub operation: Operation,
    /// Whether they are to be signed.
    pub signed: bool,
}

/// A question in clear, before there is a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// CHALLENGE.
    Challenge,
    /// GET_MEASUREMENTS.
    Measurements(Measurements),
}

/// A question in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InSession {
    /// HEARTBEAT.
    Heartbeat,
    /// KEY_UPDATE, of the requester's key or of both.
    UpdateKeys {
        /// Both.
        all: bool,
    },
    /// GET_MEASUREMENTS.
    Measurements(Measurements),
}

/// The versions that are offered: one, or a range of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions(pub Vec<Version>);

/// A word that is no question, or no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}")]
pub struct NotAQuestion {
    expected: &'static str,
}

impl FromStr for Measurements {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (which, signed) = match text.strip_suffix(",signed") {
            Some(which) => (which, true),
            None => (text, false),
        };
        let operation = match which.strip_prefix("measurements").ok_or(())? {
            "" | "=all" => Operation::All,
            "=count" => Operation::Count,
            index => match index.strip_prefix('=').and_then(|index| index.parse().ok()) {
                Some(index @ 1..=0xfe) => Operation::One(index),
                _ => return Err(()),
            },
        };
        Ok(Measurements { operation, signed })
    }
}

impl fmt::Display for Measurements {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.operation {
            Operation::All => formatter.write_str("measurements=all")?,
            Operation::Count => formatter.write_str("measurements=count")?,
            Operation::One(index) => write!(formatter, "measurements={index}")?,
        }
        formatter.write_str(if self.signed { ",signed" } else { "" })
    }
}

impl FromStr for Before {
    type Err = NotAQuestion;

    fn from_str(text: &str) -> Result<Self, NotAQuestion> {
        match text {
            "challenge" => Ok(Before::Challenge),
            _ => text.parse().map(Before::Measurements),
        }
        .map_err(|()| NotAQuestion { expected: BEFORE })
    }
}

impl fmt::Display for Before {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Before::Challenge => formatter.write_str("challenge"),
            Before::Measurements(measurements) => measurements.fmt(formatter),
        }
    }
}

impl FromStr for InSession {
    type Err = NotAQuestion;

    fn from_str(text: &str) -> Result<Self, NotAQuestion> {
        match text {
            "heartbeat" => Ok(InSession::Heartbeat),
            "update-key" => Ok(InSession::UpdateKeys { all: false }),
            "update-all-keys" => Ok(InSession::UpdateKeys { all: true }),
            _ => text.parse().map(InSession::Measurements),
        }
        .map_err(|()| NotAQuestion { expected: IN_SESSION })
    }
}

impl fmt::Display for InSession {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InSession::Heartbeat => formatter.write_str("heartbeat"),
            InSession::UpdateKeys { all: false } => formatter.write_str("update-key"),
            InSession::UpdateKeys { all: true } => formatter.write_str("update-all-keys"),
            InSession::Measurements(measurements) => measurements.fmt(formatter),
        }
    }
}

impl FromStr for Versions {
    type Err = NotAQuestion;

    fn from_str(text: &str) -> Result<Self, NotAQuestion> {
        let one = |text: &str| match text {
            "1.1" => Ok(Version::V1_1),
            "1.2" => Ok(Version::V1_2),
            "1.3" => Ok(Version::V1_3),
            _ => Err(NotAQuestion { expected: "1.1, 1.2 or 1.3, or a range such as 1.1-1.3" }),
        };
        let (least, most) = text.split_once('-').unwrap_or((text, text));
        let range = one(least)?..=one(most)?;
        let versions: Vec<Version> =
            Version::NEGOTIABLE.into_iter().filter(|version| range.contains(version)).collect();
        match versions.is_empty() {
            true => Err(NotAQuestion { expected: "the lower version first" }),
            false => Ok(Versions(versions)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_spelled_as_it_is_read() {
        for text in ["challenge", "measurements=all", "measurements=count,signed"] {
            assert_eq!(text.parse::<Before>().map(|before| before.to_string()), Ok(text.into()));
        }
        for text in ["heartbeat", "update-key", "update-all-keys", "measurements=254,signed"] {
            assert_eq!(text.parse::<InSession>().map(|ask| ask.to_string()), Ok(text.into()));
        }
        assert_eq!("measurements".parse::<Measurements>(), "measurements=all".parse());
    }

    #[test]
    fn what_is_no_question_is_not_guessed_at() {
        for text in [
            "",
            "heartbeat",
            "measurements=0",
            "measurements=255",
            "measurements,",
            "measurements=1,s",
        ] {
            assert!(text.parse::<Before>().is_err(), "{text:?}");
        }
        assert!("challenge".parse::<InSession>().is_err(), "there is none in a session");
    }

    #[test]
    fn versions_are_one_or_a_range() {
        let versions = |text: &str| text.parse::<Versions>().map(|Versions(versions)| versions);
        assert_eq!(versions("1.3"), Ok(vec![Version::V1_3]));
        assert_eq!(versions("1.1-1.2"), Ok(vec![Version::V1_1, Version::V1_2]));
        for text in ["1.0", "1.3-1.1", "1.4", "2", "1.1-", "-"] {
            assert!(versions(text).is_err(), "{text:?}");
        }
    }
}
