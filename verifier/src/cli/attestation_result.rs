//! `--ear`: the verdict as a file that others can rely on.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha384};

use super::Common;
use super::input::{self, Error};
use crate::ear::{self, Key, Terms};
use crate::result::Verdict;

/// Writes the result, if one was asked for. `nonce` is what the relying party chose, in hexadecimal
/// digits.
pub(super) fn write(
    verdict: &Verdict,
    common: &Common,
    nonce: Option<&String>,
) -> Result<(), Error> {
    let (Some(path), Some(key)) = (&common.ear, &common.ear_key) else {
        return Ok(());
    };
    let key = Key::from_pem(&input::secret(key)?).map_err(|error| Error::content(key, error))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let policy = match &common.policy {
        Some(path) => Some(Sha384::digest(input::read(path)?).into()),
        None => None,
    };
    let terms = Terms {
        issued: now
            .map_err(|_| Error::Value("the system's clock is before 1970".into()))?
            .as_secs(),
        judged: input::time(common.at.as_deref())?.unix_duration().as_secs(),
        nonce: nonce.and_then(|digits| hex::decode(digits.trim()).ok()),
        policy,
    };
    let result =
        ear::sign(verdict, &terms, &key).map_err(|error| Error::Result(error.to_string()))?;
    replace(path, &result).map_err(|why| Error::Write { path: path.clone(), why })
}

/// Writes a file whole: beside its place, then into it.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    let written = fs::File::create_new(&new)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}
