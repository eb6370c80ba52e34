//! Message-signalled interrupts into the guest, through KVM's in-kernel controllers.

use kvm_bindings::kvm_msi;
use kvm_ioctls::VmFd;
use std::sync::Arc;

/// Delivers messages to a VM. Cheap to clone; it may outlive the run.
#[derive(Clone)]
pub struct MsiSender(Arc<VmFd>);

impl MsiSender {
    pub(crate) fn new(vm: Arc<VmFd>) -> MsiSender {
        MsiSender(vm)
    }

    /// Writes `data` to `address` as a device on the bus would. The guest chose both: a message
    /// that no interrupt controller takes is lost, as on hardware.
    pub fn send(&self, address: u64, data: u32) {
        let message = kvm_msi {
            address_lo: address as u32,
            address_hi: (address >> 32) as u32,
            data,
            ..Default::default()
        };
        if let Err(error) = self.0.signal_msi(message) {
            tracing::debug!(%error, address, data, "interrupt message lost");
        }
    }
}
