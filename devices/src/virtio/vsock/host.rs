//! The host's side of the socket device: a Unix socket that clients connect to, as the field does it.
//!
//! A client connects to `SOCKET` and writes `CONNECT PORT` and a newline; once the guest has accepted
//! it reads `OK PORT` and a newline, and then its bytes are the stream's. What the guest connects to at
//! port `P` is whoever listens at `SOCKET_P`.

use crate::virtio::socket::{self, Listener};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::ffi::OsString;
use std::io;
use std::os::unix::net::UnixStream;

/// Least context id of a guest: 0 to 2 are the hypervisor's, local and the host's.
pub const LEAST_CID: u64 = 3;

/// Why there is no socket device.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The context id is no guest's.
    #[error("cid {0} is no guest's: give a number from {LEAST_CID} to 4294967294")]
    Cid(u64),
    /// Clients have nowhere to connect to.
    #[error(transparent)]
    Socket(#[from] socket::Error),
}

/// Checks a guest's context id.
///
/// # Errors
/// It is reserved, or has more than 32 bits.
pub fn check_cid(cid: u64) -> Result<u64, Error> {
    let legal = (LEAST_CID..u64::from(u32::MAX)).contains(&cid);
    if legal { Ok(cid) } else { Err(Error::Cid(cid)) }
}

/// Connects to whoever listens for the guest at a port. Nobody is waited for.
pub(super) fn reach(listener: &Listener, port: u32) -> io::Result<UnixStream> {
    let mut path = OsString::from(listener.path());
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
