//! The ACPI tables of a Linux guest: hardware-reduced, as small as the machine.
//!
//! Hardware-reduced ACPI (ACPI 6.5, section 4.1) has no fixed timers, no SCI and no legacy
//! interrupt controller, and the machine has none either: sleep and reset are single writes to
//! ports that the vCPUs know, [`SLEEP_CONTROL`] and [`RESET`]. [`dsdt`] describes what stands on the
//! buses. The tables lie below 1 MiB in one piece, the root pointer first.

mod dsdt;

use crate::layout::{IO_APIC, LOCAL_APIC, Layout};
use acpi_tables::Aml;
use acpi_tables::fadt::{FADTBuilder, Flags, PmProfile};
use acpi_tables::gas::{AccessSize, AddressSpace, GAS};
use acpi_tables::madt::{
    EnabledStatus, IoApic, LocalInterruptController, MADT, ProcessorLocalApic,
};
use acpi_tables::mcfg::MCFG;
use acpi_tables::rsdp::Rsdp;
use acpi_tables::sdt::Sdt;
use acpi_tables::xsdt::XSDT;
use vm_memory::{Bytes, GuestAddress, GuestMemoryError, GuestMemoryMmap};

/// Guest-physical address of the root pointer, which the tables follow.
pub const ADDRESS: u64 = 0xe_0000;
/// First address behind the place for tables.
pub const END: u64 = 0xf_f000;

/// The sleep control register: a port of a byte.
pub const SLEEP_CONTROL: u16 = 0x600;
/// The sleep status register, beside it.
pub const SLEEP_STATUS: u16 = 0x601;
/// Sleep control: go to sleep now (SLP_EN). The only state there is, is off.
pub const SLEEP_ENABLE: u8 = 1 << 5;
/// The reset register and what resets: the reset control register of PC chipsets.
pub const RESET: (u16, u8) = (0xcf9, 0x06);

const OEM: [u8; 6] = *b"RAVLIN";
const OEM_TABLE: [u8; 8] = *b"RAVELIN ";
const OEM_REVISION: u32 = 1;
/// Bytes of every table's header.
const HEADER: u32 = 36;
/// Tables begin at multiples of this.
const ALIGNMENT: usize = 16;
/// FADT, IA-PC boot architecture flags: no VGA (bit 2) and no CMOS clock (bit 5) to look for.
const BOOT_ARCHITECTURE: u16 = 1 << 2 | 1 << 5;

/// The tables as they stand in memory from [`ADDRESS`] on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables(Vec<u8>);

impl Tables {
    /// The tables of a machine with so many vCPUs.
    pub fn new(layout: &Layout, cpus: u8) -> Self {
        let mut tables = Self(vec![0; Rsdp::len()]);
        let dsdt = tables.append(&dsdt::build(layout));
        let fadt = tables.append(&fadt(dsdt));
        let madt = tables.append(&madt(cpus));
        let mut mcfg = MCFG::new(OEM, OEM_TABLE, OEM_REVISION);
        mcfg.add_ecam(layout.ecam, 0, 0, 0);
        let mcfg = tables.append(&mcfg);
        let mut xsdt = XSDT::new(OEM, OEM_TABLE, OEM_REVISION);
        [fadt, madt, mcfg].into_iter().for_each(|table| xsdt.add_entry(table));
        let xsdt = tables.append(&xsdt);
        let mut root = Vec::with_capacity(Rsdp::len());
        Rsdp::new(OEM, xsdt).to_aml_bytes(&mut root);
        tables.0[..root.len()].copy_from_slice(&root);
        tables
    }

    /// Writes the tables.
    ///
    /// # Errors
    /// Memory is not there.
    pub fn write(&self, memory: &GuestMemoryMmap) -> Result<(), GuestMemoryError> {
        debug_assert!(ADDRESS + (self.0.len() as u64) < END);
        memory.write_slice(&self.0, GuestAddress(ADDRESS))
    }

    /// Adds a table and returns its address.
    fn append(&mut self, table: &dyn Aml) -> u64 {
        self.0.resize(self.0.len().next_multiple_of(ALIGNMENT), 0);
        let address = ADDRESS + self.0.len() as u64;
        table.to_aml_bytes(&mut self.0);
        address
    }
}

fn fadt(dsdt: u64) -> impl Aml {
    let port =
        |port: u16| GAS::new(AddressSpace::SystemIo, 8, 0, AccessSize::ByteAccess, port.into());
    let mut fadt = FADTBuilder::new(OEM, OEM_TABLE, OEM_REVISION)
        .dsdt_64(dsdt)
        .flag(Flags::HwReducedAcpi)
        .flag(Flags::ResetRegSup)
        // "No button" as fixed hardware.
        .flag(Flags::PwrButton)
        .flag(Flags::SlpButton)
        .preferred_pm_profile(PmProfile::EnterpriseServer);
    fadt.iapc_boot_arch = BOOT_ARCHITECTURE.into();
    fadt.reset_reg = port(RESET.0);
    fadt.reset_value = RESET.1;
    fadt.sleep_control_reg = port(SLEEP_CONTROL);
    fadt.sleep_status_reg = port(SLEEP_STATUS);
    fadt.finalize()
}

fn madt(cpus: u8) -> impl Aml {
    let address = LocalInterruptController::Address(LOCAL_APIC as u32);
    let mut madt = MADT::new(OEM, OEM_TABLE, OEM_REVISION, address);
    for id in 0..cpus {
        madt.add_structure(ProcessorLocalApic::new(id, id, EnabledStatus::Enabled));
    }
    madt.add_structure(IoApic::new(0, IO_APIC as u32, 0));
    madt
}

/// A table of this signature with an empty body.
fn table(signature: [u8; 4], revision: u8) -> Sdt {
    Sdt::new(signature, HEADER, revision, OEM, OEM_TABLE, OEM_REVISION)
}

#[cfg(test)]
mod tests;
