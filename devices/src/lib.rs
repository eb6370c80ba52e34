//! What stands on the guest's PCI bus, and the gate between devices and guest memory.
//!
//! Two halves. The first keeps the promise: [`page_state`] knows who may see a page now, and
//! [`dma_gate`] is the only way any device reaches guest memory, or the [`shared_window`] of its own
//! that a GPU may have. The second is plumbing: the [`bus`] that carries the vCPUs' accesses, [`pci`]
//! with its configuration space, interrupts and mailbox, the [`serial`] ports, [`cmos`] and
//! [`keyboard`] for kernels that look for a PC, [`apm`], the GPU's face on the bus, and [`virtio`], a
//! Linux guest's disk, network and the like.
//!
//! The crate knows no hypervisor. The VMM hands it memory, an interrupt sink and the vCPUs'
//! accesses; everything that arrives from the guest is hostile and none of it panics.

pub mod apm;
pub mod bus;
pub mod cmos;
pub mod dma_gate;
pub mod keyboard;
pub mod page_state;
pub mod pci;
pub mod serial;
pub mod shared_window;
pub mod vfio;
pub mod virtio;

#[cfg(any(test, feature = "fuzz"))]
pub mod drive;
