//! The host's side of the socket device: a Unix socket that clients connect to, as the field does it.
//!
//! A client connects to `SOCKET` and writes `CONNECT PORT` and a newline; once the guest has accepted
//! it reads `OK PORT` and a newline, and then its bytes are the stream's. What the guest connects to at
//! port `P` is whoever listens at `SOCKET_P`.

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Least context id of a guest: 0 to 2 are the hypervisor's, local and the host's.
pub const LEAST_CID: u64 = 3;

/// Why there is no socket device.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The context id is no guest's.
    #[error("cid {0} is no guest's: give a number from {LEAST_CID} to 4294967294")]
    Cid(u64),
    /// Somebody listens there, or something else is there.
    #[error("socket {0:?} is there already: remove it, or give another with socket=PATH")]
    Exists(PathBuf),
    /// It cannot be made.
    #[error("cannot listen at {0:?}")]
    Listen(PathBuf, #[source] io::Error),
}

/// Checks a guest's context id.
///
/// # Errors
/// It is reserved, or has more than 32 bits.
pub fn check_cid(cid: u64) -> Result<u64, Error> {
    let legal = (LEAST_CID..u64::from(u32::MAX)).contains(&cid);
    if legal { Ok(cid) } else { Err(Error::Cid(cid)) }
}

/// The socket that clients connect to. Dropping it removes it.
pub(super) struct Host {
    pub(super) listener: UnixListener,
    path: PathBuf,
}

impl Host {
    /// Listens at `path`, mode 0600.
    pub(super) fn listen(path: &Path) -> Result<Self, Error> {
        let failed = |error| Error::Listen(path.into(), error);
        let listener = UnixListener::bind(path).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => Error::Exists(path.into()),
            _ => failed(error),
        })?;
        let host = Self { listener, path: path.into() };
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        host.listener.set_nonblocking(true).map_err(failed)?;
        Ok(host)
    }

    /// The next client, if one waits.
    pub(super) fn accept(&self) -> io::Result<UnixStream> {
        let (client, _) = self.listener.accept()?;
        client.set_nonblocking(true)?;
        Ok(client)
    }

    /// Connects to whoever listens for the guest at a port. Nobody is waited for.
    pub(super) fn connect(&self, port: u32) -> io::Result<UnixStream> {
        let mut path = OsString::from(&self.path);
        path.push(format!("_{port}"));
        let address = SocketAddrUnix::new(path)?;
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        match connect(&socket, &address) {
            Ok(()) => Ok(socket.into()),
            // A backlog that is full.
            Err(Errno::AGAIN) => Err(io::ErrorKind::ConnectionRefused.into()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Somebody else may have removed it.
        let _ = fs::remove_file(&self.path);
    }
}
