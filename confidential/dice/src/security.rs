//! The measured security configuration: SPDM measurement blocks 6 and 7, which are numbers and not
//! digests, so that a verifier can judge them by policy.

use crate::OperationalFlags;

/// SPDM measurement index of the [`SecurityConfiguration`].
pub const SECURITY_CONFIGURATION_INDEX: u8 = 6;
/// SPDM measurement index of the security version number.
pub const SVN_INDEX: u8 = 7;
/// Bytes of a [`SecurityConfiguration`].
pub const SECURITY_CONFIGURATION_SIZE: usize = 32;

/// The protection mode that a GPU booted into. The numbers are those of its MODE register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Mode {
    /// No protection.
    Off = 0,
    /// Confidential.
    On = 1,
    /// Confidential protocols with debug open.
    Devtools = 2,
}

impl Mode {
    /// The mode of this number.
    pub fn from_value(value: u32) -> Option<Mode> {
        [Mode::Off, Mode::On, Mode::Devtools].into_iter().find(|mode| *mode as u32 == value)
    }
}

/// What the GPU booted into and locked.
///
/// | bytes | field, little-endian |
/// | --- | --- |
/// | 0..4 | mode |
/// | 4..8 | debug: 0 closed, 1 open |
/// | 8..12 | security version number |
/// | 12..16 | zero |
/// | 16..24 | first byte of the protected region |
/// | 24..32 | first byte behind it |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityConfiguration {
    /// Protection mode.
    pub mode: Mode,
    /// Whether debug is open.
    pub debug: bool,
    /// Security version number of the firmware: the lowest of its components'.
    pub svn: u32,
    /// First byte of HBM that is protected.
    pub protected_base: u64,
    /// First byte behind the protected region. Equal to the base if nothing is protected.
    pub protected_end: u64,
}

impl SecurityConfiguration {
    /// The bytes of the measurement block.
    pub fn encode(&self) -> [u8; SECURITY_CONFIGURATION_SIZE] {
        let mut bytes = [0; SECURITY_CONFIGURATION_SIZE];
        bytes[0..4].copy_from_slice(&(self.mode as u32).to_le_bytes());
        bytes[4..8].copy_from_slice(&u32::from(self.debug).to_le_bytes());
        bytes[8..12].copy_from_slice(&self.svn.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.protected_base.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.protected_end.to_le_bytes());
        bytes
    }

    /// The configuration in these bytes; `None` for another length, an unknown mode, a debug state
    /// that is neither 0 nor 1, or a reserved field that is not zero.
    pub fn decode(bytes: &[u8]) -> Option<SecurityConfiguration> {
        let bytes: &[u8; SECURITY_CONFIGURATION_SIZE] = bytes.try_into().ok()?;
        let u32_at = |at: usize| u32::from_le_bytes(core::array::from_fn(|n| bytes[at + n]));
        let u64_at = |at: usize| u64::from_le_bytes(core::array::from_fn(|n| bytes[at + n]));
        let configuration = SecurityConfiguration {
            mode: Mode::from_value(u32_at(0))?,
            debug: u32_at(4) != 0,
            svn: u32_at(8),
            protected_base: u64_at(16),
            protected_end: u64_at(24),
        };
        (configuration.encode() == *bytes).then_some(configuration)
    }

    /// What the root of trust says of this configuration in its TcbInfo. A verifier holds the two
    /// against one another.
    pub fn flags(&self) -> OperationalFlags {
        OperationalFlags {
            not_secure: self.mode != Mode::On,
            debug: self.debug || self.mode == Mode::Devtools,
            ..OperationalFlags::default()
        }
    }
}

/// The bytes of the security version block: DSP0274 has 64 bits, little-endian.
pub fn encode_svn(svn: u32) -> [u8; 8] {
    u64::from(svn).to_le_bytes()
}

/// The security version in these bytes; `None` for another length or more than 32 bits.
pub fn decode_svn(bytes: &[u8]) -> Option<u32> {
    u32::try_from(u64::from_le_bytes(bytes.try_into().ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_configuration_survives_its_block(
            mode in 0_u32..3, debug: bool, svn: u32, base: u64, end: u64,
        ) {
            let configuration = SecurityConfiguration {
                mode: Mode::from_value(mode).unwrap(),
                debug,
                svn,
                protected_base: base,
                protected_end: end,
            };
            let bytes = configuration.encode();
            prop_assert_eq!(SecurityConfiguration::decode(&bytes), Some(configuration));
        }

        #[test]
        fn bytes_have_one_meaning_or_none(bytes: [u8; SECURITY_CONFIGURATION_SIZE]) {
            if let Some(configuration) = SecurityConfiguration::decode(&bytes) {
                prop_assert_eq!(configuration.encode(), bytes);
            }
        }

        #[test]
        fn a_version_survives_its_block(svn: u32) {
            prop_assert_eq!(decode_svn(&encode_svn(svn)), Some(svn));
        }
    }

    #[test]
    fn debug_that_is_neither_open_nor_closed_is_no_configuration() {
        let mut bytes = [0; SECURITY_CONFIGURATION_SIZE];
        bytes[4] = 2;
        assert_eq!(SecurityConfiguration::decode(&bytes), None);
    }

    #[test]
    fn devtools_is_never_reported_as_secure() {
        let configuration = SecurityConfiguration {
            mode: Mode::Devtools,
            debug: false,
            svn: 1,
            protected_base: 0,
            protected_end: 1,
        };
        assert!(configuration.flags().not_secure && configuration.flags().debug);
    }

    #[test]
    fn a_version_of_more_than_32_bits_is_none() {
        assert_eq!(decode_svn(&[0, 0, 0, 0, 1, 0, 0, 0]), None);
        assert_eq!(decode_svn(&[1, 0, 0, 0]), None);
    }
}
