//! Doorbells that KVM rings itself: a guest's write to one wakes the device's thread and is no exit to
//! the VMM.

use kvm_ioctls::{IoEventAddress, NoDatamatch, VmFd};
use ravelin_devices::virtio::pci::Doorbells;
use std::sync::Arc;
use vmm_sys_util::eventfd::EventFd;

/// A VM's doorbells.
pub struct KvmDoorbells(Arc<VmFd>);

impl KvmDoorbells {
    pub(crate) fn new(vm: Arc<VmFd>) -> Self {
        Self(vm)
    }
}

impl Doorbells for KvmDoorbells {
    fn attach(&self, address: u64, doorbell: &EventFd) {
        let place = IoEventAddress::Mmio(address);
        if let Err(error) = self.0.register_ioevent(doorbell, &place, NoDatamatch) {
            tracing::debug!(%error, address, "doorbell rings by exits");
        }
    }

    fn detach(&self, address: u64, doorbell: &EventFd) {
        let place = IoEventAddress::Mmio(address);
        if let Err(error) = self.0.unregister_ioevent(doorbell, &place, NoDatamatch) {
            tracing::debug!(%error, address, "doorbell was not attached");
        }
    }
}
