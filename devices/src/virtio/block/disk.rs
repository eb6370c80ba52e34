//! A disk: a raw file of the host's, locked as long as a VM has it.
//!
//! Sectors in, sectors out, and a flush that is one. What a request looks like is
//! [`block`](super)'s.

use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Bytes of a sector, whatever the file is made of.
pub const SECTOR: u64 = 512;
/// Zeros are written so many bytes at a time where the file knows no better.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Why a file is no disk.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not there.
    #[error("disk {0:?} does not exist: make one with `truncate -s 1G FILE`")]
    Missing(PathBuf),
    /// This user may not.
    #[error("no permission on disk {0:?}: ask its owner, or add readonly=on")]
    Permission(PathBuf),
    /// Someone has it open already.
    #[error("disk {0:?} is in use by another VM: stop that one, or give both readonly=on")]
    InUse(PathBuf),
    /// A directory, a socket or the like.
    #[error("disk {0:?} is neither a file nor a block device: give a raw image")]
    Kind(PathBuf),
    /// No whole sectors, or none.
    #[error("disk {0:?} has {1} bytes: give a multiple of {SECTOR}, and not 0")]
    Size(PathBuf, u64),
    /// Something else.
    #[error("cannot open disk {0:?}")]
    Open(PathBuf, #[source] io::Error),
}

/// An open disk.
#[derive(Debug)]
pub struct Disk {
    file: File,
    bytes: u64,
    read_only: bool,
    /// A flush has failed. What the kernel has dropped then no later flush brings back.
    lost: bool,
}

impl Disk {
    /// Opens a raw image, or a block device, and locks it: against everyone where it will be written,
    /// against writers where not.
    ///
    /// # Errors
    /// It is missing, in use, out of reach or no disk.
    pub fn open(path: &Path, read_only: bool) -> Result<Self, Error> {
        let other = |error| Error::Open(path.into(), error);
        let mut options = OpenOptions::new();
        // A pipe would be waited for, and is no disk.
        options.read(true).write(!read_only).custom_flags(libc::O_NONBLOCK);
        let mut file = options.open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::Missing(path.into()),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Error::Permission(path.into())
            }
            io::ErrorKind::IsADirectory => Error::Kind(path.into()),
            _ => other(error),
        })?;
        let kind = file.metadata().map_err(other)?.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(Error::Kind(path.into()));
        }
        let lock = match read_only {
            true => FlockOperation::NonBlockingLockShared,
            false => FlockOperation::NonBlockingLockExclusive,
        };
        flock(&file, lock).map_err(|errno| match errno {
            Errno::WOULDBLOCK => Error::InUse(path.into()),
            errno => other(errno.into()),
        })?;
        let bytes = file.seek(SeekFrom::End(0)).map_err(other)?;
        if bytes == 0 || !bytes.is_multiple_of(SECTOR) {
            return Err(Error::Size(path.into(), bytes));
        }
        Ok(Self { file, bytes, read_only, lost: false })
    }

    /// Sectors of the disk.
    pub fn sectors(&self) -> u64 {
        self.bytes / SECTOR
    }

    /// Whether it cannot be written.
    pub fn read_only(&self) -> bool {
        self.read_only
    }

    /// The first byte of a range of sectors that is on the disk: whole ones, and all of them.
    pub(super) fn locate(&self, sector: u64, bytes: u64) -> Option<u64> {
        let first = sector.checked_mul(SECTOR)?;
        let inside = first.checked_add(bytes)? <= self.bytes;
        (inside && bytes.is_multiple_of(SECTOR)).then_some(first)
    }

    pub(super) fn read(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, at)
    }

    pub(super) fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    /// Returns once all that was written is where a crash of this process, or of its host, leaves it.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.lost {
            return Err(io::Error::other("an earlier flush has failed"));
        }
        self.file.sync_data().inspect_err(|_| self.lost = true)
    }

    /// Gives a range back to the host; it reads as zeros.
    pub(super) fn discard(&self, at: u64, bytes: u64) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(fallocate(&self.file, flags, at, bytes)?)
    }

    /// Makes a range read as zeros, and keeps its room on the host.
    pub(super) fn write_zeroes(&self, at: u64, bytes: u64) -> io::Result<()> {
        let flags = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
        match fallocate(&self.file, flags, at, bytes) {
            Err(Errno::OPNOTSUPP) => {}
            done => return Ok(done?),
        }
        let end = at + bytes;
        for start in (at..end).step_by(ZEROS.len()) {
            let length = (end - start).min(ZEROS.len() as u64) as usize;
            self.write(&ZEROS[..length], start)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
