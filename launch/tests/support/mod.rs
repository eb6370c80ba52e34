//! A firmware that is nothing but its tables.

/// Types of sections.
pub(crate) mod section {
    pub(crate) const MEMORY: u32 = 1;
    pub(crate) const SECRETS: u32 = 2;
    pub(crate) const CPUID: u32 = 3;
    pub(crate) const CALLING_AREA: u32 = 4;
    pub(crate) const KERNEL_HASHES: u32 = 0x10;
}
use section::*;

const METADATA_GUID: [u8; 16] = [
    0x66, 0x65, 0x88, 0xdc, 0x4a, 0x98, 0x98, 0x47, 0xa7, 0x5e, 0x55, 0x85, 0xa7, 0xbf, 0x67, 0xcc,
];
const RESET_GUID: [u8; 16] = [
    0xde, 0x71, 0xf7, 0x00, 0x7e, 0x1a, 0xcb, 0x4f, 0x89, 0x0e, 0x68, 0xc7, 0x7e, 0x2f, 0xb4, 0x4e,
];
const HASHES_GUID: [u8; 16] = [
    0x1f, 0x37, 0x55, 0x72, 0x3b, 0x3a, 0x04, 0x4b, 0x92, 0x7b, 0x1d, 0xa6, 0xef, 0xa8, 0xd4, 0x54,
];
const TABLE_GUID: [u8; 16] = [
    0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45, 0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d,
];

/// The firmware's table, before it is written.
pub(crate) struct Plan {
    pub(crate) pages: usize,
    pub(crate) sections: Vec<(u32, u32, u32)>,
    pub(crate) reset: Option<u32>,
    pub(crate) hashes: Option<u32>,
}

impl Plan {
    /// As OVMF.amdsev.fd has it, or without the place for a kernel's hashes as OVMF.fd.
    pub(crate) fn new(kernel_hashes: bool) -> Plan {
        let mut sections = vec![
            (0x80_0000, 0x9000, MEMORY),
            (0x80_a000, 0x3000, MEMORY),
            (0x80_d000, 0x1000, SECRETS),
            (0x80_e000, 0x1000, CPUID),
            (0x80_f000, 0x1000, CALLING_AREA),
        ];
        if kernel_hashes {
            sections.push((0x81_0000, 0x1000, KERNEL_HASHES));
        }
        let hashes = Some(if kernel_hashes { 0x81_0c00 } else { 0 });
        Plan { pages: 3, sections, reset: Some(0x80_b004), hashes }
    }

    /// The file.
    pub(crate) fn file(&self) -> Vec<u8> {
        let mut file: Vec<u8> = (0..self.pages * 4096).map(|at| (at * 7 / 3) as u8).collect();
        let size = file.len();
        let metadata = size - 0x800;
        let mut text = b"ASEV".to_vec();
        text.extend((16 + 12 * self.sections.len() as u32).to_le_bytes());
        text.extend(1_u32.to_le_bytes());
        text.extend((self.sections.len() as u32).to_le_bytes());
        for (address, length, kind) in &self.sections {
            [*address, *length, *kind].iter().for_each(|word| text.extend(word.to_le_bytes()));
        }
        file[metadata..metadata + text.len()].copy_from_slice(&text);

        let entry = |data: u32, guid: [u8; 16]| {
            [data.to_le_bytes().as_slice(), &22_u16.to_le_bytes(), &guid].concat()
        };
        let mut table = Vec::new();
        table.extend(self.reset.map(|address| entry(address, RESET_GUID)).unwrap_or_default());
        table.extend(self.hashes.map(|address| entry(address, HASHES_GUID)).unwrap_or_default());
        table.extend(entry(0x800, METADATA_GUID));
        let length = (table.len() + 18) as u16;
        table.extend(length.to_le_bytes());
        table.extend(TABLE_GUID);
        let start = size - 32 - table.len();
        file[start..size - 32].copy_from_slice(&table);
        file
    }
}
