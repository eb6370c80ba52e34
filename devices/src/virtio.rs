//! Virtio devices (Virtio 1.3) behind a modern PCI transport, for guests whose memory is private.
//!
//! A [`Device`] is what a kind of device does with its queues: it knows neither PCI nor threads.
//! [`pci`] is its face on the guest's bus and [`worker`] the thread that it works on. [`queue`] is the
//! only way to the rings and buffers, and every access there goes through the
//! [DMA gate](crate::dma_gate): a device that is led to a private page stops and asks to be reset.
//! `VERSION_1` and `ACCESS_PLATFORM` are not negotiable; legacy drivers find no device.
//!
//! All that a guest can say is hostile. Descriptors and buffers are copied before they are looked at.

pub mod block;
pub mod console;
pub mod interrupts;
pub mod net;
pub mod pci;
pub mod queue;
pub mod rng;
pub mod socket;
pub mod vsock;
pub mod worker;

#[cfg(test)]
mod harness;

use queue::{Broken, VirtQueue};
use std::os::fd::RawFd;
use virtio_bindings::virtio_ids;

/// Kinds of device, as Virtio numbers them (section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Network card.
    Net,
    /// Block device.
    Block,
    /// Console.
    Console,
    /// Entropy source.
    Rng,
    /// Socket device.
    Vsock,
}

impl Kind {
    /// The device type.
    pub fn id(self) -> u16 {
        let id = match self {
            Kind::Net => virtio_ids::VIRTIO_ID_NET,
            Kind::Block => virtio_ids::VIRTIO_ID_BLOCK,
            Kind::Console => virtio_ids::VIRTIO_ID_CONSOLE,
            Kind::Rng => virtio_ids::VIRTIO_ID_RNG,
            Kind::Vsock => virtio_ids::VIRTIO_ID_VSOCK,
        };
        // Two digits each.
        id as u16
    }

    /// PCI class code: 24 bits.
    fn class(self) -> u32 {
        match self {
            Kind::Net => 0x02_00_00,
            Kind::Block => 0x01_80_00,
            Kind::Console | Kind::Vsock => 0x07_80_00,
            Kind::Rng => 0xff_00_00,
        }
    }
}

/// Why a device has work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The driver is ready: the queues are there.
    Started,
    /// The driver has put something into this queue, or wants the device to look.
    Queue(usize),
    /// One of [`Device::sources`], by index, has become ready since it was last found not to be.
    Source(usize),
}

/// What a kind of device does with its queues.
///
/// The calls come one at a time from one thread. Between them a device keeps nothing of the guest's
/// that it would have to believe.
pub trait Device: Send {
    /// What the driver looks for.
    fn kind(&self) -> Kind;
    /// Feature bits that the device offers besides the transport's.
    fn features(&self) -> u64 {
        0
    }
    /// Most entries of each queue: powers of two.
    fn queues(&self) -> &'static [u16];
    /// The device configuration, which never changes.
    fn config(&self) -> Vec<u8> {
        Vec::new()
    }
    /// A driver begins, with these features of those offered. What an earlier one has left is void.
    fn start(&mut self, _features: u64) {}
    /// What besides the queues can bring work: descriptors that live as long as the device.
    fn sources(&self) -> Vec<RawFd> {
        Vec::new()
    }
    /// Works until there is nothing to do. A source counts as looked at once it would have blocked.
    ///
    /// # Errors
    /// The driver has broken the rules: the device does nothing more until it is reset.
    fn handle(&mut self, event: Event, queues: &mut [VirtQueue]) -> Result<(), Broken>;
}
