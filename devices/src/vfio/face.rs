//! The configuration space that the guest sees in place of a physical device's.
//!
//! Who the device is comes from the device; everything that does something is ours. The guest finds
//! BARs that it may move without the device hearing of it, and of capabilities those that this crate
//! understands: PCI Express as an integrated endpoint, MSI, MSI-X. Power management, vendor's own
//! structures and every extended capability (SR-IOV, ATS, resizable BARs, error reporting, link control)
//! stay the host's. Of what the guest writes only two bits reach the device: memory and bus master.
//!
//! BARs are shown as 64-bit ones, as the guest's BARs live above 4 GiB. A 32-bit BAR can be shown so if
//! the number behind it is free; one that cannot, and I/O ports, are not shown, and named.
//! There is no INTx: guests have no routing for it, and every device worth passing has messages.

use super::hardware::{CONFIG_REGION, Hardware, InterruptKind};
use crate::pci::capability::{express, msi, msix};
use crate::pci::config::{self, BARS, Bar, ConfigSpace, Identity};
use std::io;

/// Most vectors that are passed on; each takes a file descriptor and a vector of the host's.
pub const MOST_VECTORS: u16 = 256;
/// Capabilities in 256 bytes, no more than these even where the list is a ring.
const MOST_CAPABILITIES: usize = 48;

const REVISION_AND_CLASS: usize = 0x08;
const HEADER_TYPE: usize = 0x0e;
const SUBSYSTEM: usize = 0x2c;
const CAPABILITIES_POINTER: usize = 0x34;
const STATUS: usize = 0x06;
const STATUS_CAPABILITIES: u16 = 1 << 4;
/// A BAR's flags.
const BAR_IO: u32 = 1;
const BAR_TYPE: u32 = 0b110;
const BAR_64_BIT: u32 = 0b100;
const BAR_PREFETCHABLE: u32 = 0b1000;

/// Why a device cannot be shown to a guest.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its configuration space cannot be read.
    #[error("the device's configuration space cannot be read")]
    Read(#[source] io::Error),
    /// It reads all ones.
    #[error("the device does not answer: reset its bus or its power")]
    NoAnswer,
    /// It is a bridge.
    #[error("the device is a bridge, with header type {0:#x}: pass what stands behind it")]
    Bridge(u8),
    /// What the guest would see does not fit.
    #[error("the device's configuration space does not fit")]
    Layout(#[from] config::Error),
}

/// Where the table of MSI-X vectors is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VectorTable {
    /// Vectors that the guest sees.
    pub vectors: u16,
    /// Vectors that the device has.
    pub physical: u16,
    /// The table: BAR and offset.
    pub table: (u8, u64),
    /// The pending bits: BAR and offset.
    pub pending: (u8, u64),
}

/// What the guest sees, and where what acts is in it.
pub struct Face {
    /// The configuration space.
    pub config: ConfigSpace,
    /// Vendor and device id.
    pub ids: (u16, u16),
    /// Offset of the PCI Express capability.
    pub express: u16,
    /// Offset of the MSI capability.
    pub msi: Option<u16>,
    /// Offset of the MSI-X capability, and the table that it describes.
    pub msix: Option<(u16, VectorTable)>,
    /// BARs of the device that the guest does not see.
    pub hidden: Vec<u8>,
}

impl Face {
    /// Reads a device and lays out what the guest sees of it.
    ///
    /// # Errors
    /// The device does not answer, or is no endpoint.
    pub fn of(hardware: &dyn Hardware) -> Result<Self, Error> {
        let mut space = [0; 256];
        for (at, dword) in (0..).step_by(4).zip(space.as_chunks_mut::<4>().0) {
            hardware.read(CONFIG_REGION, at, dword).map_err(Error::Read)?;
        }
        let physical = Physical(space);
        if physical.dword(REVISION_AND_CLASS) == !0 {
            return Err(Error::NoAnswer);
        }
        if physical.0[HEADER_TYPE] & 0x7f != 0 {
            return Err(Error::Bridge(physical.0[HEADER_TYPE]));
        }
        let class = physical.dword(REVISION_AND_CLASS);
        let ids = (physical.word(0), physical.word(2));
        let mut config = ConfigSpace::new(Identity {
            vendor: ids.0,
            device: ids.1,
            class: class >> 8,
            revision: class as u8,
        });
        config.set_subsystem(physical.word(SUBSYSTEM), physical.word(SUBSYSTEM + 2));
        let hidden = add_bars(&mut config, &physical, hardware)?;
        let mut express = express::integrated_endpoint();
        if !hardware.resettable() {
            express[1].reset &= !express::FUNCTION_LEVEL_RESET;
        }
        let express = config.add_capability(express::ID, &express)?;
        let messages =
            physical.capability(msi::ID).map_or(0, |_| count(hardware, InterruptKind::Msi));
        let msi = match messages {
            0 => None,
            messages => Some(config.add_capability(msi::ID, &msi::registers(messages))?),
        };
        let msix = match physical.vector_table(hardware, &config) {
            None => None,
            Some((table, registers)) => {
                let dwords = msix::table_at(table.vectors, registers.0, registers.1);
                Some((config.add_capability(msix::ID, &dwords)?, table))
            }
        };
        Ok(Self { config, ids, express, msi, msix, hidden })
    }
}

/// Adds the device's BARs; those that cannot be shown are returned.
fn add_bars(
    config: &mut ConfigSpace,
    physical: &Physical,
    hardware: &dyn Hardware,
) -> Result<Vec<u8>, Error> {
    let size = |index: u8| hardware.region(index.into()).map_or(0, |region| region.size);
    let mut hidden = Vec::new();
    for index in 0..BARS {
        let register = physical.dword(0x10 + 4 * usize::from(index));
        let bytes = size(index);
        if bytes == 0 {
            continue;
        }
        let wide = register & BAR_TYPE == BAR_64_BIT || index + 1 < BARS && size(index + 1) == 0;
        let bar = Bar { index, size: bytes };
        let prefetchable = register & BAR_PREFETCHABLE != 0;
        if register & BAR_IO != 0 || !wide || config.add_bar(bar, prefetchable).is_err() {
            hidden.push(index);
        }
    }
    Ok(hidden)
}

fn count(hardware: &dyn Hardware, kind: InterruptKind) -> u16 {
    hardware.interrupts(kind).map_or(0, |count| count.min(MOST_VECTORS.into()) as u16)
}

/// The first 256 bytes of a device's configuration space.
struct Physical([u8; 256]);

impl Physical {
    fn word(&self, at: usize) -> u16 {
        let bytes = self.0.get(at..at + 2).and_then(|bytes| bytes.try_into().ok());
        u16::from_le_bytes(bytes.unwrap_or([0xff; 2]))
    }

    fn dword(&self, at: usize) -> u32 {
        let bytes = self.0.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        u32::from_le_bytes(bytes.unwrap_or([0xff; 4]))
    }

    /// Where a capability is. The list is the device's: it may be anything.
    fn capability(&self, id: u8) -> Option<usize> {
        if self.word(STATUS) & STATUS_CAPABILITIES == 0 {
            return None;
        }
        let mut at = usize::from(self.0[CAPABILITIES_POINTER] & !3);
        for _ in 0..MOST_CAPABILITIES {
            if at < 0x40 {
                return None;
            }
            if self.0.get(at) == Some(&id) {
                return Some(at);
            }
            at = usize::from(*self.0.get(at + 1)? & !3);
        }
        None
    }

    /// The MSI-X table, where its BARs are shown, and the two registers that say where it is.
    fn vector_table(
        &self,
        hardware: &dyn Hardware,
        config: &ConfigSpace,
    ) -> Option<(VectorTable, (u32, u32))> {
        let at = self.capability(msix::ID)?;
        let physical = (self.word(at + 2) & 0x7ff) + 1;
        let vectors = physical.min(count(hardware, InterruptKind::MsiX));
        let (table, pending) = (self.dword(at + 4), self.dword(at + 8));
        let place = |register: u32| ((register & 7) as u8, u64::from(register & !7));
        let (table_at, pending_at) = (place(table), place(pending));
        let fits = |(index, offset): (u8, u64), length: u64| {
            let bar = config.bars().iter().find(|bar| bar.index == index);
            bar.is_some_and(|bar| offset + length <= bar.size)
        };
        let fit = vectors > 0
            && fits(table_at, u64::from(physical) * 16)
            && fits(pending_at, u64::from(physical).div_ceil(64) * 8);
        fit.then_some((
            VectorTable { vectors, physical, table: table_at, pending: pending_at },
            (table, pending),
        ))
    }
}
