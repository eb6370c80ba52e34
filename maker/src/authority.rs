//! Authorities: a root, or an intermediate below it, with the certificates that lead to it.

use crate::{DeviceIdentity, Error};
use p384::ecdsa::SigningKey;
use ravelin_dice::DeviceInfo;
use ravelin_dice::issue::{self, Issuer};
use ravelin_dice::time::Validity;

/// A key that issues certificates, and the chain from the root to it. The key is wiped when
/// dropped; there is no way to print or copy it.
pub struct Authority {
    issuer: Issuer,
    /// The root's certificate; the issuer's own, where it is the root.
    root: Vec<u8>,
    /// Those between root and issuer, the issuer's own not among them.
    above: Vec<Vec<u8>>,
}

impl Authority {
    /// A root.
    pub fn root(issuer: Issuer) -> Authority {
        Authority { root: issuer.certificate().to_vec(), above: Vec::new(), issuer }
    }

    /// An authority from its key and the chain to its certificate, root first.
    ///
    /// # Errors
    /// If the chain is none, or is for another key.
    pub fn of_chain(key: SigningKey, chain: &[u8]) -> Result<Authority, Error> {
        let (issuer, above) = issuer_of_chain(key, chain)?;
        match above.split_first() {
            None => Ok(Authority::root(issuer)),
            Some((root, above)) => {
                Ok(Authority { issuer, root: root.clone(), above: above.to_vec() })
            }
        }
    }

    /// An authority below this one.
    ///
    /// # Errors
    /// If the name or a time cannot be written.
    pub fn intermediate(
        &self,
        key: SigningKey,
        name: &str,
        validity: Validity,
    ) -> Result<Authority, Error> {
        let certificate =
            issue::intermediate_certificate(&self.issuer, key.verifying_key(), name, validity)?;
        Ok(Authority {
            issuer: Issuer::new(key, certificate)?,
            root: self.root.clone(),
            above: self.above(),
        })
    }

    /// Makes a device of this key.
    ///
    /// # Errors
    /// If a part of the device's name has other characters than letters, digits, spaces, hyphens
    /// and full stops, or none.
    pub fn device(
        &self,
        key: SigningKey,
        device: &DeviceInfo,
        validity: Validity,
    ) -> Result<DeviceIdentity, Error> {
        let certificate = issue::device_identity_certificate(
            &self.issuer,
            key.verifying_key(),
            device,
            validity,
        )?;
        let issuer = Issuer::new(key, certificate)?;
        Ok(DeviceIdentity::new(issuer, self.root.clone(), self.above()))
    }

    /// The issuer.
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// The certificates from the root to this authority's own, DER, concatenated.
    pub fn chain(&self) -> Vec<u8> {
        let mut chain = self.root.clone();
        self.above().iter().for_each(|certificate| chain.extend(certificate));
        chain
    }

    /// The certificates below the root down to this authority's own.
    fn above(&self) -> Vec<Vec<u8>> {
        let own = self.issuer.certificate();
        let own = (own != self.root).then(|| own.to_vec());
        self.above.iter().cloned().chain(own).collect()
    }
}

/// The issuer at the end of a chain, and the certificates before it, root first.
pub(crate) fn issuer_of_chain(
    key: SigningKey,
    chain: &[u8],
) -> Result<(Issuer, Vec<Vec<u8>>), Error> {
    let mut certificates = ravelin_dice::Chain::split(chain).map_err(Error::Chain)?;
    let own = certificates.pop().ok_or(Error::EmptyChain)?;
    let above = certificates.into_iter().map(<[u8]>::to_vec).collect();
    Ok((Issuer::new(key, own.to_vec())?, above))
}
