//! Time, and what to do without it.
//!
//! The host owns every clock that a confidential guest can read, so a guest does not know what time
//! it is. It judges in two stages: in the guest everything but "is it too late" is decided, with
//! [`Clock::NoEarlierThan`] for what is known (the reference values in its image were signed, so it
//! is later than that); a relying party with a clock of its own then judges the same evidence
//! [`Clock::At`] its time before it releases anything.

use core::fmt;
use core::time::Duration;

/// Seconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub u64);

impl UnixTime {
    pub(crate) fn of(time: x509_cert::time::Time) -> UnixTime {
        UnixTime(time.to_unix_duration().as_secs())
    }

    /// The time as X.509 writes it: UTCTime through 2049, GeneralizedTime from then on.
    ///
    /// # Errors
    /// Times after the year 9999.
    pub fn to_x509(self) -> der::Result<x509_cert::time::Time> {
        der::DateTime::from_unix_duration(Duration::from_secs(self.0))
            .map(x509_cert::time::Time::from)
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match der::DateTime::from_unix_duration(Duration::from_secs(self.0)) {
            Ok(time) => write!(formatter, "{time}"),
            Err(_) => write!(formatter, "{} s after 1970", self.0),
        }
    }
}

/// What a verifier knows about the present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// It is this time, by a clock that the verifier trusts.
    At(UnixTime),
    /// There is no trustworthy clock, but it cannot be earlier than this. What expired before is
    /// refused; "not yet valid" and "expired since" are left to a verifier with a clock.
    NoEarlierThan(UnixTime),
}

impl Clock {
    /// Nothing is known.
    pub const UNKNOWN: Clock = Clock::NoEarlierThan(UnixTime(0));

    /// The earliest time that it can be.
    pub fn earliest(self) -> UnixTime {
        match self {
            Clock::At(time) | Clock::NoEarlierThan(time) => time,
        }
    }

    /// The same clock, with the further knowledge that it is not before `time`. A real clock needs
    /// no such help and stays as it is.
    pub fn at_least(self, time: UnixTime) -> Clock {
        match self {
            Clock::At(_) => self,
            Clock::NoEarlierThan(known) => Clock::NoEarlierThan(known.max(time)),
        }
    }
}

/// From when to when something may be relied on, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First second.
    pub not_before: UnixTime,
    /// Last second.
    pub not_after: UnixTime,
}

/// Why a [`Validity`] does not cover the present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutOfTime {
    /// Surely too late.
    #[error("Expired at {0}")]
    Expired(UnixTime),
    /// Surely too early; only a real clock can tell.
    #[error("Not valid before {0}")]
    NotYetValid(UnixTime),
}

impl Validity {
    /// 9999-12-31T23:59:59Z, which RFC 5280 (4.1.2.5) gives to what never expires: a device has no
    /// clock, and certificates that it issues follow the device key's fate, not a date.
    pub const NEVER: UnixTime = UnixTime(253_402_300_799);

    /// Whether the present, as far as it is known, lies in between.
    ///
    /// # Errors
    /// On which side it surely lies outside.
    pub fn check(&self, clock: Clock) -> Result<(), OutOfTime> {
        if clock.earliest() > self.not_after {
            return Err(OutOfTime::Expired(self.not_after));
        }
        match clock {
            Clock::At(now) if now < self.not_before => Err(OutOfTime::NotYetValid(self.not_before)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: Validity = Validity { not_before: UnixTime(100), not_after: UnixTime(200) };

    #[test]
    fn both_ends_are_included() {
        for (now, verdict) in [
            (99, Err(OutOfTime::NotYetValid(UnixTime(100)))),
            (100, Ok(())),
            (200, Ok(())),
            (201, Err(OutOfTime::Expired(UnixTime(200)))),
        ] {
            assert_eq!(YEAR.check(Clock::At(UnixTime(now))), verdict, "at {now}");
        }
    }

    #[test]
    fn without_a_clock_only_what_has_surely_expired_is_refused() {
        assert_eq!(YEAR.check(Clock::UNKNOWN), Ok(()));
        let later = Clock::UNKNOWN.at_least(UnixTime(201));
        assert_eq!(YEAR.check(later), Err(OutOfTime::Expired(UnixTime(200))));
        assert_eq!(later.at_least(UnixTime(5)), later, "knowledge is never lost");
    }

    #[test]
    fn a_real_clock_is_not_corrected() {
        let clock = Clock::At(UnixTime(150));
        assert_eq!(clock.at_least(UnixTime(300)), clock);
    }

    #[test]
    fn times_read_as_dates() {
        use alloc::string::ToString;
        assert_eq!(Validity::NEVER.to_string(), "9999-12-31T23:59:59Z");
        assert!(UnixTime(Validity::NEVER.0 + 1).to_x509().is_err());
    }
}
