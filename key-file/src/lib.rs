//! A private key in a file: P-384, PKCS #8 in PEM, for its owner's eyes only. The programs that sign for a
//! maker and for an owner of guests read their keys here; the launcher has none.

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

#[cfg(test)]
mod tests {
    use super::*;
    use p384::pkcs8::{EncodePrivateKey, LineEnding};
    use std::fs::{self, Permissions};

    fn key() -> SecretKey {
        SecretKey::from_slice(&[7; 48]).unwrap()
    }

    /// The error, or nothing where there is a key.
    fn error(text: &[u8], mode: u32) -> Option<Error> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        read(file.path()).err()
    }

    #[test]
    fn a_key_comes_back_from_its_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, key().to_pkcs8_pem(LineEnding::LF).unwrap()).unwrap();
        assert!(read(file.path()).unwrap() == SigningKey::from(key()));
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let text = key().to_pkcs8_pem(LineEnding::LF).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601] {
            let error = error(text.as_bytes(), mode);
            assert!(matches!(error, Some(Error::Open { mode: found, .. }) if found == mode));
        }
        assert!(error(text.as_bytes(), 0o400).is_none());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let text = key().to_pkcs8_pem(LineEnding::LF).unwrap();
        let half = &text.as_bytes()[..text.len() / 2];
        let public = key().public_key().to_string();
        for bytes in [b"".as_slice(), b"\xff\xfe", half, public.as_bytes()] {
            assert!(matches!(error(bytes, 0o600), Some(Error::NotAKey(_))));
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read(Path::new("/no/such/key")).err().unwrap();
        assert_eq!(error.to_string(), "the key /no/such/key cannot be read");
    }
}
