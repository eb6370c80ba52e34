//! The console device (Virtio 1.3, section 5.3): one port, which a Linux guest calls `hvc0`, behind a Unix
//! socket of the host's.
//!
//! One client at a time has the console. Output waits where it does not keep up, and the guest with
//! it; while there is no client output is dropped. Nothing here looks at the bytes, which are a
//! stranger's either way.

use super::queue::{Broken, Chain, VirtQueue};
use super::socket::{Error, Listener, Watch};
use super::{Device, Event, Kind};
use std::io::{self, Read, Write};
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Entries of the two queues: to the guest, from the guest.
const ENTRIES: [u16; 2] = [64, 64];
/// Bytes that are moved at a time.
const PIECE: usize = 4096;
/// What is watched: the listener and the client.
const LISTENER: u64 = 0;
const CLIENT: u64 = 1;

/// A console.
pub struct Console {
    listener: Listener,
    watch: Watch,
    client: Option<UnixStream>,
    to_guest: Piece,
    to_host: Piece,
    /// The chain that output is being taken from.
    sending: Option<Chain>,
}

impl Console {
    /// A console that clients reach at `path`, mode 0600.
    ///
    /// # Errors
    /// Nobody can listen there.
    pub fn listen(path: &Path) -> Result<Self, Error> {
        let listener = Listener::bind(path)?;
        let failed = |error| Error::Listen(path.into(), error);
        let watch = Watch::new().map_err(failed)?;
        watch.add(&listener, LISTENER).map_err(failed)?;
        let (to_guest, to_host) = (Piece::new(), Piece::new());
        Ok(Self { listener, watch, client: None, to_guest, to_host, sending: None })
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

    /// Gives the console to the next client where nobody has it.
    fn next_client(&mut self) {
        if self.client.is_none() {
            let next = self.listener.accept().and_then(|client| {
                self.watch.add(&client, CLIENT)?;
                Ok(client)
            });
            self.client = next.ok();
        }
    }

    /// Reads what the client has said; false where it has said nothing.
    fn fill(&mut self) -> bool {
        let mut bytes = [0; PIECE];
        loop {
            self.next_client();
            let Some(client) = &mut self.client else { return false };
            match client.read(&mut bytes) {
                Ok(length @ 1..) => {
                    self.to_guest.hold(&bytes[..length]);
                    return true;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Ok(_) | Err(_) => self.client = None,
            }
        }
    }

    fn transmit(&mut self, queue: &mut VirtQueue) -> Result<(), Broken> {
        while self.drain() {
            let chain = match self.sending.take() {
                Some(chain) => Some(chain),
                None => queue.take()?,
            };
            let Some(mut chain) = chain else { return Ok(()) };
            let mut bytes = [0; PIECE];
            let length = chain.read(&mut bytes)?;
            self.to_host.hold(&bytes[..length]);
            match chain.readable() {
                0 => queue.give_back(chain)?,
                _ => self.sending = Some(chain),
            }
        }
        Ok(())
    }

    /// Writes what is held; false where the client takes no more now.
    fn drain(&mut self) -> bool {
        while !self.to_host.is_empty() {
            self.next_client();
            let Some(client) = &mut self.client else {
                // Nobody listens.
                self.to_host.hold(&[]);
                return true;
            };
            match client.write(self.to_host.rest()) {
                Ok(length) => self.to_host.advance(length),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => self.client = None,
            }
        }
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
        vec![self.watch.descriptor()]
    }

    fn handle(&mut self, _: Event, queues: &mut [VirtQueue]) -> Result<(), Broken> {
        let [to_guest, to_host] = queues else { return Ok(()) };
        // Who has woken the device matters not; that it was looked at does.
        while !self.watch.ready().is_empty() {}
        self.receive(to_guest)?;
        self.transmit(to_host)
    }
}

/// Bytes on their way.
struct Piece {
    bytes: Vec<u8>,
    gone: usize,
}

impl Piece {
    fn new() -> Self {
        Self { bytes: Vec::with_capacity(PIECE), gone: 0 }
    }

    fn hold(&mut self, bytes: &[u8]) {
        self.bytes.clear();
        self.bytes.extend(bytes);
        self.gone = 0;
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.gone..).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    fn advance(&mut self, length: usize) {
        self.gone += length;
    }
}

#[cfg(test)]
mod tests;
