//! The DSDT: the PCI host bridge with its windows, the serial ports, the state "off".
//!
//! There is no `_PRT`: functions raise message-signalled interrupts only.

use super::table;
use crate::layout::{ECAM_SIZE, Layout};
use acpi_tables::aml::{
    AddressSpace, AddressSpaceCacheable, Device, EISAName, IO, Interrupt, Memory32Fixed, Name,
    Package, ResourceTemplate, Scope,
};
use acpi_tables::sdt::Sdt;
use acpi_tables::{Aml, AmlSink};
use ravelin_devices::serial;

/// The sleep type of "off"; [`SLEEP_CONTROL`](super::SLEEP_CONTROL) takes any.
const OFF: u8 = 5;

/// The table of this machine.
pub(super) fn build(layout: &Layout) -> Sdt {
    let mut dsdt = table(*b"DSDT", 2);
    Scope::new("_SB_".into(), vec![&HostBridge(layout), &MotherBoard(layout), &COM1, &COM2])
        .to_aml_bytes(&mut dsdt);
    Name::new("_S5_".into(), &Package::new(vec![&OFF, &0u8, &0u8, &0u8])).to_aml_bytes(&mut dsdt);
    dsdt.update_checksum();
    dsdt
}

/// The PCI Express root bus.
struct HostBridge<'a>(&'a Layout);

impl Aml for HostBridge<'_> {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        let window = &self.0.bars;
        let (bus, memory) = (
            AddressSpace::new_bus_number(0u16, 0),
            AddressSpace::new_memory(
                AddressSpaceCacheable::NotCacheable,
                true,
                window.start,
                window.end - 1,
                None,
            ),
        );
        Device::new(
            "PCI0".into(),
            vec![
                &name("_HID", &EISAName::new("PNP0A08")),
                &name("_CID", &EISAName::new("PNP0A03")),
                &name("_SEG", &0u8),
                &name("_BBN", &0u8),
                &name("_UID", &0u8),
                // DMA is coherent.
                &name("_CCA", &1u8),
                &name("_CRS", &ResourceTemplate::new(vec![&bus, &memory])),
            ],
        )
        .to_aml_bytes(sink);
    }
}

/// Claims the configuration space, without which Linux does not use it.
struct MotherBoard<'a>(&'a Layout);

impl Aml for MotherBoard<'_> {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        // In the hole below 4 GiB.
        let ecam = Memory32Fixed::new(true, self.0.ecam as u32, ECAM_SIZE as u32);
        Device::new(
            "MBRD".into(),
            vec![
                &name("_HID", &EISAName::new("PNP0C02")),
                &name("_UID", &0u8),
                &name("_CRS", &ResourceTemplate::new(vec![&ecam])),
            ],
        )
        .to_aml_bytes(sink);
    }
}

/// A 16550.
struct Serial {
    name: &'static str,
    number: u8,
    first_port: u64,
    interrupt: u32,
}

const COM1: Serial =
    Serial { name: "COM1", number: 1, first_port: serial::COM1, interrupt: serial::COM1_INTERRUPT };
const COM2: Serial =
    Serial { name: "COM2", number: 2, first_port: serial::COM2, interrupt: serial::COM2_INTERRUPT };

impl Aml for Serial {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        let first = self.first_port as u16;
        let ports = IO::new(first, first, 1, serial::PORTS as u8);
        let interrupt = Interrupt::new(true, true, false, false, self.interrupt);
        Device::new(
            self.name.into(),
            vec![
                &name("_HID", &EISAName::new("PNP0501")),
                &name("_UID", &self.number),
                &name("_DDN", &self.name),
                &name("_CRS", &ResourceTemplate::new(vec![&ports, &interrupt])),
            ],
        )
        .to_aml_bytes(sink);
    }
}

fn name(path: &str, value: &dyn Aml) -> Name {
    Name::new(path.into(), value)
}
