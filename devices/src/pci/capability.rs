//! The capability structures that a function may have, as values: registers after reset and the bits
//! that software may write. What a register does when it is written is its function's business.

use super::config::Dword;

/// PCI Express capability (6.0, section 7.5.3).
pub mod express {
    use super::Dword;

    /// Capability ID.
    pub const ID: u8 = 0x10;
    /// Offset of the Device Control register from the capability.
    pub const DEVICE_CONTROL: u16 = 0x08;
    /// Device Control: writing 1 resets the function; reads 0.
    pub const INITIATE_FLR: u32 = 1 << 15;

    /// Capability version 2, device type "root complex integrated endpoint".
    const CAPABILITIES: u32 = (2 | 0b1001 << 4) << 16;
    /// Device Capabilities, the dword at 4: the function can be reset alone.
    pub const FUNCTION_LEVEL_RESET: u32 = 1 << 28;
    /// Role-based error reporting, and function level reset.
    const DEVICE_CAPABILITIES: u32 = 1 << 15 | FUNCTION_LEVEL_RESET;
    /// Error reporting enables, relaxed ordering, payload and read request sizes, no snoop. Not
    /// [`INITIATE_FLR`], which keeps no value.
    const DEVICE_CONTROL_WRITABLE: u32 = 0x78ff;
    /// Relaxed ordering and no snoop enabled, read requests of 512 bytes.
    const DEVICE_CONTROL_RESET: u32 = 1 << 4 | 1 << 11 | 0b010 << 12;

    /// An integrated endpoint with function level reset: no link, no slot, no root registers.
    pub fn integrated_endpoint() -> [Dword; 15] {
        let mut dwords = [Dword::default(); 15];
        dwords[0].reset = CAPABILITIES;
        dwords[1].reset = DEVICE_CAPABILITIES;
        dwords[2] = Dword { reset: DEVICE_CONTROL_RESET, writable: DEVICE_CONTROL_WRITABLE };
        dwords
    }
}

/// MSI capability (6.0, section 7.7.1), with 64-bit addresses and without masks.
pub mod msi {
    use super::Dword;

    /// Capability ID.
    pub const ID: u8 = 0x05;
    /// Offset of the Message Control register from the capability.
    pub const MESSAGE_CONTROL: u16 = 0x02;
    /// Offset of the message's address; its upper half follows.
    pub const ADDRESS: u16 = 0x04;
    /// Offset of the message's data.
    pub const DATA: u16 = 0x0c;
    /// Message Control: interrupts are MSI messages.
    pub const ENABLE: u16 = 1;
    /// Message Control: the lowest bit of how many messages are enabled, as a power of two.
    pub const ENABLED_SHIFT: u16 = 4;
    /// Message Control: addresses have 64 bits.
    const ADDRESS_64: u16 = 1 << 7;

    /// `messages` is 1 to 32, rounded down to a power of two.
    pub fn registers(messages: u16) -> [Dword; 4] {
        let capable = messages.clamp(1, 32).ilog2() as u16;
        let control = ADDRESS_64 | capable << 1;
        let writable = ENABLE | 0b111 << ENABLED_SHIFT;
        [
            Dword { reset: u32::from(control) << 16, writable: u32::from(writable) << 16 },
            Dword { reset: 0, writable: !0b11 },
            Dword { reset: 0, writable: !0 },
            Dword { reset: 0, writable: 0xffff },
        ]
    }
}

/// MSI-X capability (6.0, section 7.7.2).
pub mod msix {
    use super::Dword;

    /// Capability ID.
    pub const ID: u8 = 0x11;
    /// Offset of the Message Control register from the capability.
    pub const MESSAGE_CONTROL: u16 = 0x02;
    /// Message Control: every vector is masked.
    pub const FUNCTION_MASK: u16 = 1 << 14;
    /// Message Control: interrupts are MSI-X messages.
    pub const ENABLE: u16 = 1 << 15;

    /// Table at the start of a BAR, pending bits in the same BAR at `pending`, a multiple of 8.
    /// `vectors` is 1 to 2048.
    pub fn table(vectors: u16, bar: u8, pending: u32) -> [Dword; 3] {
        table_at(vectors, bar.into(), pending & !7 | u32::from(bar))
    }

    /// Table and pending bits where these registers say: offset, a multiple of 8, and number of the
    /// BAR. `vectors` is 1 to 2048.
    pub fn table_at(vectors: u16, table: u32, pending: u32) -> [Dword; 3] {
        let size = u32::from(vectors.saturating_sub(1) & 0x7ff);
        let writable = u32::from(ENABLE | FUNCTION_MASK) << 16;
        [
            Dword { reset: size << 16, writable },
            Dword { reset: table, writable: 0 },
            Dword { reset: pending, writable: 0 },
        ]
    }
}

/// Data Object Exchange extended capability (6.0, section 7.9.24). The registers are
/// [`doe`](super::doe)'s; configuration space holds only the header, and zeros under the registers.
pub mod doe {
    use super::Dword;

    /// Extended capability ID.
    pub const ID: u16 = 0x002e;
    /// Capability version.
    pub const VERSION: u8 = 1;

    /// The five registers behind the header.
    pub fn registers() -> [Dword; 5] {
        [Dword::default(); 5]
    }
}
