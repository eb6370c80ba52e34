//! Where a running VM can be found: a directory each, with its sockets and its event log.
//!
//! | file | what |
//! | --- | --- |
//! | `lock` | locked as long as the VM lives; holds its process number |
//! | `control.sock` | the control API ([`control`](crate::control)), mode 0600 |
//! | `serial.sock` | the guest's console, mode 0600 |
//! | `events.jsonl` | what happened, one JSON object a line |
//!
//! A lock goes with its process, however that ends. So a directory whose lock is free is what a dead
//! VM has left over: the next start of that name cleans it, and nobody else touches it. Access to the
//! directory is access to the admin port: its mode is 0700.

mod log;

pub use log::EventLog;

use crate::config::Name;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Names a directory for all VMs instead of the usual ones.
pub const VARIABLE: &str = "RAVELIN_RUNTIME_DIR";
/// Longest path of a Unix socket, without its NUL.
const LONGEST_SOCKET_PATH: usize = 107;
/// Whoever asks whether a VM lives holds its lock for a moment; a start tries again this often.
const LOCK_ATTEMPTS: u32 = 10;
/// How long a start waits between two attempts.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

const LOCK: &str = "lock";
const CONTROL: &str = "control.sock";
const SERIAL: &str = "serial.sock";
const EVENTS: &str = "events.jsonl";

/// Why there is no runtime directory.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A live VM has the name.
    #[error("a VM called {0} is running: choose another --name, or stop that one")]
    InUse(Name),
    /// The directory for all VMs belongs to somebody else, or others may enter it.
    #[error("{0} is not a directory of yours alone: set {VARIABLE} to one with mode 0700")]
    NotPrivate(PathBuf),
    /// A socket's path would not fit in a socket address.
    #[error("{0} is too long for a socket: set {VARIABLE} to a shorter path")]
    PathTooLong(PathBuf),
    /// The system refuses.
    #[error("cannot use {0}: set {VARIABLE} to a directory that you can write")]
    System(PathBuf, #[source] io::Error),
}

/// The directory for all VMs of this user.
#[derive(Clone, Debug)]
pub struct RuntimeRoot(PathBuf);

/// Whether a VM runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// Its lock is held.
    Running {
        /// Its process.
        pid: u32,
    },
    /// Its files are left over.
    Dead,
}

impl RuntimeRoot {
    /// The first of `$RAVELIN_RUNTIME_DIR`, `$XDG_RUNTIME_DIR/ravelin`, `/run/ravelin` for root, and
    /// a directory of this user's in the one for temporary files. It need not exist yet.
    pub fn from_environment() -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let user = rustix::process::geteuid();
        Self(if let Some(path) = set(VARIABLE) {
            path.into()
        } else if let Some(path) = set("XDG_RUNTIME_DIR") {
            Path::new(&path).join("ravelin")
        } else if user.is_root() {
            "/run/ravelin".into()
        } else {
            std::env::temp_dir().join(format!("ravelin-{}", user.as_raw()))
        })
    }

    /// This directory, for tests.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Takes a name for as long as the result lives, and cleans what a dead VM of that name has left.
    ///
    /// # Errors
    /// The name is taken, or the directory cannot be used.
    pub fn take(&self, name: &Name) -> Result<RuntimeDir, Error> {
        let path = self.path(name);
        let socket = path.join(CONTROL);
        if socket.as_os_str().len() > LONGEST_SOCKET_PATH {
            return Err(Error::PathTooLong(socket));
        }
        self.make()?;
        for _ in 0..LOCK_ATTEMPTS {
            let lock = open_lock(&path).map_err(|error| Error::System(path.clone(), error))?;
            match lock.try_lock() {
                // A VM that ends removes its lock; one that was removed while we waited is no lock.
                Ok(()) if is_at(&lock, &path.join(LOCK)) => {
                    let mut directory = RuntimeDir { path, lock };
                    directory.begin().map_err(|error| Error::System(self.path(name), error))?;
                    return Ok(directory);
                }
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
                Err(TryLockError::Error(error)) => return Err(Error::System(path, error)),
            }
        }
        Err(Error::InUse(name.clone()))
    }

    /// Every VM that has a directory, by name, dead ones too.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn list(&self) -> Result<Vec<(Name, Liveness)>, Error> {
        let failed = |error| Error::System(self.0.clone(), error);
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut vms = Vec::new();
        for entry in entries {
            // Names that are none were not made by us.
            let Ok(name) = entry.map_err(failed)?.file_name().to_string_lossy().parse() else {
                continue;
            };
            if let Some(liveness) = self.liveness(&name) {
                vms.push((name, liveness));
            }
        }
        vms.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(vms)
    }

    /// Whether a VM of this name runs; `None` where there is nothing of that name.
    pub fn liveness(&self, name: &Name) -> Option<Liveness> {
        let path = self.path(name);
        let lock = match File::open(path.join(LOCK)) {
            Ok(lock) => lock,
            // A directory without a lock: its VM died on its first or its last step.
            Err(_) => return path.is_dir().then_some(Liveness::Dead),
        };
        match lock.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {
                let pid = fs::read_to_string(path.join(LOCK)).ok()?;
                Some(Liveness::Running { pid: pid.trim().parse().unwrap_or(0) })
            }
            _ => Some(Liveness::Dead),
        }
    }

    /// The control socket of the VM of this name.
    pub fn control_socket(&self, name: &Name) -> PathBuf {
        self.path(name).join(CONTROL)
    }

    fn path(&self, name: &Name) -> PathBuf {
        self.0.join(name.as_str())
    }

    /// Makes the directory, and refuses one that others could have prepared.
    fn make(&self) -> Result<(), Error> {
        let failed = |error| Error::System(self.0.clone(), error);
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0).map_err(failed)?;
        let found = fs::symlink_metadata(&self.0).map_err(failed)?;
        let mine = found.uid() == rustix::process::geteuid().as_raw();
        if !found.is_dir() || !mine || found.permissions().mode() & 0o077 != 0 {
            return Err(Error::NotPrivate(self.0.clone()));
        }
        Ok(())
    }
}

/// The runtime directory of a VM of this process. Dropping it removes it.
#[derive(Debug)]
pub struct RuntimeDir {
    path: PathBuf,
    lock: File,
}

impl RuntimeDir {
    /// Where the control API listens.
    pub fn control_socket(&self) -> PathBuf {
        self.path.join(CONTROL)
    }

    /// The directory itself, for sockets of the guest's devices.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the guest's console listens.
    pub fn serial_socket(&self) -> PathBuf {
        self.path.join(SERIAL)
    }

    /// The event log, empty.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn event_log(&self) -> Result<EventLog, Error> {
        let path = self.path.join(EVENTS);
        EventLog::create(&path).map_err(|error| Error::System(path, error))
    }

    /// Removes what an earlier VM has left and writes our process number into the lock.
    fn begin(&mut self) -> io::Result<()> {
        fs::set_permissions(&self.path, fs::Permissions::from_mode(0o700))?;
        for file in [CONTROL, SERIAL, EVENTS] {
            remove(&self.path.join(file))?;
        }
        self.lock.set_len(0)?;
        writeln!(self.lock, "{}", std::process::id())
    }
}

impl Drop for RuntimeDir {
    fn drop(&mut self) {
        // The lock goes last, still held: until then nobody else believes the name to be free.
        for file in [CONTROL, SERIAL, EVENTS, LOCK] {
            if let Err(error) = remove(&self.path.join(file)) {
                tracing::warn!(%error, file, "runtime file not removed");
            }
        }
        // Not empty where somebody put a file of their own in it; that is theirs to remove.
        let _ = fs::remove_dir(&self.path);
    }
}

/// Opens the lock of a directory that another process may be removing at this moment.
fn open_lock(directory: &Path) -> io::Result<File> {
    let mut attempts = 0;
    loop {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        match options.open(directory.join(LOCK)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && attempts < LOCK_ATTEMPTS => {
                attempts += 1;
            }
            lock => return lock,
        }
    }
}

/// Whether an open file is the one at a path.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(found)) => (open.dev(), open.ino()) == (found.dev(), found.ino()),
        _ => false,
    }
}

/// Removes a file that need not be there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
