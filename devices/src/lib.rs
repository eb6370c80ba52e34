//! What stands on the guest's PCI bus, and the gate between devices and guest memory.
