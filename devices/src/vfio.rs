//! A physical device of the host's on the guest's bus, behind the same gates as every other device.
//!
//! [`attach`] opens it, over the kernel's [`uapi`] (with [`iommu`] and [`kernel`]) and after a look at
//! [`sysfs`]. [`dma`] keeps the IOMMU's mappings equal to the shared pages. [`device`] is what the guest
//! meets: [`face`] its configuration space, [`bars`] what of its BARs traps, [`interrupts`] its messages,
//! [`events`] what its operator hears. All of them but the first ask a device only through
//! [`hardware`], so that a fake can answer.
//!
//! The VMM gives it memory slots and interrupt routes; no hypervisor is known here either.

pub mod attach;
pub mod bars;
pub mod device;
pub mod dma;
pub mod events;
pub mod face;
#[cfg(test)]
mod fake;
pub mod hardware;
pub mod interrupts;
mod iommu;
mod kernel;
pub mod sysfs;
mod uapi;
