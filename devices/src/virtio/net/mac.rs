//! Ethernet addresses as users write them.

use rustix::rand::{GetRandomFlags, getrandom};
use std::fmt;
use std::io;
use std::str::FromStr;

/// First octet: a group address.
const GROUP: u8 = 1;
/// First octet: administered locally.
const LOCAL: u8 = 2;

/// Why text is no address of a card.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not six octets.
    #[error("mac {0:?} is no Ethernet address: write six octets, such as 52:54:00:12:34:56")]
    Unreadable(String),
    /// A card's own address is of one card.
    #[error("mac {0} is a group address: make its first octet even, such as 52")]
    Group(MacAddress),
    /// All zeros is no card's address.
    #[error("mac {0} is nobody's: write another, such as 52:54:00:12:34:56")]
    Zero(MacAddress),
}

/// The address of a network card.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MacAddress([u8; 6]);

impl MacAddress {
    /// An address of one's own, from the kernel's random bytes.
    ///
    /// # Errors
    /// The kernel has none to give.
    pub fn random() -> io::Result<Self> {
        let mut octets = [0; 6];
        getrandom(&mut octets, GetRandomFlags::empty())?;
        octets[0] = octets[0] & !GROUP | LOCAL;
        Ok(Self(octets))
    }

    /// The octets in the order of the wire.
    pub fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl FromStr for MacAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let unreadable = || Error::Unreadable(text.into());
        let mut octets = [0; 6];
        let mut words = text.split(':');
        for octet in &mut octets {
            let word = words.next().filter(|word| word.len() == 2).ok_or_else(unreadable)?;
            // A sign is no digit, but `from_str_radix` takes one.
            let digits = word.bytes().all(|digit| digit.is_ascii_hexdigit());
            let value = u8::from_str_radix(word, 16).ok().filter(|_| digits);
            *octet = value.ok_or_else(unreadable)?;
        }
        let address = Self(octets);
        match octets {
            _ if words.next().is_some() => Err(unreadable()),
            [0, 0, 0, 0, 0, 0] => Err(Error::Zero(address)),
            [first, ..] if first & GROUP != 0 => Err(Error::Group(address)),
            _ => Ok(address),
        }
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_cards_address_is_refused() {
        for text in [
            "",
            "52",
            "52:54:00:12:34",
            "52:54:00:12:34:56:78",
            "52:54:00:12:34:5",
            "g2:54:00:12:34:56",
            "52-54-00-12-34-56",
            "52:54:00:12:34:+6",
            " 2:54:00:12:34:56",
            "52:54:00:12:34:56 ",
        ] {
            let error = text.parse::<MacAddress>().unwrap_err();
            assert!(matches!(error, Error::Unreadable(_)), "{text:?}");
        }
        let group = "53:54:00:12:34:56".parse::<MacAddress>();
        assert!(matches!(group, Err(Error::Group(_))));
        assert!(matches!("ff:ff:ff:ff:ff:ff".parse::<MacAddress>(), Err(Error::Group(_))));
        assert!(matches!("00:00:00:00:00:00".parse::<MacAddress>(), Err(Error::Zero(_))));
    }

    #[test]
    fn a_random_address_is_local_and_of_one_card() {
        for _ in 0..64 {
            let address = MacAddress::random().unwrap();
            assert_eq!(address.octets()[0] & 3, 2);
            assert_eq!(address.to_string().parse(), Ok(address));
        }
    }

    proptest! {
        #[test]
        fn addresses_survive_being_written(mut octets in any::<[u8; 6]>(), text in ".{0,20}") {
            octets[0] = octets[0] & !1 | 2;
            let address = MacAddress(octets);
            prop_assert_eq!(address.to_string().parse(), Ok(address));
            prop_assert_eq!(address.to_string().to_uppercase().parse(), Ok(address));
            let _ = text.parse::<MacAddress>();
        }
    }
}
