//! An exception ends the guest: what happened goes to the console, a stable code to the launcher.

use super::processor::outb;
use core::arch::asm;

const CONSOLE: u16 = 0x3f8;
const REPORT: u16 = 0x2f8;

/// What `entry.s` pushes, then the vector, then what the processor pushes but for RSP, which is among the
/// first, and SS.
#[unsafe(link_section = ".supervisor.data.names")]
static NAMES: [[u8; 8]; 21] = [
    *b"rax     ",
    *b"rcx     ",
    *b"rdx     ",
    *b"rbx     ",
    *b"rsp     ",
    *b"rbp     ",
    *b"rsi     ",
    *b"rdi     ",
    *b"r8      ",
    *b"r9      ",
    *b"r10     ",
    *b"r11     ",
    *b"r12     ",
    *b"r13     ",
    *b"r14     ",
    *b"r15     ",
    *b"vector  ",
    *b"error   ",
    *b"rip     ",
    *b"cs      ",
    *b"rflags  ",
];
const PER_LINE: usize = 4;

/// A line of `ravelin-report`: `Event::Finished`.
const FINISHED: &[u8] =
    b"{\"event\":\"finished\",\"result\":\"guest-exception\",\"message\":\"see the guest's console\"}\n";

/// From `entry.s`.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".supervisor.text.exception")]
extern "C" fn supervisor_exception(frame: *const u64) {
    print(CONSOLE, b"\nguest exception\n");
    let mut index = 0;
    while index < NAMES.len() {
        // SAFETY: the frame has more words than there are names.
        let value = unsafe { frame.add(index).read_volatile() };
        print(CONSOLE, &NAMES[index]);
        print_hex(value);
        index += 1;
        let end: &[u8] = if index % PER_LINE == 0 { b"\n" } else { b"  " };
        print(CONSOLE, end);
    }
    let address: u64;
    // SAFETY: reading CR2 changes nothing.
    unsafe { asm!("mov {}, cr2", out(reg) address, options(nostack, nomem)) };
    print(CONSOLE, b"cr2     ");
    print_hex(address);
    print(CONSOLE, b"\n");
    print(REPORT, FINISHED);
    // SAFETY: turns the power off: PM1a control, sleep enable.
    unsafe { asm!("out dx, ax", in("dx") 0x604u16, in("ax") 0x2000u16, options(nostack)) };
}

#[inline(always)]
fn print(port: u16, text: &[u8]) {
    let mut index = 0;
    while index < text.len() {
        // SAFETY: a serial port.
        unsafe { outb(port, text[index]) };
        index += 1;
    }
}

#[inline(always)]
fn print_hex(value: u64) {
    let mut shift = 64;
    while shift > 0 {
        shift -= 4;
        let digit = (value >> shift & 0xf) as u8;
        // SAFETY: a serial port.
        unsafe { outb(CONSOLE, if digit < 10 { b'0' + digit } else { b'a' - 10 + digit }) };
    }
}
