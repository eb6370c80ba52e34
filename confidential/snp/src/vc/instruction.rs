//! The instruction that a #VC is for.
//!
//! The processor says only *that* an instruction would have exited, by the exception's error code
//! ([`exit_code`]); which registers, which size and how long it is stands in the instruction's bytes.
//! [`decode`] reads those, and only the ones that a freestanding guest executes: CPUID, RDMSR, WRMSR, IN and
//! OUT of one value, OUTS, and moves between a register or a constant and memory (MMIO). Everything else is
//! an error, and a handler that meets one ends the guest: an instruction that is half understood is worse.
//!
//! Bytes are the guest's own code, but which exit they are read for may be the hypervisor's word, who can
//! inject exceptions: an error code that does not fit the instruction is an error too.
//!
//! What runs in a handler is inlined: a guest's supervisor has its code in a section of its own.

use super::exit_code;

/// Most bytes of an instruction.
pub const LONGEST: usize = 15;
/// Number of RSP.
pub const RSP: u8 = 4;

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

impl Size {
    /// The value's part of this size.
    #[inline(always)]
    pub fn of(self, value: u64) -> u64 {
        value & (u64::MAX >> (64 - 8 * self as u32))
    }
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

/// Where an operand stands in memory, relative to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// Nothing.
    Zero,
    /// A register's value.
    Register(u8),
    /// The next instruction's address.
    NextInstruction,
}

/// Where an operand stands in memory: base, index times a power of two, displacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The base.
    pub base: Base,
    /// Number of the index register; [`RSP`], which cannot be one, for none.
    pub index: u8,
    /// By how many bits the index is shifted.
    pub shift: u8,
    /// The displacement.
    pub displacement: i32,
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
    /// Memory at RSI to the port in DX.
    OutString {
        /// How much at a time.
        size: Size,
        /// RCX times (REP).
        repeated: bool,
    },
    /// Memory into a register of this size; a narrower value is zero-extended.
    Load {
        /// How much is read.
        from: Size,
        /// How much of the register is written.
        into: Size,
        /// Which.
        place: Place,
        /// Whence.
        address: Address,
    },
    /// A register or a constant to memory.
    Store(Source, Size, Address),
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
    repeated: bool,
    rex: u8,
}

impl Prefixes {
    /// The size of an operand that is not a byte.
    #[inline(always)]
    fn size(self) -> Size {
        match (self.rex & 8 != 0, self.operand_size) {
            (true, _) => Size::Quad,
            (false, true) => Size::Word,
            (false, false) => Size::Double,
        }
    }

    /// The size of a port's value: never 64 bits.
    #[inline(always)]
    fn port_size(self) -> Size {
        if self.operand_size { Size::Word } else { Size::Double }
    }

    /// The register of a ModRM byte.
    #[inline(always)]
    fn place(self, modrm: u8, size: Size) -> Place {
        let register = modrm >> 3 & 7 | (self.rex & 4) << 1;
        // Without REX, byte registers 4 to 7 are the second bytes of 0 to 3.
        let high = size == Size::Byte && self.rex == 0 && register >= 4;
        Place { register: if high { register - 4 } else { register }, high }
    }
}

/// Where an instruction's bytes come from. No closure, which nothing can be told to inline.
pub trait Code {
    /// The byte so far behind RIP, where there is one.
    fn byte(&self, offset: usize) -> Option<u8>;
}

/// The bytes of an instruction and how many have been read.
struct Reader<C> {
    code: C,
    at: usize,
}

impl<C: Code> Reader<C> {
    #[inline(always)]
    fn byte(&mut self) -> Result<u8, Error> {
        if self.at >= LONGEST {
            return Err(Error::Truncated);
        }
        match self.code.byte(self.at) {
            Some(byte) => {
                self.at += 1;
                Ok(byte)
            }
            None => Err(Error::Truncated),
        }
    }

    /// A ModRM byte that names memory, and the address that it and what is behind it say.
    #[inline(always)]
    fn memory(&mut self, opcode: u16, prefixes: Prefixes) -> Result<(u8, Address), Error> {
        let modrm = self.byte()?;
        let mode = modrm >> 6;
        if mode == 3 {
            // A register is no device.
            return Err(Error::Opcode(opcode));
        }
        let (mut low, mut index, mut shift) = (modrm & 7, RSP, 0);
        let scaled = low == 4;
        if scaled {
            let sib = self.byte()?;
            low = sib & 7;
            index = sib >> 3 & 7 | (prefixes.rex & 2) << 2;
            shift = sib >> 6;
        }
        let base = match (mode, low) {
            (0, 5) if scaled => Base::Zero,
            (0, 5) => Base::NextInstruction,
            _ => Base::Register(low | (prefixes.rex & 1) << 3),
        };
        let size = match (mode, low) {
            (0, 5) | (2, _) => Size::Double,
            (1, _) => Size::Byte,
            _ => return Ok((modrm, Address { base, index, shift, displacement: 0 })),
        };
        let displacement = self.constant(size)?;
        Ok((modrm, Address { base, index, shift, displacement }))
    }

    /// A constant of up to 32 bits.
    #[inline(always)]
    fn constant(&mut self, size: Size) -> Result<i32, Error> {
        let count = (size as usize).min(4);
        let mut value = 0_u32;
        let mut index = 0;
        while index < count {
            value |= u32::from(self.byte()?) << (8 * index);
            index += 1;
        }
        let unused = 32 - 8 * count as u32;
        Ok(((value << unused) as i32) >> unused)
    }
}

/// Decodes the instruction at RIP for this error code.
///
/// # Errors
/// It is none that a guest of ours executes there.
#[inline(always)]
pub fn decode(code: u64, bytes: impl Code) -> Result<Decoded, Error> {
    let mut reader = Reader { code: bytes, at: 0 };
    let mut prefixes = Prefixes::default();
    let mut byte = reader.byte()?;
    while byte == 0x66 || byte == 0xf3 {
        prefixes.operand_size |= byte == 0x66;
        prefixes.repeated |= byte == 0xf3;
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
    if prefixes.repeated && !matches!(action, Action::OutString { .. }) {
        return Err(Error::Opcode(opcode));
    }
    Ok(Decoded { action, length: reader.at as u8 })
}

#[inline(always)]
fn port<C: Code>(opcode: u16, prefixes: Prefixes, reader: &mut Reader<C>) -> Result<Action, Error> {
    let size = if opcode & 1 == 0 { Size::Byte } else { prefixes.port_size() };
    let port = match opcode {
        0x6e | 0x6f => return Ok(Action::OutString { size, repeated: prefixes.repeated }),
        0xe4..=0xe7 => Port::Fixed(reader.byte()?),
        0xec..=0xef => Port::Dx,
        _ => return Err(Error::Opcode(opcode)),
    };
    Ok(if opcode & 2 == 0 { Action::In(port, size) } else { Action::Out(port, size) })
}

#[inline(always)]
fn memory<C: Code>(
    opcode: u16,
    prefixes: Prefixes,
    reader: &mut Reader<C>,
) -> Result<Action, Error> {
    let whole = prefixes.size();
    let size = if opcode & 1 == 0 { Size::Byte } else { whole };
    if !matches!(opcode, 0x88..=0x8b | 0xc6 | 0xc7 | 0x0fb6 | 0x0fb7) {
        return Err(Error::Opcode(opcode));
    }
    let (modrm, address) = reader.memory(opcode, prefixes)?;
    match opcode {
        0x88 | 0x89 => {
            Ok(Action::Store(Source::Register(prefixes.place(modrm, size)), size, address))
        }
        0x8a | 0x8b => {
            let place = prefixes.place(modrm, size);
            Ok(Action::Load { from: size, into: size, place, address })
        }
        0xc6 | 0xc7 => {
            if modrm >> 3 & 7 != 0 {
                return Err(Error::Opcode(opcode));
            }
            Ok(Action::Store(Source::Constant(reader.constant(size)?), size, address))
        }
        // MOVZX.
        _ => {
            let from = if opcode == 0x0fb6 { Size::Byte } else { Size::Word };
            Ok(Action::Load { from, into: whole, place: prefixes.place(modrm, whole), address })
        }
    }
}

/// A register after a value has been loaded into part of it (APM volume 3, 1.2.3): 32 bits clear the upper
/// half, fewer leave the rest.
#[inline(always)]
pub fn loaded(before: u64, value: u64, into: Size, place: Place) -> u64 {
    match (into, place.high) {
        (Size::Byte, true) => before & !0xff00 | (value & 0xff) << 8,
        (Size::Byte, false) => before & !0xff | value & 0xff,
        (Size::Word, _) => before & !0xffff | value & 0xffff,
        (Size::Double, _) => value & 0xffff_ffff,
        (Size::Quad, _) => value,
    }
}

#[cfg(test)]
mod tests;
