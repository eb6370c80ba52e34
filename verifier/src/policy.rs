//! What a relying party accepts, as a TOML file.
//!
//! The keys at the top say which checks may be left unmade; the default is that none may. The
//! tables say which values are accepted. A key that this verifier does not know is an error: a
//! misspelt demand must not be a demand that nobody checks.

mod apm;
mod composite;
mod nvidia;
mod snp;

use serde::Deserialize;

pub use apm::Apm;
pub use composite::Composite;
pub use nvidia::{Firmware, Nvidia};
pub use snp::{FirmwareVersion, GuestPolicyBits, PlatformBits, Snp, TcbFloor};

/// Bytes written as hexadecimal text of a fixed length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hex<const N: usize>(pub [u8; N]);

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; N];
        hex::decode_to_slice(&text, &mut bytes).map_err(|error| {
            serde::de::Error::custom(format!("{error}; expected {} hexadecimal digits", 2 * N))
        })?;
        Ok(Hex(bytes))
    }
}

/// What an unknown state of revocation means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Revoked {
    /// Each certificate that can be revoked needs a current list that does not name it.
    #[default]
    Required,
    /// A certificate without a list passes as skipped. A revoked one never passes.
    AllowUnknown,
}

/// What shows that evidence was made for the relying party now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Freshness {
    /// The nonce (or REPORT_DATA) that the relying party gives on the command line.
    #[default]
    Required,
    /// The nonce that the evidence's own file records will do as well.
    Recorded,
    /// Nothing: the evidence may be old.
    Unchecked,
}

/// Whether something must be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// It must.
    #[default]
    Required,
    /// It is checked where it is there.
    Optional,
}

/// A policy. The default is the strictest one: every check must be made.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Whether revocation must be known.
    pub revocation: Revoked,
    /// Whether freshness must be shown.
    pub freshness: Freshness,
    /// Whether a GPU's driver must be compared with a manifest.
    pub driver_manifest: Presence,
    /// Whether a GPU's VBIOS must be compared with a manifest.
    pub vbios_manifest: Presence,
    /// Whether a guest's launch measurement must be compared with `snp.measurements`.
    pub launch_measurement: Presence,
    /// What is accepted of Ravelin's GPU model.
    pub apm: Apm,
    /// What is asked of a guest and its GPUs together.
    pub composite: Composite,
    /// What is accepted of an NVIDIA GPU.
    pub nvidia: Nvidia,
    /// What is accepted of an SEV-SNP guest.
    pub snp: Snp,
}

/// Why a file is no policy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not UTF-8.
    #[error("the policy is not UTF-8 text")]
    Text,
    /// Not TOML, or not a policy.
    #[error("not a policy: {0}")]
    Toml(#[from] toml::de::Error),
}

impl Policy {
    /// The policy of a TOML file.
    pub fn from_toml(bytes: &[u8]) -> Result<Policy, Error> {
        Ok(toml::from_str(str::from_utf8(bytes).map_err(|_| Error::Text)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_lets_no_check_go_unmade() {
        let policy = Policy::from_toml(b"").unwrap();
        assert_eq!(policy.revocation, Revoked::Required);
        assert_eq!(policy.freshness, Freshness::Required);
        assert_eq!(policy.driver_manifest, Presence::Required);
        assert_eq!(policy.vbios_manifest, Presence::Required);
        assert_eq!(policy.launch_measurement, Presence::Required);
        assert!(!policy.snp.guest_policy.debug_allowed);
    }

    #[test]
    fn a_misspelt_demand_is_an_error() {
        for text in [
            "revokation = \"required\"",
            "revocation = \"maybe\"",
            "[nvidia]\nmode = 1",
            "[snp.minimum_tcb]\nbootlaoder = 3",
            "[snp]\nmeasurements = [\"00\"]",
        ] {
            assert!(Policy::from_toml(text.as_bytes()).is_err(), "{text}");
        }
    }
}
