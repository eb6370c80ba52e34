//! Files and values from the command line. Each error names the file and what was expected there.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::SystemTime;

use der::DateTime;
use zeroize::Zeroizing;

use super::Common;
use crate::nvidia::manifest::Manifest;
use crate::policy::Policy;
use crate::roots;
use crate::x509::crl::RevocationList;
use crate::x509::{self, Certificate};

/// Most bytes of a file. Evidence of eight GPUs is below 200 KiB; AMD's lists are a few MiB.
const MOST: u64 = 64 << 20;

/// Most bytes of a private key's file.
const MOST_KEY: u64 = 4096;

/// Why there is nothing to judge.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// A file that cannot be read.
    #[error("cannot read {}: {why}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// A file of [`MOST`] bytes or more.
    #[error("{} is larger than {MOST} bytes: it is no evidence", .0.display())]
    TooLarge(PathBuf),
    /// A file with something else in it.
    #[error("{}: {why}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A private key that others than its owner may read.
    #[error("{path} may be read by others: run `chmod 600 {path}`", path = .0.display())]
    Open(PathBuf),
    /// A file that cannot be written.
    #[error("cannot write {}: {why}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// An attestation result that cannot be made.
    #[error("no attestation result: {0}")]
    Result(String),
    /// Rules that cannot be asked.
    #[error("--rego: {0}")]
    Rules(String),
    /// A value on the command line.
    #[error("{0}")]
    Value(String),
    /// A root that is built in.
    #[error("a built-in root cannot be read: {0}")]
    BuiltIn(x509::Error),
}

impl Error {
    pub(super) fn content(path: &Path, why: impl ToString) -> Error {
        Error::Content { path: path.into(), why: why.to_string() }
    }

    /// A stable code for scripts.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Error::Read { .. } => "unreadable-file",
            Error::Open(_) => "key-open-to-others",
            Error::Write { .. } => "unwritable-file",
            Error::Rules(_) => "bad-rules",
            Error::Result(_) => "no-attestation-result",
            Error::TooLarge(_) | Error::Content { .. } => "bad-file",
            Error::Value(_) => "bad-argument",
            Error::BuiltIn(_) => "internal",
        }
    }
}

/// What the options that all kinds share come to.
pub(super) struct Setting {
    pub(super) policy: Policy,
    pub(super) at: DateTime,
}

impl Setting {
    pub(super) fn read(common: &Common) -> Result<Setting, Error> {
        let policy = match &common.policy {
            Some(path) => Policy::from_toml(&read(path)?).map_err(|e| Error::content(path, e))?,
            None => Policy::default(),
        };
        Ok(Setting { policy, at: time(common.at.as_deref())? })
    }
}

/// The revocation lists of device makers.
pub(super) fn revocation_lists(common: &Common) -> Result<Vec<RevocationList>, Error> {
    let list = |path: &PathBuf| {
        RevocationList::from_file_bytes(&read(path)?).map_err(|error| Error::content(path, error))
    };
    common.crl.iter().map(list).collect()
}

/// The time to judge at.
pub(super) fn time(text: Option<&str>) -> Result<DateTime, Error> {
    match text {
        None => DateTime::from_system_time(SystemTime::now())
            .map_err(|_| Error::Value("the system's clock is unusable: give --at TIME".into())),
        Some(text) => DateTime::from_str(text).map_err(|_| {
            Error::Value(format!("--at {text:?} is no time; expected such as 2024-12-01T00:00:00Z"))
        }),
    }
}

/// A file's bytes.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |why| Error::Read { path: path.into(), why };
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(MOST).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 >= MOST {
        return Err(Error::TooLarge(path.into()));
    }
    Ok(bytes)
}

/// A private key's text, in a file that nobody but its owner may read or write.
pub(super) fn secret(path: &Path) -> Result<Zeroizing<String>, Error> {
    let failed = |why| Error::Read { path: path.into(), why };
    let file = fs::File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
        return Err(Error::Open(path.into()));
    }
    // Of the full size from the start: a buffer that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(MOST_KEY as usize));
    file.take(MOST_KEY).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// A file with one certificate, to be pinned.
pub(super) fn root(path: impl AsRef<Path>) -> Result<Certificate, Error> {
    let path = path.as_ref();
    roots::single(&read(path)?).map_err(|error| Error::content(path, error))
}

/// A reference manifest.
pub(super) fn manifest(path: &Path) -> Result<Manifest, Error> {
    Manifest::decode(&read(path)?).map_err(|error| Error::content(path, error))
}

/// The certificates of a directory's files, in the order of their names. Files that hold no
/// certificate by their name (`.crl`, `.hex`, `.bin`, `.toml`, `.md`) are passed over.
pub(super) fn directory(path: &Path) -> Result<Vec<Certificate>, Error> {
    const OTHERS: [&str; 6] = ["crl", "hex", "bin", "toml", "md", "json"];
    let failed = |why| Error::Read { path: path.into(), why };
    let entries = fs::read_dir(path).map_err(failed)?;
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_, std::io::Error>>()
        .map_err(failed)?;
    paths.sort();
    let mut certificates = Vec::new();
    for path in paths {
        let other = path.extension().is_some_and(|e| OTHERS.iter().any(|other| e == *other));
        if other || !path.is_file() {
            continue;
        }
        let found = Certificate::from_file_bytes(&read(&path)?);
        certificates.extend(found.map_err(|error| Error::content(&path, error))?);
    }
    Ok(certificates)
}

/// REPORT_DATA from its hexadecimal form.
pub(super) fn report_data(text: &str) -> Result<[u8; 64], Error> {
    let mut data = [0; 64];
    hex::decode_to_slice(text.trim(), &mut data).map_err(|error| {
        Error::Value(format!("--report-data: {error}; expected 128 hexadecimal digits"))
    })?;
    Ok(data)
}
