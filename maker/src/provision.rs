//! Provisioning: what a device gets in the factory and keeps for life.

use crate::authority::issuer_of_chain;
use crate::{Error, MODEL, Maker, VENDOR, key};
use p384::ecdsa::VerifyingKey;
use ravelin_dice::DeviceInfo;
use ravelin_dice::issue::{self, Issuer};
use ravelin_dice::time::Validity;
use ravelin_dice::{Digest, TcbInfo};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A device's identity: its key and the certificates up to the root. Belongs in the root of trust
/// of one device. The key is wiped when dropped; the identity cannot be printed or copied.
pub struct DeviceIdentity {
    issuer: Issuer,
    root: Vec<u8>,
    intermediates: Vec<Vec<u8>>,
}

/// Name of the file with a provisioned device's key.
pub const KEY: &str = "key.pem";
/// Name of the file with the chain from the root to a provisioned device's identity, DER.
pub const CHAIN: &str = "chain.der";
/// Most bytes of a chain: below what SPDM can carry.
const MOST_CHAIN: u64 = 1 << 16;

impl Maker {
    /// Makes a device. The same serial number gives the same device, which only a development maker
    /// can do.
    ///
    /// # Errors
    /// If the serial number has other characters than letters, digits, spaces, hyphens and full
    /// stops, or none.
    pub fn provision(&self, serial: &str) -> Result<DeviceIdentity, Error> {
        self.provision_with(serial, self.root().validity())
    }

    /// As [`Maker::provision`], with an identity certificate that is valid at another time.
    ///
    /// # Errors
    /// As [`Maker::provision`].
    pub fn provision_with(
        &self,
        serial: &str,
        validity: Validity,
    ) -> Result<DeviceIdentity, Error> {
        let device = DeviceInfo {
            manufacturer: VENDOR.to_owned(),
            product: MODEL.to_owned(),
            serial: serial.to_owned(),
        };
        self.authority().device(self.device_key(serial), &device, validity)
    }
}

impl DeviceIdentity {
    pub(crate) fn new(issuer: Issuer, root: Vec<u8>, intermediates: Vec<Vec<u8>>) -> Self {
        DeviceIdentity { issuer, root, intermediates }
    }

    /// The identity of a device that `ravelin maker provision` has written to this directory.
    ///
    /// # Errors
    /// If a file is missing, is open to others, or is not of a device.
    pub fn read(directory: &Path) -> Result<DeviceIdentity, Error> {
        let key = key::read(&directory.join(KEY))?;
        let path = directory.join(CHAIN);
        let failed = |error| Error::Read(path.clone(), error);
        let mut chain = Vec::new();
        let file = File::open(&path).map_err(failed)?;
        file.take(MOST_CHAIN).read_to_end(&mut chain).map_err(failed)?;
        let (issuer, mut above) = issuer_of_chain(key, &chain)?;
        if above.is_empty() || issuer.device().is_none() {
            return Err(Error::NotADevice(directory.to_path_buf()));
        }
        let root = above.remove(0);
        Ok(DeviceIdentity::new(issuer, root, above))
    }

    /// Endorses an attestation key: the leaf certificate, DER. As the device has no clock, it is
    /// valid for as long as the identity is.
    ///
    /// # Errors
    /// None in practice.
    pub fn endorse(&self, key: &VerifyingKey, tcb: &TcbInfo) -> Result<Vec<u8>, Error> {
        let validity = self.issuer.validity();
        Ok(issue::attestation_certificate(&self.issuer, key, tcb, validity)?)
    }

    /// The certificates from the root to the device identity, DER, concatenated: an SPDM chain
    /// lacks only the leaf.
    pub fn chain(&self) -> Vec<u8> {
        let mut chain = self.root.clone();
        self.intermediates.iter().for_each(|certificate| chain.extend(certificate));
        chain.extend(self.issuer.certificate());
        chain
    }

    /// The root's certificate, DER: an SPDM chain begins with its digest.
    pub fn root_certificate(&self) -> &[u8] {
        &self.root
    }

    /// The identity as an issuer, for certificates with another validity.
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// SHA-384 of the identity's public key: what verifiers know the device by.
    pub fn digest(&self) -> Option<Digest> {
        ravelin_dice::certificate::key_digest(self.issuer.public_key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use p384::ecdsa::SigningKey;
    use ravelin_dice::{Chain, Clock, OperationalFlags, TrustAnchor, UnixTime};

    #[test]
    fn a_provisioned_device_chains_to_the_root() {
        let maker = Maker::development().unwrap();
        let device = maker.provision("0001").unwrap();
        let attestation: SigningKey = p384::SecretKey::from_slice(&[3; 48]).unwrap().into();
        let tcb = TcbInfo {
            vendor: VENDOR.into(),
            model: MODEL.into(),
            version: "1".into(),
            svn: 1,
            layer: 1,
            firmware_id: [0; 48],
            flags: OperationalFlags::default(),
        };
        let leaf = device.endorse(attestation.verifying_key(), &tcb).unwrap();
        let chain = [device.chain(), leaf].concat();
        let anchor = TrustAnchor::new(maker.root().certificate()).unwrap();
        let clock = Clock::At(UnixTime(1_800_000_000));
        let leaf = Chain::verify(&Chain::split(&chain).unwrap(), &anchor, clock).unwrap();
        assert_eq!(leaf.device.serial, "0001");
        assert_eq!(Some(leaf.identity), device.digest());
    }

    #[test]
    fn serial_numbers_make_devices() {
        let maker = Maker::development().unwrap();
        let [one, again, two] = ["1", "1", "2"].map(|serial| maker.provision(serial).unwrap());
        assert_eq!(one.chain(), again.chain());
        assert_ne!(one.digest(), two.digest());
    }

    #[test]
    fn a_serial_number_that_could_forge_a_name_is_refused() {
        let maker = Maker::development().unwrap();
        for serial in ["", "1:2", "1,CN=x", "1\n"] {
            assert!(maker.provision(serial).is_err(), "{serial:?}");
        }
    }
}
