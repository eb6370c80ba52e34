//! What an operator lets a guest's report say besides the guest's own: HOST_DATA, and the digest of a
//! policy.

use crate::cli::Error;
use sha2::{Digest, Sha384};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// HOST_DATA, in hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostData(pub(crate) [u8; 32]);

/// A text is no HOST_DATA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("HOST_DATA is 64 hexadecimal digits")]
pub(crate) struct NoHostData;

impl FromStr for HostData {
    type Err = NoHostData;

    fn from_str(text: &str) -> Result<Self, NoHostData> {
        let mut data = [0; 32];
        if text.len() != 2 * data.len() {
            return Err(NoHostData);
        }
        let nibble = |digit: u8| char::from(digit).to_digit(16).ok_or(NoHostData);
        for (byte, [high, low]) in data.iter_mut().zip(text.as_bytes().as_chunks().0) {
            *byte = (nibble(*high)? << 4 | nibble(*low)?) as u8;
        }
        Ok(HostData(data))
    }
}

/// SHA-384 of a policy's file, as its bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PolicyDigest([u8; 48]);

impl PolicyDigest {
    /// Of this file. What stands in it is the verifier's business.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn of_file(path: &Path) -> Result<PolicyDigest, Error> {
        let bytes = std::fs::read(path).map_err(|error| Error::File(path.into(), error))?;
        Ok(PolicyDigest(Sha384::digest(bytes).into()))
    }
}

impl fmt::Display for PolicyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_data_is_64_digits() {
        let mut data = [0; 32];
        (data[0], data[31]) = (0x0a, 0xf1);
        let text = format!("0A{}f1", "00".repeat(30));
        assert_eq!(text.parse(), Ok(HostData(data)));
        for text in ["", "00", &"g0".repeat(32), &"+0".repeat(32), &"00".repeat(33)] {
            assert_eq!(text.parse::<HostData>(), Err(NoHostData), "{text}");
        }
    }
}
