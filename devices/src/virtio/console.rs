//! The console device (Virtio 1.3, section 5.3): one port, which a Linux guest calls `hvc0`, on one
//! end of a socket.
//!
//! Output waits where the other end does not keep up, and the guest with it; once the other end is
//! gone output is dropped. Nothing here looks at the bytes, which are a stranger's either way.

use super::queue::{Broken, Chain, VirtQueue};
use super::{Device, Event, Kind};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

/// Entries of the two queues: to the guest, from the guest.
const ENTRIES: [u16; 2] = [64, 64];
/// Bytes that are moved at a time.
const PIECE: usize = 4096;

/// A console.
pub struct Console {
    host: UnixStream,
    to_guest: Piece,
    to_host: Piece,
    /// The chain that output is being taken from.
    sending: Option<Chain>,
    /// Whether the other end still talks, and still listens.
    open: Open,
}

struct Open {
    input: bool,
    output: bool,
}

impl Console {
    /// A console whose other end is the other end of `host`.
    ///
    /// # Errors
    /// The socket cannot be made non-blocking.
    pub fn new(host: UnixStream) -> io::Result<Self> {
        host.set_nonblocking(true)?;
        let open = Open { input: true, output: true };
        Ok(Self { host, to_guest: Piece::new(), to_host: Piece::new(), sending: None, open })
    }

    fn receive(&mut self, queue: &mut VirtQueue) -> Result<(), Broken> {
        loop {
            if self.to_guest.is_empty() && !self.fill() {
                return Ok(());
            }
            let Some(mut chain) = queue.take()? else { return Ok(()) };
            let taken = chain.write(self.to_guest.rest())?;
            self.to_guest.advance(taken);
            queue.give_back(chain)?;
        }
    }

    /// Reads what the other end has said; false where it has said nothing.
    fn fill(&mut self) -> bool {
        while self.open.input {
            match self.host.read(&mut self.to_guest.bytes[..]) {
                Ok(0) => self.open.input = false,
                Ok(length) => {
                    self.to_guest.held(length);
                    return true;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => self.open.input = false,
            }
        }
        false
    }

    fn transmit(&mut self, queue: &mut VirtQueue) -> Result<(), Broken> {
        while self.drain() {
            let chain = match self.sending.take() {
                Some(chain) => Some(chain),
                None => queue.take()?,
            };
            let Some(mut chain) = chain else { return Ok(()) };
            let length = chain.read(&mut self.to_host.bytes[..])?;
            self.to_host.held(length);
            match chain.readable() {
                0 => queue.give_back(chain)?,
                _ => self.sending = Some(chain),
            }
        }
        Ok(())
    }

    /// Writes what is held; false where the other end takes no more now.
    fn drain(&mut self) -> bool {
        while self.open.output && !self.to_host.is_empty() {
            match self.host.write(self.to_host.rest()) {
                Ok(length) => self.to_host.advance(length),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => self.open.output = false,
            }
        }
        self.to_host.held(0);
        true
    }
}

impl Device for Console {
    fn kind(&self) -> Kind {
        Kind::Console
    }

    fn queues(&self) -> &'static [u16] {
        &ENTRIES
    }

    /// `struct virtio_console_config`, section 5.3.4: nothing of it is in use.
    fn config(&self) -> Vec<u8> {
        vec![0; 12]
    }

    fn start(&mut self, _: u64) {
        self.sending = None;
    }

    fn sources(&self) -> Vec<RawFd> {
        vec![self.host.as_raw_fd()]
    }

    fn handle(&mut self, _: Event, queues: &mut [VirtQueue]) -> Result<(), Broken> {
        let [to_guest, to_host] = queues else { return Ok(()) };
        self.receive(to_guest)?;
        self.transmit(to_host)
    }
}

/// Bytes on their way.
struct Piece {
    bytes: Box<[u8; PIECE]>,
    begin: usize,
    end: usize,
}

impl Piece {
    fn new() -> Self {
        Self { bytes: Box::new([0; PIECE]), begin: 0, end: 0 }
    }

    fn is_empty(&self) -> bool {
        self.begin == self.end
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.begin..self.end]
    }

    /// The first `length` bytes are there now.
    fn held(&mut self, length: usize) {
        (self.begin, self.end) = (0, length.min(PIECE));
    }

    fn advance(&mut self, length: usize) {
        self.begin = self.end.min(self.begin + length);
    }
}

#[cfg(test)]
mod tests;
