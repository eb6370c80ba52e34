//! Private keys in files: PKCS #8 in PEM, for their owner's eyes only.

use p384::SecretKey;
use p384::ecdsa::SigningKey;
use p384::elliptic_curve::Generate;
use p384::pkcs8::{DecodePrivateKey, EncodePrivateKey, LineEnding};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Most bytes of a key's file. One has about 300.
const MOST: u64 = 4096;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("{} cannot be read", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// Others than its owner may read the file.
    #[error(
        "{path} may be read by others (mode {mode:04o}): run `chmod 600 {path}`, and think about who \
         has read it", path = path.display()
    )]
    Open {
        /// Which.
        path: PathBuf,
        /// What its permissions are.
        mode: u32,
    },
    /// Something else is in the file.
    #[error("{} is no P-384 private key in PEM (PKCS #8)", .0.display())]
    NotAKey(PathBuf),
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
/// Each of [`Error`] but the last two.
pub fn read(path: &Path) -> Result<SigningKey, Error> {
    let failed = |error| Error::Read(path.to_path_buf(), error);
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Error::Open { path: path.to_path_buf(), mode });
    }
    // Of the full size from the start: a buffer that grows leaves copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(MOST as usize));
    file.take(MOST).read_to_end(&mut text).map_err(failed)?;
    let no_key = || Error::NotAKey(path.to_path_buf());
    let text = std::str::from_utf8(&text).map_err(|_| no_key())?;
    SecretKey::from_pkcs8_pem(text).map(SigningKey::from).map_err(|_| no_key())
}
