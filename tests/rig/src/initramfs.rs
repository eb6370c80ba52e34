//! An initramfs as a tree of entries, and the archive that it makes: the same tree gives the same
//! bytes, whatever the order in which it was filled, the time, or the owner of the files.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cpio::newc::{Builder, ModeFileType, trailer};

/// Why the archive cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file to pack cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is beyond what the format can say.
    #[error("{0} is too large for an initramfs (4 GiB)")]
    TooLarge(String),
    /// The archive cannot be written.
    #[error("cannot write the initramfs: is there room?")]
    Write(#[source] io::Error),
}

enum Entry {
    Directory,
    File { content: Content, executable: bool },
    Symlink(String),
}

enum Content {
    Bytes(Vec<u8>),
    Host(PathBuf),
}

/// The files of an initramfs, by path without a leading slash.
#[derive(Default)]
pub(crate) struct Tree {
    entries: BTreeMap<String, Entry>,
}

impl Tree {
    /// Adds a directory, and those above it.
    pub(crate) fn directory(&mut self, path: &str) {
        let path = path.trim_matches('/');
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for end in ends.filter(|end| *end > 0) {
            self.entries.entry(path[..end].to_owned()).or_insert(Entry::Directory);
        }
    }

    /// Adds a file with these bytes.
    pub(crate) fn bytes(&mut self, path: &str, bytes: Vec<u8>) {
        self.insert(path, Entry::File { content: Content::Bytes(bytes), executable: false });
    }

    /// Adds a file of the host. It is executable here if it is there.
    pub(crate) fn host_file(&mut self, path: &str, host: &Path) -> Result<(), Error> {
        let metadata =
            fs::metadata(host).map_err(|source| Error::Read { path: host.to_owned(), source })?;
        let executable = metadata.permissions().mode() & 0o111 != 0;
        self.insert(path, Entry::File { content: Content::Host(host.to_owned()), executable });
        Ok(())
    }

    /// Adds what is below a directory of the host, at the same path.
    pub(crate) fn host_directory(&mut self, host: &Path) -> Result<(), Error> {
        let read = |source| Error::Read { path: host.to_owned(), source };
        self.directory(&host.to_string_lossy());
        for entry in fs::read_dir(host).map_err(read)? {
            let path = entry.map_err(read)?.path();
            if path.is_dir() {
                self.host_directory(&path)?;
            } else {
                self.host_file(&path.to_string_lossy(), &path)?;
            }
        }
        Ok(())
    }

    /// Adds a symbolic link.
    pub(crate) fn symlink(&mut self, path: &str, target: &str) {
        self.insert(path, Entry::Symlink(target.to_owned()));
    }

    fn insert(&mut self, path: &str, entry: Entry) {
        let path = path.trim_start_matches('/');
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent);
        }
        self.entries.insert(path.to_owned(), entry);
    }

    /// Writes the archive in the format `newc`
    /// (Documentation/driver-api/early-userspace/buffer-format.rst).
    pub(crate) fn write(&self, output: &mut dyn Write) -> Result<(), Error> {
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
mod tests {
    use std::io::Read;

    use super::*;

    fn archive(tree: &Tree) -> Vec<u8> {
        let mut bytes = Vec::new();
        tree.write(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_same_tree_gives_the_same_bytes_whatever_the_order() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("program");
        fs::write(&program, b"\x7fELF").unwrap();
        let fill = |steps: &[usize]| {
            let mut tree = Tree::default();
            for step in steps {
                match step {
                    0 => tree.host_file("bin/program", &program).unwrap(),
                    1 => tree.symlink("/sbin", "bin"),
                    _ => tree.bytes("/rig/plan.json", b"{}".to_vec()),
                }
            }
            archive(&tree)
        };
        let first = fill(&[0, 1, 2]);
        // Neither the file's time nor the order may show.
        fs::File::options()
            .write(true)
            .open(&program)
            .unwrap()
            .set_modified(std::time::SystemTime::UNIX_EPOCH)
            .unwrap();
        assert_eq!(first, fill(&[2, 1, 0]));
    }

    #[test]
    fn every_entry_has_its_directories_before_it_and_its_mode() {
        let mut tree = Tree::default();
        tree.bytes("a/b/file", b"content".to_vec());
        tree.symlink("a/link", "b/file");
        let bytes = archive(&tree);
        let mut rest = bytes.as_slice();
        let mut seen = Vec::new();
        loop {
            let mut reader = cpio::newc::Reader::new(rest).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            let (name, mode) = (reader.entry().name().to_owned(), reader.entry().mode());
            let mut content = String::new();
            reader.read_to_string(&mut content).unwrap();
            seen.push((name, mode, content));
            rest = reader.finish().unwrap();
        }
        let expected = [
            ("a", 0o040_755, ""),
            ("a/b", 0o040_755, ""),
            ("a/b/file", 0o100_644, "content"),
            ("a/link", 0o120_777, "b/file"),
        ];
        assert_eq!(seen, expected.map(|(n, m, c)| (n.to_owned(), m, c.to_owned())));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Tree::default().host_file("x", Path::new("/nowhere/x")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read /nowhere/x");
    }
}
