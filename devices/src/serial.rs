//! Serial ports: a 16550 whose output goes to any writer, and a writer that cuts it into lines.
//!
//! The registers are vm-superio's. A port has an interrupt line where its owner gives it one; the
//! built-in guest polls and needs none. What the guest sends is bytes of a stranger; [`LineSink`]
//! bounds them, and reading them is its owner's.

use crate::bus::BusDevice;
use std::convert::Infallible;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use vm_superio::serial::NoEvents;
use vm_superio::{Serial, Trigger};

/// First port of COM1.
pub const COM1: u64 = 0x3f8;
/// First port of COM2.
pub const COM2: u64 = 0x2f8;
/// Ports of a 16550.
pub const PORTS: u64 = 8;
/// Interrupt line of COM1.
pub const COM1_INTERRUPT: u32 = 4;
/// Interrupt line of COM2.
pub const COM2_INTERRUPT: u32 = 3;

/// A serial port. Registers are bytes; wider accesses are what a PC makes of them, one byte a
/// register.
pub struct SerialPort<W: Write + Send>(Mutex<Serial<Wire, NoEvents, W>>);

/// Raises the edge of an interrupt line.
pub type Interrupt = Box<dyn Fn() + Send>;

/// An interrupt line that may be absent.
struct Wire(Option<Interrupt>);

impl Trigger for Wire {
    type E = Infallible;
    fn trigger(&self) -> Result<(), Infallible> {
        if let Some(raise) = &self.0 {
            raise();
        }
        Ok(())
    }
}

impl<W: Write + Send> SerialPort<W> {
    /// A port without an interrupt that sends to `output`. A failing output loses bytes and stops
    /// nothing.
    pub fn new(output: W) -> Self {
        Self(Mutex::new(Serial::new(Wire(None), output)))
    }

    /// The same with an interrupt line.
    pub fn with_interrupt(output: W, interrupt: Interrupt) -> Self {
        Self(Mutex::new(Serial::new(Wire(Some(interrupt)), output)))
    }

    /// Puts bytes in front of the guest's receiver; returns how many fit.
    pub fn receive(&self, input: &[u8]) -> usize {
        // The receiver is full, or in loop-back mode: nothing fits.
        self.lock().enqueue_raw_bytes(input).unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, Serial<Wire, NoEvents, W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Write + Send> BusDevice for SerialPort<W> {
    fn read(&self, offset: u64, data: &mut [u8]) {
        let mut port = self.lock();
        for (register, byte) in (offset..PORTS).zip(data) {
            *byte = port.read(register as u8);
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        let mut port = self.lock();
        for (register, byte) in (offset..PORTS).zip(data) {
            // An output that fails must not stop the guest; there is no interrupt that could.
            let _ = port.write(register as u8, *byte);
        }
    }
}

/// A line, or the news that one was too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// The bytes before a newline, without it.
    Whole(&'a [u8]),
    /// A line longer than the sink takes; its bytes are gone.
    TooLong,
}

/// A writer that hands over what it is given line by line, never holding more than one line.
pub struct LineSink<F> {
    longest: usize,
    line: Vec<u8>,
    overflow: bool,
    sink: F,
}

impl<F: FnMut(Line<'_>)> LineSink<F> {
    /// A sink for lines of at most `longest` bytes, newline not counted.
    pub fn new(longest: usize, sink: F) -> Self {
        Self { longest, line: Vec::new(), overflow: false, sink }
    }

    fn push(&mut self, byte: u8) {
        if byte == b'\n' {
            (self.sink)(if self.overflow { Line::TooLong } else { Line::Whole(&self.line) });
            self.line.clear();
            self.overflow = false;
        } else if self.line.len() < self.longest {
            self.line.push(byte);
        } else {
            self.overflow = true;
        }
    }
}

impl<F: FnMut(Line<'_>)> Write for LineSink<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            self.push(*byte);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
