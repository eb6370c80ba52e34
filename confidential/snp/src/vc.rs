//! #VC exceptions (APM volume 2, 15.35.5): what a guest's handler has to do for the instruction that was
//! not executed.
//!
//! The processor says only *that* an instruction would have exited, by the exception's error code
//! ([`exit_code`]); which registers, which size and how long it is stands in the instruction's bytes.
//! [`decode`] reads those, and only the ones that a freestanding guest executes: CPUID, RDMSR, WRMSR, IN and
//! OUT of one value, and moves between a register or a constant and memory (MMIO). Everything else is an
//! error, and a handler that meets one ends the guest: an instruction that is half understood is worse.
//!
//! Bytes are the guest's own code, but which exit they are read for is the hypervisor's word: an error code
//! that does not fit the instruction is an error too.

/// Error codes of #VC, which are exit codes of a VMCB (APM volume 2, appendix C).
pub mod exit_code {
    /// CPUID.
    pub const CPUID: u64 = 0x72;
    /// IN or OUT.
    pub const IOIO: u64 = 0x7b;
    /// RDMSR or WRMSR.
    pub const MSR: u64 = 0x7c;
    /// An access to memory that is none: MMIO.
    pub const NESTED_PAGE_FAULT: u64 = 0x400;
}

/// Most bytes of an instruction.
pub const LONGEST: usize = 15;

/// Bytes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Size {
    /// 8 bits.
    Byte = 1,
    /// 16 bits.
    Word = 2,
    /// 32 bits.
    Double = 4,
    /// 64 bits.
    Quad = 8,
}

/// Which port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// This one.
    Fixed(u8),
    /// The one in DX.
    Dx,
}

/// What is written to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A general register by number, or one of AH, CH, DH, BH.
    Register(Place),
    /// A constant, sign-extended.
    Constant(i32),
}

/// Which part of a general register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of the register, 0 (RAX) to 15.
    pub register: u8,
    /// Whether it is bits 15:8 (AH, CH, DH, BH).
    pub high: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// EAX, ECX in; EAX, EBX, ECX, EDX out.
    Cpuid,
    /// ECX in; EAX, EDX out.
    ReadMsr,
    /// ECX, EAX, EDX in.
    WriteMsr,
    /// A port into AL, AX or EAX.
    In(Port, Size),
    /// AL, AX or EAX to a port.
    Out(Port, Size),
    /// Memory into a register of this size; a narrower value is zero-extended.
    Load {
        /// How much is read.
        from: Size,
        /// How much of the register is written.
        into: Size,
        /// Which.
        place: Place,
    },
    /// A register or a constant to memory.
    Store(Source, Size),
}

/// An instruction that has been understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// What it does.
    pub action: Action,
    /// Its bytes: RIP goes on so far.
    pub length: u8,
}

/// Why a handler cannot do the instruction's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An exit that the guest does not cause.
    #[error("#VC with exit code {0:#x}")]
    ExitCode(u64),
    /// The instruction is another, or not the exit's.
    #[error("#VC for an instruction that the guest does not use: opcode {0:#x}")]
    Opcode(u16),
    /// The bytes end within the instruction.
    #[error("#VC for an instruction that does not end")]
    Truncated,
}

/// Prefixes that matter.
#[derive(Clone, Copy, Default)]
struct Prefixes {
    operand_size: bool,
    rex: u8,
}

impl Prefixes {
    /// The size of an operand that is not a byte.
    fn size(self) -> Size {
        match (self.rex & 8 != 0, self.operand_size) {
            (true, _) => Size::Quad,
            (false, true) => Size::Word,
            (false, false) => Size::Double,
        }
    }

    /// The size of a port's value: never 64 bits.
    fn port_size(self) -> Size {
        if self.operand_size { Size::Word } else { Size::Double }
    }

    /// The register of a ModRM byte.
    fn place(self, modrm: u8, size: Size) -> Place {
        let register = modrm >> 3 & 7 | (self.rex & 4) << 1;
        // Without REX, byte registers 4 to 7 are the second bytes of 0 to 3.
        let high = size == Size::Byte && self.rex == 0 && register >= 4;
        Place { register: if high { register - 4 } else { register }, high }
    }
}

/// The bytes of an instruction and how many have been read.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, Error> {
        if self.at >= LONGEST {
            return Err(Error::Truncated);
        }
        let byte = self.bytes.get(self.at).copied().ok_or(Error::Truncated)?;
        self.at += 1;
        Ok(byte)
    }

    fn skip(&mut self, count: usize) -> Result<(), Error> {
        (0..count).try_for_each(|_| self.byte().map(drop))
    }

    /// A ModRM byte that names memory, with all that belongs to the address behind it.
    fn memory(&mut self, opcode: u16) -> Result<u8, Error> {
        let modrm = self.byte()?;
        let mode = modrm >> 6;
        let base = if mode == 3 {
            // A register is no device.
            return Err(Error::Opcode(opcode));
        } else if modrm & 7 == 4 {
            self.byte()? & 7
        } else {
            modrm & 7
        };
        let displacement = match mode {
            0 if base == 5 => 4,
            0 => 0,
            1 => 1,
            _ => 4,
        };
        self.skip(displacement)?;
        Ok(modrm)
    }

    /// A constant of up to 32 bits.
    fn constant(&mut self, size: Size) -> Result<i32, Error> {
        let count = (size as usize).min(4);
        let mut value = 0_u32;
        for index in 0..count {
            value |= u32::from(self.byte()?) << (8 * index);
        }
        let unused = 32 - 8 * count as u32;
        Ok(((value << unused) as i32) >> unused)
    }
}

/// Decodes the instruction at RIP for this error code.
///
/// # Errors
/// It is none that a guest of ours executes there.
pub fn decode(code: u64, bytes: &[u8]) -> Result<Decoded, Error> {
    let mut reader = Reader { bytes, at: 0 };
    let mut prefixes = Prefixes::default();
    let mut byte = reader.byte()?;
    while byte == 0x66 {
        prefixes.operand_size = true;
        byte = reader.byte()?;
    }
    if byte & 0xf0 == 0x40 {
        prefixes.rex = byte;
        byte = reader.byte()?;
    }
    let opcode = match byte {
        0x0f => 0x0f00 | u16::from(reader.byte()?),
        _ => byte.into(),
    };
    let action = match code {
        exit_code::CPUID if opcode == 0x0fa2 => Action::Cpuid,
        exit_code::MSR if opcode == 0x0f32 => Action::ReadMsr,
        exit_code::MSR if opcode == 0x0f30 => Action::WriteMsr,
        exit_code::IOIO => port(opcode, prefixes, &mut reader)?,
        exit_code::NESTED_PAGE_FAULT => memory(opcode, prefixes, &mut reader)?,
        exit_code::CPUID | exit_code::MSR => return Err(Error::Opcode(opcode)),
        _ => return Err(Error::ExitCode(code)),
    };
    Ok(Decoded { action, length: reader.at as u8 })
}

fn port(opcode: u16, prefixes: Prefixes, reader: &mut Reader<'_>) -> Result<Action, Error> {
    let size = if opcode & 1 == 0 { Size::Byte } else { prefixes.port_size() };
    let port = match opcode {
        0xe4..=0xe7 => Port::Fixed(reader.byte()?),
        0xec..=0xef => Port::Dx,
        _ => return Err(Error::Opcode(opcode)),
    };
    Ok(if opcode & 2 == 0 { Action::In(port, size) } else { Action::Out(port, size) })
}

fn memory(opcode: u16, prefixes: Prefixes, reader: &mut Reader<'_>) -> Result<Action, Error> {
    let whole = prefixes.size();
    let of = |opcode: u16| if opcode & 1 == 0 { Size::Byte } else { whole };
    match opcode {
        0x88 | 0x89 => {
            let place = prefixes.place(reader.memory(opcode)?, of(opcode));
            Ok(Action::Store(Source::Register(place), of(opcode)))
        }
        0x8a | 0x8b => {
            let place = prefixes.place(reader.memory(opcode)?, of(opcode));
            Ok(Action::Load { from: of(opcode), into: of(opcode), place })
        }
        0xc6 | 0xc7 => {
            if reader.memory(opcode)? >> 3 & 7 != 0 {
                return Err(Error::Opcode(opcode));
            }
            let constant = reader.constant(of(opcode))?;
            Ok(Action::Store(Source::Constant(constant), of(opcode)))
        }
        // MOVZX.
        0x0fb6 | 0x0fb7 => {
            let from = if opcode == 0x0fb6 { Size::Byte } else { Size::Word };
            let place = prefixes.place(reader.memory(opcode)?, whole);
            Ok(Action::Load { from, into: whole, place })
        }
        _ => Err(Error::Opcode(opcode)),
    }
}

/// A register after a value has been loaded into part of it (APM volume 3, 1.2.3): 32 bits clear the upper
/// half, fewer leave the rest.
pub fn loaded(before: u64, value: u64, into: Size, place: Place) -> u64 {
    match (into, place.high) {
        (Size::Byte, true) => before & !0xff00 | (value & 0xff) << 8,
        (Size::Byte, false) => before & !0xff | value & 0xff,
        (Size::Word, _) => before & !0xffff | value & 0xffff,
        (Size::Double, _) => value & 0xffff_ffff,
        (Size::Quad, _) => value,
    }
}

/// SW_EXITINFO1 for an access to a port (GHCB standard, 4.1.5; APM volume 2, 15.10.2).
pub fn ioio_information(port: u16, size: Size, read: bool) -> u64 {
    u64::from(port) << 16 | (size as u64) << 4 | u64::from(read)
}

#[cfg(test)]
mod tests;
