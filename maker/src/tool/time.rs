//! Times on the command line: from when, and for how long.

use clap::Args;
use der::DateTime;
use ravelin_dice::UnixTime;
use ravelin_dice::time::Validity;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// Why a time makes no sense.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("--at {0:?} is no time: write such as 2026-11-24T00:00:00Z")]
    At(String),
    #[error("the system's clock is before 1970: give --at TIME")]
    Clock,
    #[error("--for ends at {end}, after its issuer's certificate does ({issuer}): make it shorter")]
    Longer { end: UnixTime, issuer: UnixTime },
    #[error("--for ends after the year 9999")]
    Endless,
}

/// From when.
#[derive(Args)]
pub(super) struct At {
    /// Date it at this time, such as 2026-11-24T00:00:00Z, instead of now. With the same keys, the
    /// same words at the same time give the same bytes
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

impl At {
    pub(super) fn time(&self) -> Result<UnixTime, Error> {
        match &self.at {
            Some(text) => {
                let time = DateTime::from_str(text).map_err(|_| Error::At(text.clone()))?;
                Ok(UnixTime(time.unix_duration().as_secs()))
            }
            None => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| Error::Clock)?;
                Ok(UnixTime(now.as_secs()))
            }
        }
    }

    /// From this time for so long.
    pub(super) fn lasting(&self, span: Span) -> Result<Validity, Error> {
        let not_before = self.time()?;
        let not_after = not_before.0.checked_add(span.0).map(UnixTime).ok_or(Error::Endless)?;
        if not_after > Validity::NEVER {
            return Err(Error::Endless);
        }
        Ok(Validity { not_before, not_after })
    }

    /// The same below an issuer; without a span, until the issuer's own end.
    pub(super) fn within(&self, span: Option<Span>, issuer: Validity) -> Result<Validity, Error> {
        let validity = match span {
            Some(span) => self.lasting(span)?,
            None => Validity { not_before: self.time()?, not_after: issuer.not_after },
        };
        if validity.not_after > issuer.not_after {
            let (end, issuer) = (validity.not_after, issuer.not_after);
            return Err(Error::Longer { end, issuer });
        }
        Ok(validity)
    }
}

/// A length of time, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span(pub(super) u64);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        let units = [("h", 3600), ("d", 86_400), ("w", 7 * 86_400), ("y", 365 * 86_400)];
        let span = units.iter().find_map(|(unit, seconds)| {
            let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
            number.checked_mul(*seconds)
        });
        match span {
            Some(seconds) if seconds > 0 => Ok(Span(seconds)),
            _ => Err("write hours, days, weeks or years of 365 days, such as 12h, 30d, 2w, 10y"
                .to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_a_number_and_a_unit() {
        assert_eq!("30d".parse(), Ok(Span(2_592_000)));
        assert_eq!("1y".parse(), Ok(Span(31_536_000)));
        for text in ["", "0d", "d", "30", "30 d", "-1d", "99999999999999999y"] {
            assert!(text.parse::<Span>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn nothing_outlives_its_issuer() {
        let at = At { at: Some("1970-01-01T00:00:10Z".into()) };
        let issuer = Validity { not_before: UnixTime(0), not_after: UnixTime(3610) };
        let whole = Validity { not_before: UnixTime(10), not_after: UnixTime(3610) };
        assert_eq!(at.within(None, issuer).unwrap(), whole);
        assert_eq!(at.within(Some(Span(3600)), issuer).unwrap(), whole);
        assert!(matches!(at.within(Some(Span(3601)), issuer), Err(Error::Longer { .. })));
        assert!(matches!(at.lasting(Span(u64::MAX)), Err(Error::Endless)));
    }
}
