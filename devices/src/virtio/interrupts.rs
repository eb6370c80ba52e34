//! How a device interrupts its driver (Virtio 1.3, section 4.1.4.5): MSI-X where the driver has chosen a
//! vector, and the ISR status always.

use crate::pci::msix::Msix;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};

/// The driver wants no interrupt from this source (section 4.1.4.3).
pub const NO_VECTOR: u16 = 0xffff;
/// ISR status: a queue has something for the driver (section 4.1.4.5).
const ISR_QUEUE: u8 = 1;
/// ISR status: the device's configuration or state has changed.
const ISR_CONFIG: u8 = 2;

/// A device's interrupts: MSI-X where the driver has chosen a vector, and the ISR status always.
pub struct Interrupts {
    msix: Arc<Msix>,
    isr: AtomicU8,
    config_vector: AtomicU16,
}

impl Interrupts {
    /// Interrupts that no vector has been chosen for.
    pub fn new(msix: Arc<Msix>) -> Self {
        Self { msix, isr: AtomicU8::new(0), config_vector: AtomicU16::new(NO_VECTOR) }
    }

    /// Takes the ISR status: what is read is cleared.
    pub fn take_status(&self) -> u8 {
        self.isr.swap(0, Ordering::SeqCst)
    }

    /// Chooses the vector of configuration changes.
    pub fn set_config_vector(&self, vector: u16) {
        self.config_vector.store(vector, Ordering::SeqCst);
    }

    /// Tells the driver that the device's configuration or status has changed.
    pub fn config_changed(&self) {
        self.isr.fetch_or(ISR_CONFIG, Ordering::SeqCst);
        self.raise(self.config_vector.load(Ordering::SeqCst));
    }

    /// Forgets everything.
    pub fn reset(&self) {
        self.set_config_vector(NO_VECTOR);
        self.take_status();
    }

    /// Tells the driver that a queue with this vector has something for it.
    pub fn queue_used(&self, vector: u16) {
        self.isr.fetch_or(ISR_QUEUE, Ordering::SeqCst);
        self.raise(vector);
    }

    fn raise(&self, vector: u16) {
        if vector != NO_VECTOR {
            self.msix.raise(vector);
        }
    }
}
