//! An owner's private keys: P-384, PKCS #8 in PEM, for their owner's eyes only.

use p384::SecretKey;
use p384::ecdsa::SigningKey;
use p384::pkcs8::DecodePrivateKey;
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
    #[error("the key {} cannot be read", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// Others than its owner may read the file.
    #[error(
        "{path} may be read by others (mode {mode:04o}): run `chmod 600 {path}`, and think about who has \
         read it", path = path.display()
    )]
    Open {
        /// Which.
        path: PathBuf,
        /// What its permissions are.
        mode: u32,
    },
    /// Something else is in the file.
    #[error(
        "{} is no P-384 private key in PEM (PKCS #8): make one with `openssl genpkey -algorithm EC \
         -pkeyopt ec_paramgen_curve:P-384`", .0.display()
    )]
    NotAKey(PathBuf),
}

/// The key in a file, which nobody but its owner may read or write.
///
/// # Errors
/// Each of [`Error`].
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
