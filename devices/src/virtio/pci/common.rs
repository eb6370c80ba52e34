//! The common configuration structure (Virtio 1.3, section 4.1.4.3): how a driver finds out what a
//! device can do, sets its queues up and starts it.
//!
//! Registers and their rules alone. What a write asks for comes back as an [`Action`] for the
//! transport.

use crate::virtio::interrupts::NO_VECTOR;
use crate::virtio::queue::Setup;
use virtio_bindings::virtio_config::{
    VIRTIO_CONFIG_S_ACKNOWLEDGE, VIRTIO_CONFIG_S_DRIVER, VIRTIO_CONFIG_S_DRIVER_OK,
    VIRTIO_CONFIG_S_FAILED, VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_F_ACCESS_PLATFORM,
    VIRTIO_F_VERSION_1,
};
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};

/// Bytes of the structure.
pub(super) const SIZE: usize = 0x38;

/// Without these there is no device for the driver: the rings are little-endian and of version 1,
/// and the driver asks its platform which addresses a device may see.
const REQUIRED: u64 = 1 << VIRTIO_F_VERSION_1 | 1 << VIRTIO_F_ACCESS_PLATFORM;
const EVENT_INDEX: u64 = 1 << VIRTIO_RING_F_EVENT_IDX;
const INDIRECT: u64 = 1 << VIRTIO_RING_F_INDIRECT_DESC;

const ACKNOWLEDGE: u8 = VIRTIO_CONFIG_S_ACKNOWLEDGE as u8;
const DRIVER: u8 = VIRTIO_CONFIG_S_DRIVER as u8;
const DRIVER_OK: u8 = VIRTIO_CONFIG_S_DRIVER_OK as u8;
const FEATURES_OK: u8 = VIRTIO_CONFIG_S_FEATURES_OK as u8;
const FAILED: u8 = VIRTIO_CONFIG_S_FAILED as u8;

/// Offsets of the registers.
pub(super) mod register {
    pub(crate) const DEVICE_FEATURE_SELECT: u64 = 0x00;
    pub(crate) const DEVICE_FEATURE: u64 = 0x04;
    pub(crate) const DRIVER_FEATURE_SELECT: u64 = 0x08;
    pub(crate) const DRIVER_FEATURE: u64 = 0x0c;
    pub(crate) const CONFIG_MSIX_VECTOR: u64 = 0x10;
    pub(crate) const NUM_QUEUES: u64 = 0x12;
    pub(crate) const DEVICE_STATUS: u64 = 0x14;
    pub(crate) const QUEUE_SELECT: u64 = 0x16;
    pub(crate) const QUEUE_SIZE: u64 = 0x18;
    pub(crate) const QUEUE_MSIX_VECTOR: u64 = 0x1a;
    pub(crate) const QUEUE_ENABLE: u64 = 0x1c;
    pub(crate) const QUEUE_NOTIFY_OFF: u64 = 0x1e;
    pub(crate) const QUEUE_DESC: u64 = 0x20;
    pub(crate) const QUEUE_DRIVER: u64 = 0x28;
    pub(crate) const QUEUE_DEVICE: u64 = 0x30;
}
use register::*;

/// What a write asks of the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The driver wants the device as it was at first.
    Reset,
    /// The driver is ready.
    Start,
    /// The driver has chosen the vector of configuration changes.
    ConfigVector(u16),
}

/// The registers.
pub(super) struct CommonConfig {
    offered: u64,
    maxima: &'static [u16],
    vectors: u16,
    accepted: u64,
    device_select: u32,
    driver_select: u32,
    status: u8,
    config_vector: u16,
    queue_select: u16,
    queues: Vec<Setup>,
}

impl CommonConfig {
    /// The registers of a device with these features and queues, and so many MSI-X vectors.
    pub(super) fn new(features: u64, maxima: &'static [u16], vectors: u16) -> Self {
        Self {
            offered: features | REQUIRED | EVENT_INDEX | INDIRECT,
            maxima,
            vectors,
            accepted: 0,
            device_select: 0,
            driver_select: 0,
            status: 0,
            config_vector: NO_VECTOR,
            queue_select: 0,
            queues: maxima.iter().map(|size| unset(*size)).collect(),
        }
    }

    /// Brings every register back to its first value.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.offered, self.maxima, self.vectors);
    }

    /// The queues as the driver has set them up.
    pub(super) fn queues(&self) -> &[Setup] {
        &self.queues
    }

    /// The features that the driver has accepted.
    pub(super) fn features(&self) -> u64 {
        self.accepted
    }

    /// Whether the driver has accepted suppression of notifications by index.
    pub(super) fn event_index(&self) -> bool {
        self.accepted & EVENT_INDEX != 0
    }

    /// Fills `data` with what stands at `offset`; zeros behind the end. `status` are bits of the device
    /// status that the device itself sets.
    pub(super) fn read(&self, offset: u64, data: &mut [u8], status: u8) {
        let image = self.image(status);
        for (at, byte) in (offset..).zip(data) {
            *byte = usize::try_from(at).ok().and_then(|at| image.get(at)).copied().unwrap_or(0);
        }
    }

    /// Takes a write of a whole register, or of half of one of 64 bits. Others mean nothing.
    pub(super) fn write(&mut self, offset: u64, data: &[u8]) -> Option<Action> {
        match *data {
            [value] if offset == DEVICE_STATUS => self.write_status(value),
            [a, b] => self.write_word(offset, u16::from_le_bytes([a, b])),
            [a, b, c, d] => {
                self.write_dword(offset, u32::from_le_bytes([a, b, c, d]));
                None
            }
            [a, b, c, d, e, f, g, h] => {
                self.write_dword(offset, u32::from_le_bytes([a, b, c, d]));
                self.write_dword(offset.wrapping_add(4), u32::from_le_bytes([e, f, g, h]));
                None
            }
            _ => None,
        }
    }

    /// Bits only come, until all of them go (section 2.1.1).
    fn write_status(&mut self, value: u8) -> Option<Action> {
        if value == 0 {
            return Some(Action::Reset);
        }
        self.status |= value & (ACKNOWLEDGE | DRIVER | FAILED);
        if value & FEATURES_OK != 0 && self.status & DRIVER != 0 && self.agreed() {
            self.status |= FEATURES_OK;
        }
        let ready = value & DRIVER_OK != 0 && self.status & FEATURES_OK != 0;
        if ready && !self.running() {
            self.status |= DRIVER_OK;
            return Some(Action::Start);
        }
        None
    }

    fn write_word(&mut self, offset: u64, value: u16) -> Option<Action> {
        match offset {
            CONFIG_MSIX_VECTOR => {
                self.config_vector = self.vector(value);
                return Some(Action::ConfigVector(self.config_vector));
            }
            QUEUE_SELECT => self.queue_select = value,
            QUEUE_SIZE => {
                let most = self.maxima.get(usize::from(self.queue_select)).copied();
                let legal = value.is_power_of_two() && most.is_some_and(|most| value <= most);
                if let Some(queue) = self.queue_to_set_up().filter(|_| legal) {
                    queue.size = value;
                }
            }
            QUEUE_MSIX_VECTOR => {
                let vector = self.vector(value);
                if let Some(queue) = self.queue_to_set_up() {
                    queue.vector = vector;
                }
            }
            QUEUE_ENABLE if value == 1 => {
                if let Some(queue) = self.queue_to_set_up() {
                    queue.enabled = true;
                }
            }
            _ => {}
        }
        None
    }

    fn write_dword(&mut self, offset: u64, value: u32) {
        match offset {
            DEVICE_FEATURE_SELECT => self.device_select = value,
            DRIVER_FEATURE_SELECT => self.driver_select = value,
            DRIVER_FEATURE if self.status & FEATURES_OK == 0 => match self.driver_select {
                0 => set_low(&mut self.accepted, value),
                1 => set_high(&mut self.accepted, value),
                // None of those features exist.
                _ => {}
            },
            QUEUE_DESC..SIZE64 => {
                let Some(queue) = self.queue_to_set_up() else { return };
                let address = match offset & !7 {
                    QUEUE_DESC => &mut queue.descriptors,
                    QUEUE_DRIVER => &mut queue.available,
                    _ => &mut queue.used,
                };
                match offset & 7 {
                    0 => set_low(address, value),
                    4 => set_high(address, value),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// The queue that is selected, if the driver may still say how it is.
    fn queue_to_set_up(&mut self) -> Option<&mut Setup> {
        let running = self.running();
        let queue = self.queues.get_mut(usize::from(self.queue_select))?;
        (!running && !queue.enabled).then_some(queue)
    }

    fn running(&self) -> bool {
        self.status & DRIVER_OK != 0
    }

    fn agreed(&self) -> bool {
        self.accepted & !self.offered == 0 && self.accepted & REQUIRED == REQUIRED
    }

    /// A vector that is there, or none.
    fn vector(&self, vector: u16) -> u16 {
        if vector < self.vectors { vector } else { NO_VECTOR }
    }

    fn image(&self, status: u8) -> [u8; SIZE] {
        let mut image = [0; SIZE];
        let mut put = |at: u64, bytes: &[u8]| {
            image[at as usize..][..bytes.len()].copy_from_slice(bytes);
        };
        put(DEVICE_FEATURE_SELECT, &self.device_select.to_le_bytes());
        put(DEVICE_FEATURE, &half(self.offered, self.device_select).to_le_bytes());
        put(DRIVER_FEATURE_SELECT, &self.driver_select.to_le_bytes());
        put(DRIVER_FEATURE, &half(self.accepted, self.driver_select).to_le_bytes());
        put(CONFIG_MSIX_VECTOR, &self.config_vector.to_le_bytes());
        put(NUM_QUEUES, &(self.queues.len() as u16).to_le_bytes());
        // The configuration generation behind it stays 0: the configuration does not change.
        put(DEVICE_STATUS, &[self.status | status]);
        put(QUEUE_SELECT, &self.queue_select.to_le_bytes());
        // A queue that does not exist has size 0, and that is how a driver knows.
        if let Some(queue) = self.queues.get(usize::from(self.queue_select)) {
            put(QUEUE_SIZE, &queue.size.to_le_bytes());
            put(QUEUE_MSIX_VECTOR, &queue.vector.to_le_bytes());
            put(QUEUE_ENABLE, &u16::from(queue.enabled).to_le_bytes());
            put(QUEUE_NOTIFY_OFF, &self.queue_select.to_le_bytes());
            put(QUEUE_DESC, &queue.descriptors.to_le_bytes());
            put(QUEUE_DRIVER, &queue.available.to_le_bytes());
            put(QUEUE_DEVICE, &queue.used.to_le_bytes());
        }
        image
    }
}

const SIZE64: u64 = SIZE as u64;

fn unset(size: u16) -> Setup {
    Setup { size, descriptors: 0, available: 0, used: 0, vector: NO_VECTOR, enabled: false }
}

/// Bits 31:0 or 63:32 of a set of features; there are no others.
fn half(features: u64, select: u32) -> u32 {
    match select {
        0 => features as u32,
        1 => (features >> 32) as u32,
        _ => 0,
    }
}

fn set_low(to: &mut u64, value: u32) {
    *to = *to >> 32 << 32 | u64::from(value);
}

fn set_high(to: &mut u64, value: u32) {
    *to = u64::from(*to as u32) | u64::from(value) << 32;
}
