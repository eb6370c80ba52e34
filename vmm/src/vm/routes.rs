//! Interrupts that never reach the VMM: events of the kernel's VFIO, connected to messages in KVM.
//!
//! KVM has one table that says what each interrupt number means, and takes it whole. The first numbers
//! are the lines of its interrupt controllers, as KVM sets them up itself; those behind are messages.

use kvm_bindings::{
    KVM_IRQ_ROUTING_IRQCHIP, KVM_IRQ_ROUTING_MSI, KVM_IRQCHIP_IOAPIC, KVM_IRQCHIP_PIC_MASTER,
    KVM_IRQCHIP_PIC_SLAVE, KvmIrqRouting, kvm_irq_routing_entry,
};
use kvm_ioctls::VmFd;
use ravelin_devices::pci::msix::MsiMessage;
use ravelin_devices::vfio::interrupts::{Refused, Route, Routes};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use vmm_sys_util::eventfd::EventFd;

/// Lines of the I/O APIC; the first 16 are the old controllers' too.
const LINES: u32 = 24;
const OLD_LINES: u32 = 16;
/// One behind the last number (KVM_MAX_IRQ_ROUTES, with room for the lines that are there twice).
const END: u32 = 4_096 - OLD_LINES;

/// A VM's table.
pub(super) struct RoutingTable {
    vm: Arc<VmFd>,
    messages: Mutex<BTreeMap<u32, MsiMessage>>,
}

impl RoutingTable {
    pub(super) fn new(vm: Arc<VmFd>) -> Self {
        Self { vm, messages: Mutex::default() }
    }

    /// Gives KVM the table.
    fn set(&self, messages: &BTreeMap<u32, MsiMessage>) -> Result<(), Refused> {
        let table = KvmIrqRouting::from_entries(&entries(messages)).map_err(|_| Refused)?;
        self.vm.set_gsi_routing(&table).map_err(|error| {
            tracing::warn!(%error, "KVM refuses a table of interrupts");
            Refused
        })
    }
}

impl Routes for RoutingTable {
    fn connect(&self, event: &EventFd, message: MsiMessage) -> Result<Route, Refused> {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let number = (LINES..END).find(|number| !messages.contains_key(number)).ok_or(Refused)?;
        messages.insert(number, message);
        let connected = self.set(&messages).and_then(|()| {
            self.vm.register_irqfd(event, number).map_err(|error| {
                tracing::warn!(%error, number, "KVM refuses an event");
                Refused
            })
        });
        if connected.is_err() {
            messages.remove(&number);
        }
        connected.map(|()| Route(number))
    }

    fn disconnect(&self, event: &EventFd, Route(number): Route) {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.vm.unregister_irqfd(event, number) {
            tracing::warn!(%error, number, "event stays connected");
            return;
        }
        // Nothing uses the number any more: the next table may be without it.
        messages.remove(&number);
    }
}

fn entries(messages: &BTreeMap<u32, MsiMessage>) -> Vec<kvm_irq_routing_entry> {
    let pin = |gsi: u32, irqchip: u32, pin: u32| {
        let mut entry =
            kvm_irq_routing_entry { gsi, type_: KVM_IRQ_ROUTING_IRQCHIP, ..Default::default() };
        entry.u.irqchip.irqchip = irqchip;
        entry.u.irqchip.pin = pin;
        entry
    };
    let old = (0..OLD_LINES).map(|line| match line {
        0..8 => pin(line, KVM_IRQCHIP_PIC_MASTER, line),
        _ => pin(line, KVM_IRQCHIP_PIC_SLAVE, line - 8),
    });
    let lines = (0..LINES).map(|line| pin(line, KVM_IRQCHIP_IOAPIC, line));
    let messages = messages.iter().map(|(&gsi, message)| {
        let mut entry =
            kvm_irq_routing_entry { gsi, type_: KVM_IRQ_ROUTING_MSI, ..Default::default() };
        entry.u.msi.address_lo = message.address as u32;
        entry.u.msi.address_hi = (message.address >> 32) as u32;
        entry.u.msi.data = message.data;
        entry
    });
    old.chain(lines).chain(messages).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_that_kvm_sets_up_itself_stay_beside_messages() {
        let message = MsiMessage { address: 0xfee0_0000, data: 0x41 };
        let entries = entries(&BTreeMap::from([(LINES, message)]));
        assert_eq!(entries.len(), 16 + 24 + 1);
        let of = |gsi: u32| entries.iter().filter(|entry| entry.gsi == gsi).count();
        assert_eq!((of(4), of(17), of(LINES)), (2, 1, 1));
        assert_eq!(entries.last().map(|entry| entry.type_), Some(KVM_IRQ_ROUTING_MSI));
    }
}
