//! The host's end of a device under a script: who sends frames, connects and listens there.
//!
//! Whatever the device lets out is looked at: nothing of the guest's private memory may be in it.

use super::Script;
use super::guest::{assert_no_secret, without_secret};
use crate::virtio::Device;
use crate::virtio::block::{Block, disk::Disk};
use crate::virtio::console::Console;
use crate::virtio::net::Net;
use crate::virtio::rng::Rng;
use crate::virtio::vsock::Vsock;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use std::error::Error;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Kinds of device that [`subject`] has.
pub const KINDS: u8 = 5;
/// Bytes of the disk.
const DISK: usize = 32 << 10;
/// Most clients in one script.
const MOST: u8 = 32;
/// The guest's context id.
const CID: u64 = 3;
/// Port of the host's that somebody listens at.
const PORT: u32 = 1;

/// Whoever is at the other end.
pub enum Host {
    /// Nobody.
    Nobody,
    /// A disk's file, in memory.
    Disk(File),
    /// A wire.
    Wire(UnixDatagram),
    /// Clients of a socket, and somebody who listens for the guest.
    Sockets {
        /// Where the device listens.
        path: PathBuf,
        /// Where somebody listens for the guest's streams.
        listener: Option<UnixListener>,
        /// Connections.
        streams: Vec<UnixStream>,
        /// How many more may be made.
        left: u8,
    },
}

/// A device that has never been used, and its host. Sockets are made in `folder`, which one thread
/// has for itself.
///
/// # Errors
/// The kernel refuses a file or a socket.
pub fn subject(kind: u8, folder: &Path) -> Result<(Box<dyn Device>, Host), Box<dyn Error>> {
    Ok(match kind % KINDS {
        0 => (Box::new(Rng), Host::Nobody),
        1 => {
            let path = fresh(folder, "c");
            (Box::new(Console::listen(&path)?), Host::sockets(path, None))
        }
        2 => {
            let (wire, host) = UnixDatagram::pair()?;
            wire.set_nonblocking(true)?;
            host.set_nonblocking(true)?;
            (Box::new(Net::new(wire, "52:54:00:12:34:56".parse()?)), Host::Wire(host))
        }
        3 => {
            let file = File::from(memfd_create("disk", MemfdFlags::CLOEXEC)?);
            ftruncate(&file, DISK as u64)?;
            let disk =
                Disk::open(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())), false)?;
            (Box::new(Block::new(disk, "disk0")), Host::Disk(file))
        }
        _ => {
            let path = fresh(folder, "v");
            let device = Vsock::new(CID, &path)?;
            let listener = UnixListener::bind(fresh(folder, &format!("v_{PORT}")))?;
            listener.set_nonblocking(true)?;
            (Box::new(device), Host::sockets(path, Some(listener)))
        }
    })
}

fn fresh(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    // It may not be there.
    let _ = fs::remove_file(&path);
    path
}

impl Host {
    fn sockets(path: PathBuf, listener: Option<UnixListener>) -> Self {
        Host::Sockets { path, listener, streams: Vec::new(), left: MOST }
    }

    /// Does something, by a script. What the kernel refuses is not done.
    ///
    /// # Panics
    /// Something of the guest's private memory has come here: a finding.
    pub fn act(&mut self, how: u8, script: &mut Script<'_>) {
        match self {
            Host::Nobody => {}
            Host::Disk(_) => self.look(),
            Host::Wire(_) if how & 1 == 0 => self.look(),
            Host::Wire(wire) => {
                let length = script.or_zero();
                let _ = wire.send(&without_secret(script.bytes(length)));
            }
            Host::Sockets { path, listener, streams, left } => match how % 5 {
                // Whoever connects again and again without being heard would wait.
                0 if *left > 0 => {
                    *left -= 1;
                    streams.extend(connect(path));
                }
                1 => streams.extend(listener.as_ref().and_then(accept)),
                2 => self.look(),
                // The last of them alone: a script that wants another one closes it.
                3 => {
                    let length = script.or_zero();
                    let bytes = without_secret(script.bytes(length));
                    let _ = streams.last_mut().map(|stream| stream.write(&bytes));
                }
                _ => drop(streams.pop()),
            },
        }
    }

    /// Takes what has come and looks at it.
    ///
    /// # Panics
    /// Something of the guest's private memory is in it: a finding.
    pub fn look(&mut self) {
        let mut bytes = [0; DISK];
        match self {
            Host::Nobody => {}
            Host::Disk(file) => {
                if file.read_exact_at(&mut bytes, 0).is_ok() {
                    assert_no_secret(&bytes);
                }
            }
            Host::Wire(wire) => {
                while let Ok(length) = wire.recv(&mut bytes) {
                    assert_no_secret(&bytes[..length]);
                }
            }
            Host::Sockets { streams, .. } => {
                for stream in streams {
                    while let Ok(length @ 1..) = stream.read(&mut bytes) {
                        assert_no_secret(&bytes[..length]);
                    }
                }
            }
        }
    }
}

fn connect(path: &Path) -> Option<UnixStream> {
    let stream = UnixStream::connect(path).ok()?;
    stream.set_nonblocking(true).ok()?;
    Some(stream)
}

fn accept(listener: &UnixListener) -> Option<UnixStream> {
    let (stream, _) = listener.accept().ok()?;
    stream.set_nonblocking(true).ok()?;
    Some(stream)
}
