//! Unix sockets that a device listens at, and one descriptor that stands for many.
//!
//! A device's [`sources`](super::Device::sources) are fixed; clients come and go behind a [`Watch`].

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};

const EVENTS: usize = 32;

/// Why a device cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody listens there, or something else is there.
    #[error("socket {0:?} is there already: remove it, or give another path")]
    Exists(PathBuf),
    /// It cannot be made.
    #[error("cannot listen at {0:?}: its directory must be there, and yours to write")]
    Listen(PathBuf, #[source] io::Error),
}

/// A socket that clients connect to. Dropping it removes it.
pub(super) struct Listener {
    listener: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Listens at `path`, mode 0600.
    pub(super) fn bind(path: &Path) -> Result<Self, Error> {
        let failed = |error| Error::Listen(path.into(), error);
        let listener = UnixListener::bind(path).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => Error::Exists(path.into()),
            _ => failed(error),
        })?;
        let this = Self { listener, path: path.into() };
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        this.listener.set_nonblocking(true).map_err(failed)?;
        Ok(this)
    }

    /// The next client, if one waits.
    pub(super) fn accept(&self) -> io::Result<UnixStream> {
        let (client, _) = self.listener.accept()?;
        client.set_nonblocking(true)?;
        Ok(client)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.listener.as_raw_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Somebody else may have removed it.
        let _ = fs::remove_file(&self.path);
    }
}

/// Descriptors by token, ready edge by edge as every source of a device's.
pub(super) struct Watch(Epoll);

impl Watch {
    pub(super) fn new() -> io::Result<Self> {
        Epoll::new().map(Self)
    }

    /// Watches a descriptor until it is closed.
    pub(super) fn add(&self, what: &impl AsRawFd, token: u64) -> io::Result<()> {
        let events = EventSet::IN | EventSet::OUT | EventSet::READ_HANG_UP;
        let event = EpollEvent::new(events | EventSet::EDGE_TRIGGERED, token);
        self.0.ctl(ControlOperation::Add, what.as_raw_fd(), event)
    }

    /// Tokens of what has become ready; none once all have been looked at.
    pub(super) fn ready(&self) -> Vec<u64> {
        let mut events = [EpollEvent::default(); EVENTS];
        // Nothing is waited for, so that only a broken descriptor could fail.
        let count = self.0.wait(0, &mut events).unwrap_or(0);
        events[..count].iter().map(|event| event.data()).collect()
    }

    /// Becomes ready when one of them does.
    pub(super) fn descriptor(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
