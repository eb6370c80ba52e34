//! A maker's private keys: made here, written in PEM, and read back from their files.

use p384::SecretKey;
use p384::ecdsa::SigningKey;
use p384::elliptic_curve::Generate;
use p384::pkcs8::{EncodePrivateKey, LineEnding};
use std::path::Path;
use zeroize::Zeroizing;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none in the file, or not for its owner alone.
    #[error(transparent)]
    File(#[from] ravelin_key_file::Error),
    /// The machine gives no randomness.
    #[error("no randomness for a key")]
    Randomness(#[from] getrandom::Error),
    /// A key that cannot be written.
    #[error("the key cannot be written in PEM")]
    Encode,
}

/// A new key, of the operating system's randomness.
///
/// # Errors
/// If there is none.
pub fn generate() -> Result<SecretKey, Error> {
    Ok(SecretKey::try_generate_from_rng(&mut getrandom::SysRng)?)
}

/// The file's text for a key.
///
/// # Errors
/// None in practice.
pub fn to_pem(key: &SecretKey) -> Result<Zeroizing<String>, Error> {
    key.to_pkcs8_pem(LineEnding::LF).map_err(|_| Error::Encode)
}

/// The key in a file, which nobody but its owner may read or write.
///
/// # Errors
/// [`Error::File`].
pub fn read(path: &Path) -> Result<SigningKey, Error> {
    Ok(ravelin_key_file::read(path)?)
}
