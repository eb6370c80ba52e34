//! The host's end of one stream: a Unix socket, and the guest's bytes that it has not taken yet.

use super::flow::Flow;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

/// Longest first line of a client: `CONNECT` and a port.
const GREETING: usize = 32;

/// How far a stream has come.
pub(super) enum Phase {
    /// A client of the host's has connected and says which port it wants.
    Greeting(Vec<u8>),
    /// The guest was asked whether it takes the client.
    Requested,
    /// Bytes flow.
    Open,
}

/// Where a stream is known: the guest's port and the host's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Ports {
    pub(super) guest: u32,
    pub(super) host: u32,
}

/// What looking at a socket brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Looked {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// Nothing any more.
    End,
}

/// One stream.
pub(super) struct Stream {
    socket: UnixStream,
    pub(super) phase: Phase,
    pub(super) ports: Ports,
    pub(super) flow: Flow,
    to_host: VecDeque<u8>,
    /// Whether the host's end still sends.
    pub(super) host_sends: bool,
    /// Whether it was told that the guest sends no more.
    shut: bool,
    /// Whether it stands in line to be read.
    pub(super) in_line: bool,
}

impl Stream {
    /// A stream on a socket, which must be non-blocking.
    pub(super) fn new(socket: UnixStream, phase: Phase, ports: Ports) -> Self {
        Self {
            socket,
            phase,
            ports,
            flow: Flow::new(),
            to_host: VecDeque::new(),
            host_sends: true,
            shut: false,
            in_line: false,
        }
    }

    pub(super) fn socket(&self) -> &UnixStream {
        &self.socket
    }

    /// Takes bytes for the host's end. Their number was checked by the [`Flow`].
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.to_host.extend(bytes);
    }

    /// Whether the guest has shut both ways and the host's end has everything.
    pub(super) fn finished(&self) -> bool {
        self.to_host.is_empty() && !self.flow.guest_sends && !self.flow.guest_receives
    }

    /// Writes what is held, as much as the socket takes.
    ///
    /// # Errors
    /// The host's end is gone.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while !self.to_host.is_empty() {
            match self.socket.write(self.to_host.as_slices().0) {
                Ok(length) => {
                    self.to_host.drain(..length);
                    // At most what the buffer holds.
                    self.flow.forward(length as u32);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        if !self.flow.guest_sends && !self.shut {
            self.shut = true;
            self.socket.shutdown(Shutdown::Write)?;
        }
        Ok(())
    }

    /// Says something to the client itself.
    ///
    /// # Errors
    /// It is gone, or takes not even a line.
    pub(super) fn say(&mut self, line: &str) -> io::Result<()> {
        self.socket.write_all(line.as_bytes())
    }

    /// Reads what the host's end has sent.
    ///
    /// # Errors
    /// It is gone.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Looked> {
        loop {
            match self.socket.read(buffer) {
                Ok(0) => return Ok(Looked::End),
                Ok(length) => return Ok(Looked::Bytes(length)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Looked::Nothing);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads on in the client's first line, `CONNECT PORT`, and nothing behind it; the port once
    /// the line is whole.
    ///
    /// # Errors
    /// The client is gone, or says something else.
    pub(super) fn greet(&mut self) -> io::Result<Option<u32>> {
        loop {
            let mut byte = [0];
            match self.read(&mut byte)? {
                Looked::Nothing => return Ok(None),
                Looked::End => return Err(io::ErrorKind::UnexpectedEof.into()),
                Looked::Bytes(_) => {}
            }
            let Phase::Greeting(line) = &mut self.phase else { return Ok(None) };
            if byte == *b"\n" {
                let port = std::str::from_utf8(line).ok().and_then(|line| {
                    line.strip_suffix('\r').unwrap_or(line).strip_prefix("CONNECT ")?.parse().ok()
                });
                return port.map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into());
            }
            if line.len() >= GREETING {
                return Err(io::ErrorKind::InvalidData.into());
            }
            line.extend(byte);
        }
    }
}
