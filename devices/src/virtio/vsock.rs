//! The socket device (Virtio 1.3, section 5.10): stream sockets between the guest and Unix sockets of the
//! host's.
//!
//! [`packet`] is the header, [`flow`] the credit of a stream, [`stream`] its host end, [`streams`] all
//! of them, and [`host`] how clients of the host's find the guest. Here packets go in and out of the
//! rings. Neither side can make the VMM hold more than a bounded number of bytes.

mod flow;
pub mod host;
mod packet;
mod stream;
mod streams;

use super::queue::{Broken, VirtQueue};
use super::{Device, Event, Kind};
use packet::{HEADER, Header, op};
use std::os::fd::RawFd;
use std::path::Path;
use streams::Streams;

/// Entries of the three queues: to the guest, from the guest, events.
const ENTRIES: [u16; 3] = [128, 128, 16];
/// Most data in a packet to the guest.
const PIECE: usize = 64 << 10;

/// A socket device.
pub struct Vsock {
    cid: u64,
    streams: Streams,
    /// The packet that waits for room in the guest, and its data: what begins at `sent` is to go.
    waiting: Option<Header>,
    data: Box<[u8]>,
    sent: usize,
}

impl Vsock {
    /// A device for the guest of this context id, whose streams meet the host at `socket`.
    ///
    /// # Errors
    /// The id is no guest's, or nobody can listen there.
    pub fn new(cid: u64, socket: &Path) -> Result<Self, host::Error> {
        let cid = host::check_cid(cid)?;
        let streams = Streams::new(cid, socket)?;
        let data = vec![0; PIECE].into_boxed_slice();
        Ok(Self { cid, streams, waiting: None, data, sent: 0 })
    }

    fn receive(&mut self, queue: &mut VirtQueue) -> Result<(), Broken> {
        loop {
            if self.waiting.is_none() {
                self.sent = 0;
                self.waiting = self.streams.next(&mut self.data);
            }
            let Some(mut header) = self.waiting else { return Ok(()) };
            let Some(mut chain) = queue.take()? else { return Ok(()) };
            let room = chain.writable().checked_sub(HEADER as u64);
            let room = room.ok_or(Broken::Request("it has no room for a header"))?;
            let left = header.len as usize - self.sent;
            let part = left.min(usize::try_from(room).unwrap_or(usize::MAX));
            if part == 0 && left > 0 {
                return Err(Broken::Request("it has no room for data"));
            }
            header.len = part as u32;
            chain.write(&header.encode())?;
            chain.write(&self.data[self.sent..][..part])?;
            self.sent += part;
            if part == left {
                self.waiting = None;
            }
            queue.give_back(chain)?;
        }
    }

    /// False where packets have been left, since the guest has to take some first.
    fn transmit(&mut self, queue: &mut VirtQueue) -> Result<bool, Broken> {
        while !self.streams.full() {
            let Some(mut chain) = queue.take()? else { return Ok(true) };
            let header = Header::decode(&chain.read_array()?);
            let has = chain.readable();
            if header.op == op::RW && u64::from(header.len) > has {
                return Err(Broken::Request("it has less data than it says"));
            }
            self.streams.packet(&header, |bytes| chain.read(bytes).map(|_| ()))?;
            queue.give_back(chain)?;
        }
        Ok(false)
    }
}

impl Device for Vsock {
    fn kind(&self) -> Kind {
        Kind::Vsock
    }

    fn queues(&self) -> &'static [u16] {
        &ENTRIES
    }

    /// `struct virtio_vsock_config`, section 5.10.4.
    fn config(&self) -> Vec<u8> {
        self.cid.to_le_bytes().to_vec()
    }

    fn start(&mut self, _: u64) {
        self.streams.clear();
        self.waiting = None;
    }

    fn sources(&self) -> Vec<RawFd> {
        vec![self.streams.descriptor()]
    }

    fn handle(&mut self, _: Event, queues: &mut [VirtQueue]) -> Result<(), Broken> {
        let [to_guest, from_guest, _] = queues else { return Ok(()) };
        self.streams.look();
        loop {
            let all = self.transmit(from_guest)?;
            self.receive(to_guest)?;
            if all || self.streams.full() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests;
