//! The hardware root of trust: the device's identity, and what each boot makes of it.
//!
//! The identity is provisioned by the maker and is there for life. At each boot the root of trust
//! measures every firmware image and the security configuration, makes a **fresh attestation key**,
//! and endorses it in a DICE certificate that carries the firmware id. An evidence of an earlier
//! boot is therefore under a key that no longer exists. What is signed with the key, and when, is
//! [`sec2`](crate::sec2)'s business.

use p384::SecretKey;
use p384::ecdsa::SigningKey;
use p384::elliptic_curve::Generate;
use ravelin_dice::{Component, Digest, SecurityConfiguration, TcbInfo, firmware_id};
use ravelin_gpu_abi::registers::Mode;
use ravelin_maker::{DeviceIdentity, FirmwareSet, MODEL, Maker, VENDOR};
use std::path::{Path, PathBuf};
use thiserror::Error;

use crate::firewall::Firewall;

/// Layer of the attestation key in DICE: 0 is the device identity.
const LAYER: u32 = 1;

/// Why there is no identity or no attestation key.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The maker has no device of this serial number.
    #[error("the maker provisions no device {serial}: choose another serial number")]
    Provision {
        /// The serial number.
        serial: u64,
        /// What the maker said.
        source: ravelin_maker::Error,
    },
    /// There is no identity in the directory.
    #[error("there is no device identity in {}: make one with `ravelin maker provision`", directory.display())]
    Identity {
        /// The directory.
        directory: PathBuf,
        /// What is wrong with it.
        source: ravelin_maker::Error,
    },
    /// The attestation key could not be endorsed.
    #[error("the attestation key was not endorsed: reset the GPU")]
    Endorse(#[source] ravelin_maker::Error),
    /// The machine gives no randomness.
    #[error("no randomness for the attestation key: reset the GPU")]
    Randomness(#[from] getrandom::Error),
}

/// The root of trust.
pub(crate) struct Hrot {
    identity: DeviceIdentity,
}

/// What one boot measured, and the key that vouches for it. The key is wiped when dropped.
pub(crate) struct Evidence {
    pub(crate) attestation_key: SigningKey,
    /// Certificates from the maker's root to the attestation key, DER, concatenated.
    pub(crate) certificates: Vec<u8>,
    pub(crate) measurements: Measurements,
}

/// What one boot measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Measurements {
    /// SHA-384 of each image, in the order of [`Component::ALL`].
    pub(crate) firmware: [Digest; Component::ALL.len()],
    /// Mode, debug, security version and protected bounds.
    pub(crate) security: SecurityConfiguration,
}

impl Hrot {
    /// The root of trust of the device with this serial number.
    pub(crate) fn provisioned(serial: u64) -> Result<Hrot, Error> {
        let identity = Maker::development()
            .and_then(|maker| maker.provision(&format!("{serial:04}")))
            .map_err(|source| Error::Provision { serial, source })?;
        Ok(Hrot { identity })
    }

    /// The root of trust of the device that a maker has provisioned in this directory.
    pub(crate) fn of_directory(directory: &Path) -> Result<Hrot, Error> {
        let identity = DeviceIdentity::read(directory)
            .map_err(|source| Error::Identity { directory: directory.to_path_buf(), source })?;
        Ok(Hrot { identity })
    }

    /// SHA-384 of the identity's public key.
    pub(crate) fn identity(&self) -> Digest {
        self.identity.digest().unwrap_or([0; 48])
    }

    /// Measures `firmware` and how `firewall` was locked, and endorses a new attestation key.
    pub(crate) fn boot(
        &self,
        firmware: &FirmwareSet,
        firewall: &Firewall,
    ) -> Result<Evidence, Error> {
        let measurements = Measurements::take(firmware, firewall);
        let attestation_key =
            SigningKey::from(SecretKey::try_generate_from_rng(&mut getrandom::SysRng)?);
        let device = self.identity.issuer().device();
        let (vendor, model) = match device {
            Some(device) => (device.manufacturer.clone(), device.product.clone()),
            None => (VENDOR.to_owned(), MODEL.to_owned()),
        };
        let tcb = TcbInfo {
            vendor,
            model,
            version: firmware.version().to_owned(),
            svn: measurements.security.svn,
            layer: LAYER,
            firmware_id: measurements.firmware_id(),
            flags: measurements.security.flags(),
        };
        let leaf =
            self.identity.endorse(attestation_key.verifying_key(), &tcb).map_err(Error::Endorse)?;
        Ok(Evidence {
            certificates: [self.identity.chain(), leaf].concat(),
            attestation_key,
            measurements,
        })
    }
}

impl Measurements {
    fn take(firmware: &FirmwareSet, firewall: &Firewall) -> Measurements {
        let protected = firewall.protected();
        Measurements {
            firmware: firmware.measurements(),
            security: SecurityConfiguration {
                mode: match firewall.mode() {
                    Mode::Off => ravelin_dice::Mode::Off,
                    Mode::On => ravelin_dice::Mode::On,
                    Mode::Devtools => ravelin_dice::Mode::Devtools,
                },
                debug: firewall.mode() == Mode::Devtools,
                svn: firmware.svn(),
                protected_base: protected.start,
                protected_end: protected.end,
            },
        }
    }

    /// What the firmware amounts to.
    pub(crate) fn firmware_id(&self) -> Digest {
        firmware_id(&self.firmware)
    }
}

#[cfg(test)]
mod tests;
