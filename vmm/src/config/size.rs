//! A number of bytes as people write it.

use super::Error;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A number of bytes. Written as a number with a unit that is a power of 1024: `512M`, `512MiB`,
/// `80G`, `4096`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// Units, largest first.
const UNITS: [(&str, u32); 5] = [("PiB", 50), ("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];

impl Size {
    /// So many KiB.
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// So many MiB.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// So many GiB.
    pub const fn gib(count: u64) -> Self {
        Self(count << 30)
    }

    /// Reads a size. `what` is what the error calls it.
    ///
    /// # Errors
    /// It is no number with a known unit, or beyond 64 bits.
    pub fn parse(what: &'static str, text: &str) -> Result<Self, Error> {
        let unreadable = || Error::SizeUnreadable { what, text: text.into() };
        let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
        let unit = text[digits.len()..].trim();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(unreadable());
        }
        let shift = match unit {
            "" | "B" => 0,
            _ => {
                let known = |(name, _): &&(&str, u32)| {
                    // K, KB and KiB are one thing here.
                    [&name[..1], &name[..3], &format!("{}B", &name[..1])]
                        .iter()
                        .any(|name| name.eq_ignore_ascii_case(unit))
                };
                UNITS.iter().find(known).ok_or_else(unreadable)?.1
            }
        };
        let beyond = || Error::SizeTooLarge { what, text: text.into(), most: Size::gib(128 << 10) };
        let number: u64 = digits.parse().map_err(|_| beyond())?;
        number.checked_mul(1 << shift).map(Size).ok_or_else(beyond)
    }

    /// Checks that the size is from `least` to `most` in steps of `unit`.
    ///
    /// # Errors
    /// It is not.
    pub fn check(
        self,
        what: &'static str,
        least: Size,
        unit: Size,
        most: Size,
    ) -> Result<(), Error> {
        if self < least {
            Err(Error::SizeTooSmall { what, size: self, least })
        } else if self > most {
            Err(Error::SizeTooLarge { what, text: self.to_string(), most })
        } else if !self.0.is_multiple_of(unit.0) {
            Err(Error::SizeUneven { what, size: self, unit })
        } else {
            Ok(())
        }
    }
}

/// The largest unit that leaves a whole number.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, shift)| self.0 > 0 && self.0.is_multiple_of(1 << shift)) {
            Some((unit, shift)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = Size;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes, or text such as \"512MiB\"")
            }
            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Size, E> {
                u64::try_from(bytes).map(Size).map_err(de::Error::custom)
            }
            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(bytes))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                Size::parse("size", text).map_err(de::Error::custom)
            }
        }
        from.deserialize_any(Words)
    }
}
