//! The first instruction of firmware, which is all the firmware there is: it resets the machine.
//!
//! A kernel on hardware-reduced ACPI expects EFI to reset it. Without EFI it tries neither the reset
//! register nor the keyboard controller, but goes back to real mode and jumps to where a PC's processor
//! begins below 1 MiB (arch/x86/kernel/reboot.c). What stands there writes [`acpi::RESET`].

use super::acpi;
use std::ops::Range;
use vm_memory::{Bytes, GuestAddress, GuestMemoryError, GuestMemoryMmap};

/// The page that is firmware's.
pub const PAGE: Range<u64> = 0xf_f000..0x10_0000;
/// F000:FFF0.
const ADDRESS: u64 = 0xf_fff0;

/// 16-bit code: `mov dx, port; mov al, value; out dx, al`, and if that is survived, `hlt` for good.
const CODE: [u8; 9] = {
    let [low, high] = acpi::RESET.0.to_le_bytes();
    [0xba, low, high, 0xb0, acpi::RESET.1, 0xee, 0xf4, 0xeb, 0xfd]
};

/// Writes the instructions.
///
/// # Errors
/// Memory is not there.
pub fn write(memory: &GuestMemoryMmap) -> Result<(), GuestMemoryError> {
    memory.write_slice(&CODE, GuestAddress(ADDRESS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_lies_in_the_page_behind_the_tables_and_ends_in_a_loop() {
        const { assert!(acpi::END <= PAGE.start) };
        assert!(PAGE.contains(&ADDRESS) && ADDRESS + CODE.len() as u64 <= PAGE.end);
        // The jump's offset counts from behind it, and leads to the halt.
        let target = CODE.len() as i8 + CODE[8] as i8;
        assert_eq!(CODE[target as usize], 0xf4);
    }
}
