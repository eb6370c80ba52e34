//! Files: read whole, written whole or not at all, never over another unless that is wanted.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Most bytes of a file that is read.
const MOST: u64 = 16 << 20;

/// Why a file was not read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{} cannot be read", .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error("{} is larger than {MOST} bytes, which nothing of a maker's is", .0.display())]
    TooLarge(PathBuf),
    #[error("{} is there already: give another --out, or --force to overwrite it", .0.display())]
    Exists(PathBuf),
    #[error("{} cannot be written", .0.display())]
    Write(PathBuf, #[source] io::Error),
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// Its owner.
    Owner = 0o600,
    /// Everyone.
    Everyone = 0o644,
}

/// Whether a file may be there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// It must not.
    Nothing,
    /// It is replaced.
    Anything,
}

impl Over {
    /// As `--force` says.
    pub(super) fn force(force: bool) -> Over {
        if force { Over::Anything } else { Over::Nothing }
    }
}

/// A file's bytes.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |error| Error::Read(path.to_path_buf(), error);
    let mut bytes = Vec::new();
    fs::File::open(path).map_err(failed)?.take(MOST).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 == MOST {
        return Err(Error::TooLarge(path.to_path_buf()));
    }
    Ok(bytes)
}

/// Makes a directory for its owner alone, if it is not there, in which none of these files may be.
pub(super) fn prepare(directory: &Path, names: &[&str], over: Over) -> Result<(), Error> {
    let mut builder = DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(directory);
    made.map_err(|error| Error::Write(directory.to_path_buf(), error))?;
    let mut paths = names.iter().map(|name| directory.join(name));
    match paths.find(|path| over == Over::Nothing && path.symlink_metadata().is_ok()) {
        Some(path) => Err(Error::Exists(path)),
        None => Ok(()),
    }
}

/// Writes a file: into a new one beside it, which then takes its place.
pub(super) fn write(path: &Path, bytes: &[u8], for_: For, over: Over) -> Result<(), Error> {
    let failed = |error| Error::Write(path.to_path_buf(), error);
    let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    let new = format!(".{}.{}.new", name.display(), std::process::id());
    let new = path.with_file_name(new);
    let written = put(&new, bytes, for_ as u32).and_then(|()| match over {
        Over::Anything => fs::rename(&new, path),
        // Unlike a renaming, this fails where something has come to be meanwhile.
        Over::Nothing => fs::hard_link(&new, path),
    });
    let _ = fs::remove_file(&new);
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists(path.to_path_buf()),
        _ => failed(error),
    })
}

fn put(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_only_on_demand_and_nothing_is_left_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        write(&path, b"first", For::Owner, Over::Nothing).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let again = write(&path, b"second", For::Owner, Over::Nothing);
        assert!(matches!(again, Err(Error::Exists(_))));
        assert_eq!(read(&path).unwrap(), b"first");
        write(&path, b"third", For::Owner, Over::Anything).unwrap();
        assert_eq!(read(&path).unwrap(), b"third");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_with_one_of_the_files_is_refused_before_anything_is_written() {
        let directory = tempfile::tempdir().unwrap();
        write(&directory.path().join("b"), b"", For::Everyone, Over::Nothing).unwrap();
        let refused = prepare(directory.path(), &["a", "b"], Over::Nothing);
        assert!(matches!(refused, Err(Error::Exists(path)) if path.ends_with("b")));
        prepare(directory.path(), &["a", "b"], Over::Anything).unwrap();
    }
}
