//! Where a virtio function has its structures, and the capabilities that say so (Virtio 1.3, section
//! 4.1.4).
//!
//! | where | what |
//! | --- | --- |
//! | BAR0 | common configuration, ISR status, device configuration, doorbells: a page each |
//! | BAR2 | MSI-X table and pending bits |
//! | configuration space | PCI Express with FLR, MSI-X, five capabilities of virtio's own |

use crate::pci::capability::{express, msix};
use crate::pci::config::{self, Bar, ConfigSpace, Dword, Identity};
use crate::virtio::Kind;
use std::ops::Range;

/// PCI vendor of every virtio device.
const VENDOR: u16 = 0x1af4;
/// Device IDs of devices that are not transitional begin here.
const DEVICE_BASE: u16 = 0x1040;
/// Vendor-specific capability.
const CAPABILITY: u8 = 0x09;

/// BAR with the structures.
pub(super) const STRUCTURES: u8 = 0;
/// BAR with the MSI-X table.
pub(super) const INTERRUPTS: u8 = 2;
const INTERRUPTS_SIZE: u64 = 0x1000;
/// Where the pending bits begin in their BAR.
pub(super) const PENDING: u64 = INTERRUPTS_SIZE / 2;

/// Common configuration.
pub(super) const COMMON: Range<u64> = 0x0000..0x1000;
/// ISR status.
pub(super) const ISR: Range<u64> = 0x1000..0x2000;
/// Device configuration.
pub(super) const DEVICE: Range<u64> = 0x2000..0x3000;
/// Doorbells: queue `n` has the one at `n *` [`DOORBELL`].
pub(super) const DOORBELLS: Range<u64> = 0x3000..0x4000;
/// Bytes from one doorbell to the next.
pub(super) const DOORBELL: u64 = 4;
const STRUCTURES_SIZE: u64 = 0x4000;

/// Types of virtio's capabilities.
const COMMON_CFG: u32 = 1;
const NOTIFY_CFG: u32 = 2;
const ISR_CFG: u32 = 3;
const DEVICE_CFG: u32 = 4;
const PCI_CFG: u32 = 5;

/// Offsets of the capabilities that do something when accessed.
pub(super) struct Places {
    pub(super) express: u16,
    pub(super) msix: u16,
    /// The PCI configuration access capability.
    pub(super) window: u16,
}

/// The configuration space of a device of this kind with so many interrupt vectors.
pub(super) fn lay_out(kind: Kind, vectors: u16) -> Result<(ConfigSpace, Places), config::Error> {
    let mut space = ConfigSpace::new(Identity {
        vendor: VENDOR,
        device: DEVICE_BASE + kind.id(),
        class: kind.class(),
        revision: 1,
    });
    space.add_bar(Bar { index: STRUCTURES, size: STRUCTURES_SIZE }, false)?;
    space.add_bar(Bar { index: INTERRUPTS, size: INTERRUPTS_SIZE }, false)?;
    let express = space.add_capability(express::ID, &express::integrated_endpoint())?;
    let table = msix::table(vectors, INTERRUPTS, PENDING as u32);
    let msix = space.add_capability(msix::ID, &table)?;
    space.add_capability(CAPABILITY, &structure(COMMON_CFG, &COMMON))?;
    space.add_capability(CAPABILITY, &structure(ISR_CFG, &ISR))?;
    space.add_capability(CAPABILITY, &structure(DEVICE_CFG, &DEVICE))?;
    let [a, b, c, d] = structure(NOTIFY_CFG, &DOORBELLS);
    let multiplier = Dword { reset: DOORBELL as u32, writable: 0 };
    space.add_capability(CAPABILITY, &longer([a, b, c, d, multiplier]))?;
    let free = Dword { reset: 0, writable: !0 };
    let [header, _, _, _] = structure(PCI_CFG, &(0..0));
    let bar = Dword { reset: 0, writable: 0xff };
    let window = space.add_capability(CAPABILITY, &longer([header, bar, free, free, free]))?;
    Ok((space, Places { express, msix, window }))
}

/// A structure's capability: length and type above the list's half, BAR, offset, length.
fn structure(kind: u32, range: &Range<u64>) -> [Dword; 4] {
    let fixed = |reset| Dword { reset, writable: 0 };
    [
        fixed((16 | kind << 8) << 16),
        fixed(STRUCTURES.into()),
        fixed(range.start as u32),
        fixed((range.end - range.start) as u32),
    ]
}

/// A capability of one dword more says so.
fn longer(mut dwords: [Dword; 5]) -> [Dword; 5] {
    dwords[0].reset += 4 << 16;
    dwords
}
