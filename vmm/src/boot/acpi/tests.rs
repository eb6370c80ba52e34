use super::*;
use proptest::prelude::*;

/// Tables by signature, each checked, found the way a kernel finds them.
fn walk(tables: &Tables) -> Vec<([u8; 4], &[u8])> {
    let sum = |bytes: &[u8]| bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    let bytes = tables.0.as_slice();
    let at = |address: u64| {
        let start = (address - ADDRESS) as usize;
        let length = u32::from_le_bytes(bytes[start + 4..start + 8].try_into().unwrap()) as usize;
        let table = &bytes[start..start + length];
        assert_eq!(sum(table), 0, "checksum of {}", String::from_utf8_lossy(&table[..4]));
        table
    };
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    assert_eq!((&bytes[..8], sum(&bytes[..20]), sum(&bytes[..36])), (&b"RSD PTR "[..], 0, 0));
    let xsdt = at(number(&bytes[24..32]));
    assert_eq!(&xsdt[..4], b"XSDT");
    let mut found: Vec<_> = xsdt[36..].chunks(8).map(|entry| at(number(entry))).collect();
    let fadt = found.iter().find(|table| &table[..4] == b"FACP").unwrap();
    found.push(at(number(&fadt[140..148])));
    found.into_iter().map(|table| (table[..4].try_into().unwrap(), table)).collect()
}

fn layout(memory: u64) -> Layout {
    Layout::new(memory, 1 << 39).unwrap()
}

#[test]
fn a_kernel_finds_every_table_and_its_checksum_holds() {
    let tables = Tables::new(&layout(256 << 20), 2);
    let signatures: Vec<_> = walk(&tables).iter().map(|(signature, _)| *signature).collect();
    assert_eq!(signatures, [*b"FACP", *b"APIC", *b"MCFG", *b"DSDT"]);
}

#[test]
fn the_fadt_says_how_to_sleep_and_reset_and_that_there_is_no_legacy() {
    let tables = Tables::new(&layout(256 << 20), 1);
    let tables = walk(&tables);
    let fadt = tables.iter().find(|(signature, _)| signature == b"FACP").unwrap().1;
    let flags = u32::from_le_bytes(fadt[112..116].try_into().unwrap());
    assert_ne!(flags & 1 << 20, 0, "hardware-reduced");
    assert_ne!(flags & 1 << 10, 0, "there is a reset register");
    // A generic address: space (1: ports), width, offset, access size, address.
    assert_eq!(fadt[116..129], [1, 8, 0, 1, 0xf9, 0x0c, 0, 0, 0, 0, 0, 0, 6]);
    assert_eq!(fadt[244..256], [1, 8, 0, 1, 0x00, 0x06, 0, 0, 0, 0, 0, 0]);
    assert_eq!(fadt[256..268], [1, 8, 0, 1, 0x01, 0x06, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn the_mcfg_names_the_configuration_space_of_bus_0() {
    let layout = layout(256 << 20);
    let tables = Tables::new(&layout, 1);
    let tables = walk(&tables);
    let mcfg = tables.iter().find(|(signature, _)| signature == b"MCFG").unwrap().1;
    assert_eq!(mcfg[44..52], layout.ecam.to_le_bytes());
    assert_eq!(mcfg[52..56], [0, 0, 0, 0], "segment 0, buses 0 to 0");
}

proptest! {
    #[test]
    fn any_machine_has_sound_tables_that_fit(cpus in 1u8..=254, units in 32u64..1 << 17) {
        let layout = layout(units << 21);
        let tables = Tables::new(&layout, cpus);
        prop_assert!(ADDRESS + (tables.0.len() as u64) < END);
        let tables = walk(&tables);
        let madt = tables.iter().find(|(signature, _)| signature == b"APIC").unwrap().1;
        let mut ids = Vec::new();
        let mut rest = &madt[44..];
        while let [kind, length, ..] = rest {
            if *kind == 0 {
                ids.push(rest[3]);
            }
            rest = &rest[usize::from(*length)..];
        }
        prop_assert_eq!(ids, (0..cpus).collect::<Vec<_>>());
        // The window of BARs stands in the DSDT, as it is.
        let dsdt = tables.iter().find(|(signature, _)| signature == b"DSDT").unwrap().1;
        for edge in [layout.bars.start, layout.bars.end - 1] {
            prop_assert!(dsdt.windows(8).any(|bytes| bytes == edge.to_le_bytes()));
        }
    }
}
