//! An initramfs as a tree of entries, and the archive that it makes: the same tree gives the same
//! bytes, whatever the order in which it was filled, the place or the time of the files, or their
//! owner.
//!
//! What goes into it is the business of who fills it: `ravelin image initramfs`, and the nested rig.
//! [`program`] tells either whether a program brings along all that it needs.

pub mod program;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cpio::newc::{Builder, ModeFileType, trailer};

/// Why an archive cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file to pack cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A path that names nothing in the archive.
    #[error("{0:?} is no path in an initramfs: give one such as /data/images.npy, without ..")]
    Path(String),
    /// Two different things at one path.
    #[error("/{0} would be two things in the initramfs: choose another path for one of them")]
    Taken(String),
    /// Something that is neither a file, a directory, nor a symbolic link.
    #[error("{0} is no file, directory or symbolic link: it cannot be packed")]
    Special(PathBuf),
    /// A file is beyond what the format can say.
    #[error("/{0} is too large for an initramfs (4 GiB)")]
    TooLarge(String),
    /// The archive cannot be written.
    #[error("cannot write the initramfs: is there room?")]
    Write(#[source] io::Error),
}

#[derive(PartialEq, Eq)]
enum Entry {
    Directory,
    File { content: Content, executable: bool },
    Symlink(String),
}

#[derive(PartialEq, Eq)]
enum Content {
    Bytes(Vec<u8>),
    Host(PathBuf),
}

/// The files of an initramfs. Paths are absolute in it, with or without a leading slash. Adding the
/// same thing twice is adding it once.
#[derive(Default)]
pub struct Tree {
    entries: BTreeMap<String, Entry>,
}

impl Tree {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a directory, and those above it.
    ///
    /// # Errors
    /// The path is none, or something else is there.
    pub fn directory(&mut self, path: &str) -> Result<(), Error> {
        self.insert(path, Entry::Directory)
    }

    /// Adds a file with these bytes.
    ///
    /// # Errors
    /// The path is none, or something else is there.
    pub fn bytes(&mut self, path: &str, bytes: Vec<u8>) -> Result<(), Error> {
        self.insert(path, Entry::File { content: Content::Bytes(bytes), executable: false })
    }

    /// Adds a file of the host, whose bytes are read when the archive is written. It is executable
    /// here if it is there.
    ///
    /// # Errors
    /// It cannot be read, the path is none, or something else is there.
    pub fn host_file(&mut self, path: &str, host: &Path) -> Result<(), Error> {
        let metadata =
            fs::metadata(host).map_err(|source| Error::Read { path: host.to_owned(), source })?;
        if !metadata.is_file() {
            return Err(Error::Special(host.to_owned()));
        }
        let executable = metadata.permissions().mode() & 0o111 != 0;
        self.insert(path, Entry::File { content: Content::Host(host.to_owned()), executable })
    }

    /// Adds a directory of the host with all that is below it. Symbolic links below stay links.
    ///
    /// # Errors
    /// Something cannot be read or packed, the path is none, or something else is there.
    pub fn host_directory(&mut self, path: &str, host: &Path) -> Result<(), Error> {
        let read = |source| Error::Read { path: host.to_owned(), source };
        self.directory(path)?;
        for entry in fs::read_dir(host).map_err(read)? {
            let entry = entry.map_err(read)?;
            let (kind, file) = (entry.file_type().map_err(read)?, entry.path());
            let name = entry.file_name();
            let name = name.to_str().ok_or_else(|| Error::Path(name.to_string_lossy().into()))?;
            let path = format!("{path}/{name}");
            if kind.is_dir() {
                self.host_directory(&path, &file)?;
            } else if kind.is_symlink() {
                let target = fs::read_link(&file).map_err(read)?;
                self.symlink(&path, &target.to_string_lossy())?;
            } else {
                self.host_file(&path, &file)?;
            }
        }
        Ok(())
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// The path is none, or something else is there.
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<(), Error> {
        self.insert(path, Entry::Symlink(target.to_owned()))
    }

    /// Adds an entry, and the directories above it.
    fn insert(&mut self, path: &str, entry: Entry) -> Result<(), Error> {
        let names: Vec<&str> = path.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
        if names.contains(&"..") || path.contains('\0') {
            return Err(Error::Path(path.to_owned()));
        }
        let Some((_, above)) = names.split_last() else {
            // The root is there already, and cannot be anything else.
            let root = matches!(entry, Entry::Directory) && path.contains('/');
            return if root { Ok(()) } else { Err(Error::Path(path.to_owned())) };
        };
        for end in 1..=above.len() {
            self.put(names[..end].join("/"), Entry::Directory)?;
        }
        self.put(names.join("/"), entry)
    }

    fn put(&mut self, path: String, entry: Entry) -> Result<(), Error> {
        match self.entries.entry(path) {
            Slot::Vacant(slot) => {
                slot.insert(entry);
                Ok(())
            }
            Slot::Occupied(slot) if *slot.get() == entry => Ok(()),
            Slot::Occupied(slot) => Err(Error::Taken(slot.key().clone())),
        }
    }

    /// Writes the archive in the format `newc`
    /// (Documentation/driver-api/early-userspace/buffer-format.rst).
    ///
    /// # Errors
    /// A file cannot be read or is too large, or the archive cannot be written.
    pub fn write(&self, output: &mut dyn Write) -> Result<(), Error> {
        for (inode, (path, entry)) in (1..).zip(&self.entries) {
            let header = Builder::new(path).ino(inode).nlink(1).uid(0).gid(0).mtime(0);
            let write = |header: Builder, bytes: &[u8], output: &mut dyn Write| {
                let size = u32::try_from(bytes.len()).map_err(|_| Error::TooLarge(path.clone()))?;
                let mut writer = header.write(output, size);
                writer.write_all(bytes).map_err(Error::Write)?;
                writer.finish().map_err(Error::Write)?;
                Ok(())
            };
            match entry {
                Entry::Directory => {
                    let header = header.mode(0o755).set_mode_file_type(ModeFileType::Directory);
                    write(header, &[], output)?;
                }
                Entry::Symlink(target) => {
                    let header = header.mode(0o777).set_mode_file_type(ModeFileType::Symlink);
                    write(header, target.as_bytes(), output)?;
                }
                Entry::File { content, executable } => {
                    let mode = if *executable { 0o755 } else { 0o644 };
                    let header = header.mode(mode).set_mode_file_type(ModeFileType::Regular);
                    match content {
                        Content::Bytes(bytes) => write(header, bytes, output)?,
                        Content::Host(host) => {
                            let bytes = fs::read(host)
                                .map_err(|source| Error::Read { path: host.clone(), source })?;
                            write(header, &bytes, output)?;
                        }
                    }
                }
            }
        }
        trailer(output).map_err(Error::Write)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
