//! Provisioning: what a device gets in the factory and keeps for life.

use crate::{Error, MODEL, Maker, VENDOR};
use p384::ecdsa::VerifyingKey;
use ravelin_dice::DeviceInfo;
use ravelin_dice::issue::{self, Issuer};
use ravelin_dice::time::Validity;
use ravelin_dice::{Digest, TcbInfo};

/// A device's identity: its key and the certificates up to the root. Belongs in the root of trust
/// of one device. The key is wiped when dropped; the identity cannot be printed or copied.
pub struct DeviceIdentity {
    issuer: Issuer,
    root: Vec<u8>,
}

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
        let key = self.device_key(serial);
        let certificate = issue::device_identity_certificate(
            self.root(),
            key.verifying_key(),
            &device,
            validity,
        )?;
        Ok(DeviceIdentity {
            issuer: Issuer::new(key, certificate)?,
            root: self.root().certificate().to_vec(),
        })
    }
}

impl DeviceIdentity {
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
        [self.root.as_slice(), self.issuer.certificate()].concat()
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
