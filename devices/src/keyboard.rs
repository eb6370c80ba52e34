//! The keyboard controller's status port, for a kernel that resets the machine by it: never busy.
//!
//! There is no keyboard. The command that resets the processor is the vCPUs' business, who end the
//! guest with it; without this port they would not see it before a timeout.

use crate::bus::BusDevice;

/// Status when read, command when written.
pub const STATUS: u64 = 0x64;

/// The port.
pub struct KeyboardController;

impl BusDevice for KeyboardController {
    fn read(&self, _: u64, data: &mut [u8]) {
        // Neither a byte for the processor nor one of its own left to take.
        data.fill(0);
    }

    fn write(&self, _: u64, _: &[u8]) {}
}
