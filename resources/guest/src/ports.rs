//! The machine's ports: console, report line, power.
//!
//! User mode needs no call for them: the supervisor's I/O permission bitmap has these and no others.

// Port instructions.
#![allow(unsafe_code)]

use core::arch::asm;
use core::fmt::{self, Write};

/// A serial port that is only written to.
#[derive(Clone, Copy, Debug)]
pub struct Serial(u16);

impl Serial {
    /// COM1: text for people.
    pub const CONSOLE: Serial = Serial(0x3f8);
    /// COM2: events for the launcher.
    pub const REPORT: Serial = Serial(0x2f8);

    /// Writes bytes. The port takes them as fast as they come: there is no wire behind it.
    pub fn write_bytes(self, bytes: &[u8]) {
        // SAFETY: reads `bytes` and nothing else; the device behind the port has no DMA.
        unsafe {
            asm!(
                "rep outsb",
                in("dx") self.0,
                inout("rsi") bytes.as_ptr() => _,
                inout("rcx") bytes.len() => _,
                options(nostack, readonly),
            );
        }
    }
}

impl Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write_bytes(text.as_bytes());
        Ok(())
    }
}

/// Turns the power off: ACPI's PM1a control register, where QEMU's q35 has it.
pub fn power_off() -> ! {
    // SAFETY: the VMM takes the write and the guest is no more.
    unsafe { asm!("out dx, ax", in("dx") 0x604u16, in("ax") 0x2000u16, options(nostack, nomem)) };
    loop {
        core::hint::spin_loop();
    }
}
