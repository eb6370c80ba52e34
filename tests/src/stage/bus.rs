//! The PCI function of a GPU, as the driver's bus, with an attacker on the wire.
//!
//! Configuration space has what the driver looks for: the ids, and a DOE mailbox (the devices' own).
//! Registers are the GPU's. An attacker may change each data object on its way in and out.

use std::sync::Arc;

use ravelin_devices::pci::doe::{self, Mailbox};
use ravelin_driver::Bus;
use ravelin_gpu_abi::{PCI_DEVICE_ID, PCI_VENDOR_ID};
use ravelin_gpu_model::{Gpu, Initiator};

/// Where the DOE capability stands.
const MAILBOX: u16 = 0x100;
/// DOE's extended capability, version 1, the last of the list.
const DOE_HEADER: u32 = 0x0001_002e;

/// What stands between driver and GPU: gets a data object, and answers it, as a rule by asking the
/// GPU.
pub type Middleman = Box<dyn FnMut(&Gpu, Vec<u8>) -> Vec<u8> + Send>;

/// The wire to a GPU.
pub struct Wire {
    gpu: Arc<Gpu>,
    mailbox: Mailbox,
    middleman: Middleman,
    /// Whether the function is there; without it everything reads all ones.
    pub present: bool,
}

impl Wire {
    /// An honest wire.
    pub fn new(gpu: Arc<Gpu>) -> Wire {
        Wire::with(gpu, Box::new(|gpu, object| gpu.doe_exchange(&object)))
    }

    /// A wire with someone in the middle.
    pub fn with(gpu: Arc<Gpu>, middleman: Middleman) -> Wire {
        Wire { gpu, mailbox: Mailbox::new(), middleman, present: true }
    }

    fn register<const N: usize>(&self, offset: u64) -> [u8; N] {
        let mut data = [0xff; N];
        if self.present {
            self.gpu.read_register(Initiator::GuestMmio, offset, &mut data);
        }
        data
    }

    fn put(&self, offset: u64, data: &[u8]) {
        if self.present {
            self.gpu.write_register(Initiator::GuestMmio, offset, data);
        }
    }
}

impl Bus for Wire {
    fn config_read(&mut self, offset: u16) -> u32 {
        match offset {
            _ if !self.present => u32::MAX,
            0 => u32::from(PCI_DEVICE_ID) << 16 | u32::from(PCI_VENDOR_ID),
            MAILBOX => DOE_HEADER,
            offset if (MAILBOX..MAILBOX + doe::END).contains(&offset) => {
                self.mailbox.read(offset - MAILBOX)
            }
            _ => 0,
        }
    }

    fn config_write(&mut self, offset: u16, value: u32) {
        if !self.present || !(MAILBOX..MAILBOX + doe::END).contains(&offset) {
            return;
        }
        if let Some(request) = self.mailbox.write(offset - MAILBOX, value) {
            let number = request.number();
            let answer = (self.middleman)(&self.gpu, request.object);
            self.mailbox.complete(number, &answer);
        }
    }

    fn register_read32(&mut self, offset: u64) -> u32 {
        u32::from_le_bytes(self.register(offset))
    }

    fn register_write32(&mut self, offset: u64, value: u32) {
        self.put(offset, &value.to_le_bytes());
    }

    fn register_read64(&mut self, offset: u64) -> u64 {
        u64::from_le_bytes(self.register(offset))
    }

    fn register_write64(&mut self, offset: u64, value: u64) {
        self.put(offset, &value.to_le_bytes());
    }
}
