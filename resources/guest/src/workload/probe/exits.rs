//! Instructions that SNP's processors leave to the guest, each behind a marker: a write to a port, which
//! the VMM's tests hear, and then raise #VC as the processor would. Where nobody does, they are executed.
//!
//! `device=` is the address of memory that is a device's.

use super::{Failure, say};
use crate::call;
use crate::machine::Machine;
use core::arch::asm;
use core::hint::black_box;

/// The port of markers: COM1's modem control, which drives nothing.
const PORT: u16 = 0x3fc;
// Markers. CPUID's is the leaf.
const IO: u32 = 2;
const MMIO: u32 = 3;
const NOTHING: u32 = 4;
/// As much as the GHCB's buffer holds: the rest of a longer one would go out without #VC here.
const TEXT: usize = 2032;

pub(super) fn run(machine: &mut Machine) -> Result<(), Failure> {
    let device = machine.parameters.required("device")?;
    call::map_device(device, call::LARGE_PAGE).map_err(|error| Failure::new("map", &error))?;
    for leaf in [1, 0xd] {
        let [eax, ebx, ecx, edx] = cpuid(leaf);
        say(format_args!("leaf {leaf:#x}: {eax:#x} {ebx:#x} {ecx:#x} {edx:#x}"));
    }
    ports();
    memory(device);
    nothing();
    say(format_args!("and on it goes"));
    Ok(())
}

/// CPUID, with something in vector registers that must stay there.
fn cpuid(leaf: u32) -> [u32; 4] {
    let before = black_box([[0x1122_3344_5566_7788_u64, 0x99aa_bbcc_ddee_ff00], [1, u64::MAX]]);
    let mut after = [[0; 2]; 2];
    let (mut eax, mut ecx, mut edx) = (leaf, 0, u32::from(PORT));
    let ebx: u64;
    // SAFETY: RBX is put back; the rest is said.
    unsafe {
        asm!(
            "movups xmm0, [{before}]",
            "movups xmm15, [{before} + 16]",
            "mov {rbx}, rbx",
            "out dx, al",
            "cpuid",
            "xchg {rbx}, rbx",
            "movups [{after}], xmm0",
            "movups [{after} + 16], xmm15",
            before = in(reg) before.as_ptr(),
            after = in(reg) after.as_mut_ptr(),
            rbx = out(reg) ebx,
            inout("eax") eax,
            inout("ecx") ecx,
            inout("edx") edx,
            out("xmm0") _,
            out("xmm15") _,
        );
    }
    say(format_args!("vector registers kept: {}", after == before));
    [eax, ebx as u32, ecx, edx]
}

fn ports() {
    let (byte, word, double): (u64, u64, u64);
    // SAFETY: the console's ports, which user mode has; a string of this program's.
    unsafe {
        asm!("out dx, al", "in al, dx", in("dx") PORT, inout("rax") u64::from(IO) => byte);
        asm!("out dx, al", "in ax, dx", in("dx") PORT, inout("rax") u64::from(IO) => word);
        asm!("out dx, al", "in eax, dx", in("dx") PORT, inout("rax") u64::from(IO) => double);
        asm!("out dx, al", "out dx, al", in("dx") PORT, in("eax") IO);
        let text: [u8; TEXT] = core::array::from_fn(|at| (at % 8) as u8);
        asm!(
            "out dx, al",
            "rep outsb",
            in("dx") PORT,
            in("eax") IO,
            inout("rsi") black_box(&text).as_ptr() => _,
            inout("rcx") text.len() => _,
        );
    }
    say(format_args!("ports: {byte:#x} {word:#x} {double:#x}"));
}

fn memory(device: u64) {
    let value = 0x0102_0304_0506_0700_u64 | u64::from(MMIO);
    let (byte, word, double, quad): (u64, u64, u64, u64);
    // SAFETY: device memory that is mapped.
    unsafe {
        asm!("out dx, al", "mov [{}], al", in(reg) device, in("dx") PORT, in("rax") value);
        asm!("out dx, al", "mov [{} + 8], ax", in(reg) device, in("dx") PORT, in("rax") value);
        asm!("out dx, al", "mov [{} + 16], eax", in(reg) device, in("dx") PORT, in("rax") value);
        asm!("out dx, al", "mov [{} + 24], rax", in(reg) device, in("dx") PORT, in("rax") value);
        asm!("out dx, al", "movzx {:e}, byte ptr [{} + 4]", out(reg) byte, in(reg) device,
             in("dx") PORT, in("rax") value);
        asm!("out dx, al", "mov {:x}, [{} + 4]", inout(reg) value => word, in(reg) device,
             in("dx") PORT, in("rax") value);
        asm!("out dx, al", "mov {:e}, [{} + 4]", inout(reg) value => double, in(reg) device,
             in("dx") PORT, in("rax") value);
        asm!("out dx, al", "mov {:r}, [{} + 4]", out(reg) quad, in(reg) device,
             in("dx") PORT, in("rax") value);
    }
    say(format_args!("memory: {byte:#x} {word:#x} {double:#x} {quad:#x}"));
}

/// A load of the guest's own memory: no #VC is due there.
fn nothing() {
    let own = black_box(77_u64);
    let loaded: u64;
    // SAFETY: a value of this program's.
    unsafe {
        asm!("out dx, al", "mov {}, [{}]", out(reg) loaded, in(reg) &raw const own,
             in("dx") PORT, in("eax") NOTHING);
    }
    say(format_args!("own memory: {loaded}"));
}
