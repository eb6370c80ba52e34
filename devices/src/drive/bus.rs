//! A guest by script in front of its buses: every register of every device, at every width and offset.
//!
//! Configuration space, BARs wherever they are now, ports, and memory that nobody claims; and since
//! few scripts would get through a virtio driver's first steps by themselves, a step that does them.
//! What is read is held against what the specifications promise; what moves the BARs, against who
//! claims which address.

mod face;
mod gpu;
mod virtio;

use super::Script;
use super::guest::{Guest, QUEUES, SHARE};
use super::host::Host;
use crate::apm::ApmDevice;
use crate::bus::{MmioBus, PioBus};
use crate::cmos::{self, Cmos};
use crate::dma_gate::DmaGate;
use crate::keyboard::{self, KeyboardController};
use crate::pci::bus::{Aperture, ECAM_SIZE, Ecam, Function, PciBus};
use crate::pci::msix::MsiSink;
use crate::serial::{COM1, COM2, PORTS, SerialPort};
use crate::virtio::Device;
use face::{Face, Kind, Signals};
use std::ops::Range;
use std::sync::Arc;

const ECAM: u64 = 0xe000_0000;
const APERTURE: Range<u64> = 1 << 32..1 << 36;
/// Most bytes that a vCPU moves at once.
const WIDEST: usize = 8;

/// A guest with what is on its buses.
pub struct Machine {
    guest: Guest,
    mmio: MmioBus,
    pio: PioBus,
    pci: Arc<PciBus>,
    faces: Vec<Face>,
    signals: Arc<Signals>,
    host: Host,
}

impl Machine {
    /// A guest with a PC's ports, and no function on its bus.
    ///
    /// # Panics
    /// Never: the places do not overlap.
    pub fn new() -> Self {
        let (mmio, pio, pci) = (MmioBus::new(), PioBus::new(), PciBus::new(APERTURE));
        mmio.insert(ECAM, ECAM_SIZE, Arc::new(Ecam(pci.clone()))).expect("room");
        let length = APERTURE.end - APERTURE.start;
        mmio.insert(APERTURE.start, length, Arc::new(Aperture(pci.clone()))).expect("room");
        for base in [COM1, COM2] {
            pio.insert(base, PORTS, Arc::new(SerialPort::new(std::io::sink()))).expect("room");
        }
        pio.insert(cmos::INDEX, cmos::PORTS, Arc::new(Cmos::new())).expect("room");
        pio.insert(keyboard::STATUS, 1, Arc::new(KeyboardController)).expect("room");
        let (guest, signals) = (Guest::new(), Arc::new(Signals::default()));
        Self { guest, mmio, pio, pci, faces: Vec::new(), signals, host: Host::Nobody }
    }

    /// The same with a virtio device, and whoever is at its other end.
    ///
    /// # Errors
    /// The kernel refuses a descriptor.
    pub fn with_virtio(
        mut self,
        device: Box<dyn Device>,
        host: Host,
    ) -> Result<Self, crate::virtio::pci::Error> {
        let (function, kind) = virtio::put(device, self.guest.gate(), self.signals.clone())?;
        self.add(function, Kind::Virtio(kind));
        self.host = host;
        Ok(self)
    }

    /// The same with a GPU; `make` gets its gate and where its interrupts go.
    ///
    /// # Errors
    /// The GPU does not come up.
    pub fn with_gpu<E>(
        mut self,
        make: impl FnOnce(Arc<DmaGate>, Arc<dyn MsiSink>) -> Result<Arc<ApmDevice>, E>,
    ) -> Result<Self, E> {
        let gpu = make(self.guest.gate(), self.signals.clone())?;
        self.add(gpu.clone(), Kind::Gpu(gpu));
        Ok(self)
    }

    fn add(&mut self, function: Arc<dyn Function>, kind: Kind) {
        let number = self.pci.add(function.clone()).expect("room on the bus");
        let place = ECAM + (u64::from(number) << 15);
        self.faces.push(Face::new(place, function, kind));
    }

    /// Lets a script loose, and then brings everything back to where it was.
    ///
    /// # Panics
    /// Private memory has changed or come out, a register is not what it has to be, or a device is
    /// lost: a finding.
    pub fn run(&mut self, script: &[u8]) {
        let mut script = Script(script);
        while let Some(step) = script.byte() {
            self.step(step, &mut script);
            self.guest.check();
        }
        self.host.look();
        self.guest.check_shared();
        self.guest.blank();
        for face in &mut self.faces {
            face.recover(&self.mmio, &self.guest);
        }
        self.settle();
    }

    fn step(&mut self, step: u8, script: &mut Script<'_>) {
        let how = step / 8;
        match step % 8 {
            // More often than not at a function.
            0 | 1 => self.access(step, script),
            2 => self.port(how, script),
            3 => self.guest.convert_some(how, script),
            4 => {
                let place = script.little_endian(3) % (QUEUES * SHARE);
                self.guest.write(place, script.bytes(how));
            }
            5 => {
                self.host.act(how, script);
                self.faces.iter().for_each(Face::hear);
            }
            _ => {
                let chosen = usize::from(script.or_zero()) % self.faces.len().max(1);
                let Some(face) = self.faces.get_mut(chosen) else { return };
                face.act(step % 8 == 6, how, &self.mmio, &self.guest, script);
            }
        }
        self.settle();
    }

    /// A read or a write of memory, of any width: in configuration space, in a BAR, or anywhere.
    fn access(&mut self, step: u8, script: &mut Script<'_>) {
        let chosen = script.or_zero();
        let face = self.faces.get(usize::from(chosen & 7) % self.faces.len().max(1));
        let bar = face.and_then(|face| face.function.bar_range((chosen >> 3 & 3) * 2));
        let address = match (step >> 3 & 3, bar, face) {
            (0 | 1, Some(bar), _) => bar.start + script.little_endian(3) % (bar.end - bar.start),
            (0..=2, _, Some(face)) => face.place + script.little_endian(2) % 0x1000,
            // Anywhere: also where BARs have been moved to, and where an access wraps.
            _ => script.little_endian(8),
        };
        let width = usize::from(step >> 5) + 1;
        if step & 1 != 0 {
            let mut data = [0; WIDEST];
            let bytes = script.bytes(width);
            data[..bytes.len()].copy_from_slice(bytes);
            return self.mmio.write(address, &data[..width]);
        }
        self.read(address, width);
    }

    fn read(&self, address: u64, width: usize) {
        let end = u128::from(address) + width as u128;
        let inside = |range: Range<u64>| range.start <= address && end <= u128::from(range.end);
        let claimed = inside(ECAM..ECAM + ECAM_SIZE)
            || self.faces.iter().any(|face| face.bars().any(|(_, range)| inside(range)));
        let refused = self.faces.iter().any(|face| face.refuses(address, width));
        let mut data = [0; WIDEST];
        self.mmio.read(address, &mut data[..width]);
        if refused || !claimed {
            assert_eq!(data[..width], [0xff; WIDEST][..width], "{address:#x} answers");
        }
    }

    fn port(&self, how: u8, script: &mut Script<'_>) {
        let bases = [COM1, COM2, cmos::INDEX, keyboard::STATUS];
        let port = match script.or_zero() {
            wide @ 0xf0.. => u64::from(wide) << 8 | u64::from(script.or_zero()),
            near => bases[usize::from(near & 3)] + u64::from(near >> 2 & 15),
        };
        let width = [1, 2, 4, 8][usize::from(how & 3)];
        let mut data = [0; 8];
        if how & 4 == 0 {
            self.pio.read(port, &mut data[..width]);
        } else {
            data[..width].copy_from_slice(&script.little_endian(width).to_le_bytes()[..width]);
            self.pio.write(port, &data[..width]);
        }
    }

    /// Lets devices do what they were rung for, and checks what has to hold at any time.
    fn settle(&mut self) {
        for face in &mut self.faces {
            face.settle();
        }
        let quiet = self.faces.iter().all(Face::is_quiet);
        self.signals.check(quiet);
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
