//! What a #VC handler does: the work of the instruction that was not executed, with what the guest knows
//! itself and what the hypervisor is asked for.
//!
//! | exit | who answers |
//! | --- | --- |
//! | CPUID | the CPUID page; the hypervisor is not asked for anything about the processor |
//! | RDMSR, WRMSR | the hypervisor, for the APIC's registers alone, and to the supervisor alone |
//! | IN, OUT, OUTS | the hypervisor |
//! | MMIO | the hypervisor, for memory that is mapped as a device's alone |
//!
//! Hypervisors can inject a #VC wherever they like. So the instruction must be the exit's, and the memory a
//! device's: what a made-up exception can bring about is what a real one would have. Everything else ends
//! the guest.

use super::instruction::{
    self, Action, Address, Base, Code, Decoded, Place, Port, Size, Source, decode, loaded,
};
use crate::ghcb::guest::{Guest, Hypervisor};
use crate::ghcb::page::SHARED_BUFFER_SIZE;
use crate::ghcb::termination::Cause;

const RAX: u8 = 0;
const RCX: u8 = 1;
const RDX: u8 = 2;
const RBX: u8 = 3;
const RSI: u8 = 6;
const AL_TO_EAX: Place = Place { register: RAX, high: false };

/// RFLAGS: strings go backwards.
const DIRECTION: u64 = 1 << 10;

/// IA32_APIC_BASE.
const APIC_BASE: u32 = 0x1b;
/// The registers of an APIC in x2APIC mode.
const X2APIC: core::ops::RangeInclusive<u32> = 0x800..=0x8ff;

/// What was interrupted, and what it may reach.
pub trait Machine {
    /// The way to the hypervisor.
    type Hypervisor: Hypervisor;

    /// The exception's error code.
    fn code(&self) -> u64;
    /// A general register, by number.
    fn register(&self, number: u8) -> u64;
    /// Changes a general register. RSP is none.
    fn set_register(&mut self, number: u8, value: u64);
    /// RIP.
    fn instruction(&self) -> u64;
    /// Changes RIP.
    fn set_instruction(&mut self, address: u64);
    /// RFLAGS.
    fn flags(&self) -> u64;
    /// Whether the supervisor was interrupted, and not user mode.
    fn is_supervisor(&self) -> bool;
    /// A byte of memory that the interrupted program may read.
    fn byte(&self, address: u64) -> Option<u8>;
    /// Whether these bytes are mapped as a device's, at their own address.
    fn is_device(&self, address: u64, length: u64) -> bool;
    /// What the CPUID page says.
    fn cpuid(&self, leaf: u32, subleaf: u32) -> Option<[u32; 4]>;
    /// The hypervisor, once there is a GHCB.
    fn ghcb(&mut self) -> Option<&mut Guest<Self::Hypervisor>>;
}

/// Handles a #VC.
///
/// # Errors
/// It cannot be handled: the guest must end.
#[inline(always)]
pub fn handle<M: Machine>(machine: &mut M) -> Result<(), Cause> {
    let at = machine.instruction();
    let Decoded { action, length } = match decode(machine.code(), Interrupted { machine, at }) {
        Ok(decoded) => decoded,
        Err(instruction::Error::ExitCode(_)) => return Err(Cause::ExitCode),
        Err(_) => return Err(Cause::Instruction),
    };
    let next = at.wrapping_add(length.into());
    match action {
        Action::Cpuid => cpuid(machine)?,
        Action::ReadMsr => {
            let index = msr(machine)?;
            let value = ghcb(machine)?.read_msr(index)?;
            machine.set_register(RAX, value & 0xffff_ffff);
            machine.set_register(RDX, value >> 32);
        }
        Action::WriteMsr => {
            let index = msr(machine)?;
            let low = machine.register(RAX) & 0xffff_ffff;
            let value = machine.register(RDX) << 32 | low;
            ghcb(machine)?.write_msr(index, value)?;
        }
        Action::In(port, size) => {
            let port = number(machine, port);
            let value = ghcb(machine)?.read_port(port, size)?;
            load(machine, value, size, AL_TO_EAX)?;
        }
        Action::Out(port, size) => {
            let (port, value) = (number(machine, port), machine.register(RAX));
            ghcb(machine)?.write_port(port, size, value)?;
        }
        Action::OutString { size, repeated } => {
            if !out_string(machine, size, repeated)? {
                // Not all of it went into the buffer: the instruction is executed again.
                return Ok(());
            }
        }
        Action::Load { from, into, place, address } => {
            let address = resolve(machine, address, next);
            let value = device(machine, address, from)?.read_memory(address, from)?;
            load(machine, value, into, place)?;
        }
        Action::Store(source, size, address) => {
            let address = resolve(machine, address, next);
            let value = match source {
                Source::Constant(value) => value as i64 as u64,
                Source::Register(Place { register, high }) => {
                    machine.register(register) >> (8 * u32::from(high))
                }
            };
            device(machine, address, size)?.write_memory(address, size, value)?;
        }
    }
    machine.set_instruction(next);
    Ok(())
}

/// The interrupted program's code from RIP on.
struct Interrupted<'a, M> {
    machine: &'a M,
    at: u64,
}

impl<M: Machine> Code for Interrupted<'_, M> {
    #[inline(always)]
    fn byte(&self, offset: usize) -> Option<u8> {
        self.machine.byte(self.at.wrapping_add(offset as u64))
    }
}

/// Where an operand stands; `next` is the next instruction's address.
#[inline(always)]
fn resolve<M: Machine>(machine: &M, address: Address, next: u64) -> u64 {
    let base = match address.base {
        Base::Zero => 0,
        Base::Register(number) => machine.register(number),
        Base::NextInstruction => next,
    };
    let index = match address.index {
        instruction::RSP => 0,
        number => machine.register(number) << address.shift,
    };
    base.wrapping_add(index).wrapping_add(address.displacement as i64 as u64)
}

#[inline(always)]
fn cpuid<M: Machine>(machine: &mut M) -> Result<(), Cause> {
    let (leaf, subleaf) = (machine.register(RAX) as u32, machine.register(RCX) as u32);
    let [eax, ebx, ecx, edx] = machine.cpuid(leaf, subleaf).ok_or(Cause::Cpuid)?;
    machine.set_register(RAX, eax.into());
    machine.set_register(RBX, ebx.into());
    machine.set_register(RCX, ecx.into());
    machine.set_register(RDX, edx.into());
    Ok(())
}

/// The register that RDMSR or WRMSR names, if it is one to ask the hypervisor about.
#[inline(always)]
fn msr<M: Machine>(machine: &M) -> Result<u32, Cause> {
    let index = machine.register(RCX) as u32;
    let asked = index == APIC_BASE || X2APIC.contains(&index);
    if asked && machine.is_supervisor() { Ok(index) } else { Err(Cause::Msr) }
}

#[inline(always)]
fn number<M: Machine>(machine: &M, port: Port) -> u16 {
    match port {
        Port::Fixed(number) => number.into(),
        Port::Dx => machine.register(RDX) as u16,
    }
}

/// Sends as much of a string as the buffer holds; whether that was all.
#[inline(always)]
fn out_string<M: Machine>(machine: &mut M, size: Size, repeated: bool) -> Result<bool, Cause> {
    if machine.flags() & DIRECTION != 0 {
        return Err(Cause::Instruction);
    }
    let port = machine.register(RDX) as u16;
    let left = if repeated { machine.register(RCX) } else { 1 };
    let most = (SHARED_BUFFER_SIZE / size as usize) as u64;
    let count = if left < most { left } else { most };
    let (source, length) = (machine.register(RSI), count * size as u64);
    let mut at = 0;
    while at < length {
        let mut word = 0;
        let mut shift = 0;
        while shift < 64 && at < length {
            let byte = machine.byte(source.wrapping_add(at)).ok_or(Cause::Address)?;
            word |= u64::from(byte) << shift;
            shift += 8;
            at += 1;
        }
        ghcb(machine)?.put((at as usize - 1) / 8, word);
    }
    if count > 0 {
        ghcb(machine)?.write_string(port, size, count)?;
    }
    machine.set_register(RSI, source.wrapping_add(length));
    if repeated {
        machine.set_register(RCX, left - count);
    }
    Ok(left == count)
}

/// The hypervisor, for an access to memory that is a device's.
#[inline(always)]
fn device<M: Machine>(
    machine: &mut M,
    address: u64,
    size: Size,
) -> Result<&mut Guest<M::Hypervisor>, Cause> {
    if machine.is_device(address, size as u64) { ghcb(machine) } else { Err(Cause::Address) }
}

#[inline(always)]
fn ghcb<M: Machine>(machine: &mut M) -> Result<&mut Guest<M::Hypervisor>, Cause> {
    machine.ghcb().ok_or(Cause::RegisterGhcb)
}

#[inline(always)]
fn load<M: Machine>(machine: &mut M, value: u64, into: Size, place: Place) -> Result<(), Cause> {
    if place.register == instruction::RSP {
        return Err(Cause::Instruction);
    }
    let before = machine.register(place.register);
    machine.set_register(place.register, loaded(before, value, into, place));
    Ok(())
}

#[cfg(test)]
mod tests;
