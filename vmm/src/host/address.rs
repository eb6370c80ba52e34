//! Where a function stands on the host's PCI buses: `domain:bus:device.function`, as `lspci -D` has it.

use serde::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// The address of a PCI function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// 16 bits on PCs, more where the kernel makes domains up.
    pub domain: u32,
    /// The bus.
    pub bus: u8,
    /// 0 to 31.
    pub device: u8,
    /// 0 to 7.
    pub function: u8,
}

/// No address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no PCI address: write 0000:01:00.0, as `ravelinctl devices` shows it")]
pub struct NotAnAddress(String);

impl FromStr for Address {
    type Err = NotAnAddress;

    /// With or without the domain, which is 0 where it is left out.
    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        parse(text).ok_or_else(|| NotAnAddress(text.into()))
    }
}

fn parse(text: &str) -> Option<Address> {
    let (rest, function) = text.rsplit_once('.')?;
    let (rest, device) = rest.rsplit_once(':')?;
    let (domain, bus) = rest.split_once(':').unwrap_or(("0000", rest));
    let address = Address {
        domain: hexadecimal(domain, 4..=8)?,
        bus: hexadecimal(bus, 2..=2)?.try_into().ok()?,
        device: hexadecimal(device, 2..=2)?.try_into().ok()?,
        function: hexadecimal(function, 1..=1)?.try_into().ok()?,
    };
    (address.device < 32 && address.function < 8).then_some(address)
}

/// `from_str_radix` would take a sign.
fn hexadecimal(digits: &str, lengths: std::ops::RangeInclusive<usize>) -> Option<u32> {
    let sound = lengths.contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    sound.then(|| u32::from_str_radix(digits, 16).ok())?
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { domain, bus, device, function } = self;
        write!(f, "{domain:04x}:{bus:02x}:{device:02x}.{function:x}")
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_domain_may_be_left_out() {
        let address = Address { domain: 0, bus: 0xc1, device: 0x1f, function: 7 };
        assert_eq!("c1:1f.7".parse(), Ok(address));
        assert_eq!("0000:C1:1f.7".parse(), Ok(address));
        assert_eq!("10000:00:00.0".parse::<Address>().unwrap().domain, 0x10000);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "01:00",
            "1:0.0",
            "0000:01:20.0",
            "0000:01:00.8",
            "0000:01:00.",
            "+000:01:00.0",
            "../../x",
            "0000:01:00.0/../x",
            "0000:01:00.0\n",
            " 0000:01:00.0",
            "0000:01:00.00",
            "0000:0000:01:00.0",
            "0000:01:-1.0",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn an_address_reads_as_it_is_written(
            domain in any::<u32>(), bus in any::<u8>(), device in 0..32u8, function in 0..8u8,
        ) {
            let address = Address { domain, bus, device, function };
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }
    }
}
