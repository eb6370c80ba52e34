//! The hashes of kernel, initrd and command line that OVMF compares with what the host hands it, as QEMU
//! lays them out (`target/i386/sev.c`).

use super::table::guid;
use sha2::{Digest, Sha256};

/// 9438d606-4f22-4cc9-b479-a793d411fd21
const HEADER: [u8; 16] = guid(0x9438_d606, 0x4f22, 0x4cc9, 0xb479_a793_d411_fd21);
/// 4de79437-abd2-427f-b835-d5b172d2045b
const KERNEL: [u8; 16] = guid(0x4de7_9437, 0xabd2, 0x427f, 0xb835_d5b1_72d2_045b);
/// 44baf731-3a2f-4bd7-9af1-41e29169781d
const INITRD: [u8; 16] = guid(0x44ba_f731, 0x3a2f, 0x4bd7, 0x9af1_41e2_9169_781d);
/// 97d02dd8-bd20-4c94-aa78-e7714d36ab2a
const COMMAND_LINE: [u8; 16] = guid(0x97d0_2dd8, 0xbd20, 0x4c94, 0xaa78_e771_4d36_ab2a);

/// GUID, length, hash.
const ENTRY: u16 = 50;
/// GUID, length, three entries.
const TABLE: u16 = 18 + 3 * ENTRY;
/// The table, filled up to 16 bytes.
const PADDED: usize = (TABLE as usize).next_multiple_of(16);

/// The hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelHashes {
    kernel: [u8; 32],
    initrd: [u8; 32],
    command_line: [u8; 32],
}

impl KernelHashes {
    /// Of a kernel file, an initrd (empty where there is none) and a command line.
    pub fn new(kernel: &[u8], initrd: &[u8], command_line: &str) -> KernelHashes {
        // With the NUL that the firmware sees.
        let words = Sha256::new().chain_update(command_line).chain_update([0]);
        KernelHashes {
            kernel: Sha256::digest(kernel).into(),
            initrd: Sha256::digest(initrd).into(),
            command_line: words.finalize().into(),
        }
    }

    /// The table.
    pub(super) fn table(&self) -> [u8; PADDED] {
        let entries =
            [(COMMAND_LINE, &self.command_line), (INITRD, &self.initrd), (KERNEL, &self.kernel)];
        let mut bytes = Vec::with_capacity(PADDED);
        bytes.extend(HEADER);
        bytes.extend(TABLE.to_le_bytes());
        for (name, hash) in entries {
            bytes.extend(name);
            bytes.extend(ENTRY.to_le_bytes());
            bytes.extend(hash);
        }
        let mut table = [0; PADDED];
        table.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
        table
    }
}
