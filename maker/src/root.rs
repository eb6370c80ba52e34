//! The maker's keys: a root, and a signer of reference values beneath it.

use crate::{Authority, Error};
use hkdf::Hkdf;
use p384::SecretKey;
use p384::ecdsa::SigningKey;
use ravelin_dice::issue::{Issuer, reference_signer_certificate};
use ravelin_dice::time::{UnixTime, Validity};
use sha2::Sha384;
use zeroize::Zeroizing;

/// DEVELOPMENT ONLY. NOT A SECRET. WORTH NOTHING OUTSIDE TESTS.
///
/// Every key of the development maker and of all its devices follows from these public bytes, so
/// whoever has this source can be any of its devices. A maker of real devices keeps its root key in
/// a hardware security module and never derives a device's key from it.
pub const DEVELOPMENT_SEED: [u8; 48] = *b"ravelin development root: public, worth nothing.";

/// The common name of the development root, which says what it is to everyone who looks.
pub const DEVELOPMENT_ROOT_NAME: &str = "Ravelin Development Root - Not For Production";

/// 2026-01-01 to 2046-01-01: the root, the signer and the device identities.
pub const VALIDITY: Validity =
    Validity { not_before: UnixTime(1_767_225_600), not_after: UnixTime(2_398_377_600) };

/// The maker. Its keys are wiped when it is dropped; it cannot be printed or copied.
pub struct Maker {
    root: Authority,
    signer: SigningKey,
    signer_certificate: Vec<u8>,
    seed: Zeroizing<[u8; 48]>,
}

impl Maker {
    /// The development maker: always the same one.
    ///
    /// # Errors
    /// None in practice.
    pub fn development() -> Result<Maker, Error> {
        Maker::from_seed(DEVELOPMENT_SEED, DEVELOPMENT_ROOT_NAME)
    }

    /// A maker whose keys follow from `seed`: another seed is another maker, whom nobody that pins
    /// the first one's root believes.
    ///
    /// # Errors
    /// If the name cannot stand in a certificate.
    pub fn from_seed(seed: [u8; 48], root_name: &str) -> Result<Maker, Error> {
        let seed = Zeroizing::new(seed);
        let root = derive_key(&seed, "root", "");
        let root = Authority::root(Issuer::root(root, root_name, VALIDITY)?);
        let signer = derive_key(&seed, "reference values", "");
        let signer_certificate = reference_signer_certificate(
            root.issuer(),
            signer.verifying_key(),
            "Ravelin Reference Values",
            VALIDITY,
        )?;
        Ok(Maker { root, signer, signer_certificate, seed })
    }

    /// The root: its certificate is what verifiers pin.
    pub fn root(&self) -> &Issuer {
        self.root.issuer()
    }

    /// The root as an authority.
    pub(crate) fn authority(&self) -> &Authority {
        &self.root
    }

    /// The certificate of the key that signs reference values, DER.
    pub fn signer_certificate(&self) -> &[u8] {
        &self.signer_certificate
    }

    /// The key that signs reference values.
    pub(crate) fn signer(&self) -> &SigningKey {
        &self.signer
    }

    /// A key of the maker's own making, by what it is for and for which device.
    pub(crate) fn device_key(&self, serial: &str) -> SigningKey {
        derive_key(&self.seed, "device identity", serial)
    }
}

/// The P-384 key for a purpose: HKDF-SHA-384 of the seed, over and over with another counter until
/// the output is a scalar of the curve's order (nearly always the first).
fn derive_key(seed: &[u8; 48], purpose: &str, name: &str) -> SigningKey {
    let hkdf = Hkdf::<Sha384>::new(Some(b"ravelin maker"), seed);
    let mut candidate = Zeroizing::new([0; 48]);
    let mut counter = 0_u32;
    loop {
        let info: [&[u8]; 5] =
            [&counter.to_be_bytes(), purpose.as_bytes(), b"\0", name.as_bytes(), b"\0"];
        // 48 bytes are far below HKDF's limit of 255 blocks, so this only fails for none.
        if hkdf.expand_multi_info(&info, candidate.as_mut_slice()).is_ok()
            && let Ok(key) = SecretKey::from_slice(candidate.as_slice())
        {
            return key.into();
        }
        counter = counter.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_purpose_and_by_name() {
        let keys = [("root", ""), ("device identity", ""), ("device identity", "1")]
            .map(|(purpose, name)| derive_key(&DEVELOPMENT_SEED, purpose, name));
        for (at, key) in keys.iter().enumerate() {
            for other in &keys[at + 1..] {
                assert_ne!(key.verifying_key(), other.verifying_key());
            }
        }
    }

    #[test]
    fn the_development_root_says_what_it_is() {
        let maker = Maker::development().expect("the development maker");
        assert!(maker.root().name().to_string().contains("Not For Production"));
    }

    #[test]
    fn another_seed_is_another_maker() {
        let other = Maker::from_seed([1; 48], DEVELOPMENT_ROOT_NAME).expect("a maker");
        let maker = Maker::development().expect("the development maker");
        assert_ne!(other.root().public_key(), maker.root().public_key());
    }
}
