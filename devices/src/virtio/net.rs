//! The network device (Virtio 1.3, section 5.1): one pair of queues, on a descriptor that takes and
//! gives whole Ethernet frames.
//!
//! Nothing is offloaded: what a guest says about checksums and segments in front of a frame goes
//! nowhere, least of all into the host's kernel. A frame that does not fit, or that the host does not take
//! now, is dropped, as on a wire.

pub mod mac;
pub mod tap;

use super::queue::{Broken, VirtQueue};
use super::{Device, Event, Kind};
use mac::MacAddress;
use rustix::io::{Errno, read, write};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use virtio_bindings::virtio_net::{VIRTIO_NET_F_MAC, VIRTIO_NET_F_STATUS};

/// Entries of the two queues: to the guest, from the guest.
const ENTRIES: [u16; 2] = [256, 256];
/// Bytes of `struct virtio_net_hdr` of version 1, in front of every frame.
const HEADER: usize = 12;
/// To the guest: nothing to do, and the frame is in one chain (`num_buffers`).
const PLAIN: [u8; HEADER] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
/// Most bytes of a frame: as many as an interface can be set to, with its header.
const FRAME: usize = (64 << 10) + 14;
/// Least bytes of a frame: addresses and type.
const LEAST: usize = 14;
/// Device configuration: the link is up.
const LINK_UP: u16 = 1;

/// A network card.
pub struct Net {
    host: OwnedFd,
    mac: MacAddress,
    /// The frame that waits for room in the guest; no byte where none does.
    arrived: Vec<u8>,
    sending: Box<[u8]>,
}

impl Net {
    /// A card with this address, whose wire is `host`: non-blocking, a frame a read and a write.
    pub fn new(host: impl Into<OwnedFd>, mac: MacAddress) -> Self {
        let sending = vec![0; FRAME].into_boxed_slice();
        Self { host: host.into(), mac, arrived: Vec::with_capacity(FRAME), sending }
    }

    /// A card on a [tap].
    pub fn on_tap(tap: File, mac: MacAddress) -> Self {
        Self::new(tap, mac)
    }

    fn receive(&mut self, queue: &mut VirtQueue) -> Result<(), Broken> {
        while !self.arrived.is_empty() || self.fetch() {
            let Some(mut chain) = queue.take()? else { return Ok(()) };
            // A chain without room for the frame goes back empty, and the frame nowhere.
            if chain.writable() >= (HEADER + self.arrived.len()) as u64 {
                chain.write(&PLAIN)?;
                chain.write(&self.arrived)?;
            }
            self.arrived.clear();
            queue.give_back(chain)?;
        }
        Ok(())
    }

    /// Reads the next frame; false where there is none now.
    fn fetch(&mut self) -> bool {
        self.arrived.resize(FRAME, 0);
        let length = loop {
            match read(&self.host, &mut self.arrived[..]) {
                Err(Errno::INTR) => {}
                // Down, or nothing there.
                Err(_) => break 0,
                Ok(length) => break length,
            }
        };
        self.arrived.truncate(length);
        length > 0
    }

    fn transmit(&mut self, queue: &mut VirtQueue) -> Result<(), Broken> {
        while let Some(mut chain) = queue.take()? {
            let _: [u8; HEADER] = chain.read_array()?;
            let length = chain.read(&mut self.sending)?;
            if chain.readable() == 0 && length >= LEAST {
                while write(&self.host, &self.sending[..length]) == Err(Errno::INTR) {}
            }
            queue.give_back(chain)?;
        }
        Ok(())
    }
}

impl Device for Net {
    fn kind(&self) -> Kind {
        Kind::Net
    }

    fn features(&self) -> u64 {
        1 << VIRTIO_NET_F_MAC | 1 << VIRTIO_NET_F_STATUS
    }

    fn queues(&self) -> &'static [u16] {
        &ENTRIES
    }

    /// `struct virtio_net_config`, section 5.1.4: address and status.
    fn config(&self) -> Vec<u8> {
        let mut config = self.mac.octets().to_vec();
        config.extend(LINK_UP.to_le_bytes());
        config
    }

    fn sources(&self) -> Vec<RawFd> {
        vec![self.host.as_raw_fd()]
    }

    fn handle(&mut self, event: Event, queues: &mut [VirtQueue]) -> Result<(), Broken> {
        let [to_guest, from_guest] = queues else { return Ok(()) };
        if event != Event::Queue(1) {
            self.receive(to_guest)?;
        }
        match event {
            Event::Started | Event::Queue(1) => self.transmit(from_guest),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
