//! A driver by script beneath one device's queues: rings, descriptors, page states and doorbells, with
//! no thread and no PCI between them.
//!
//! Private memory stays as it was, nothing of it comes out at the host's end, and a driver that comes
//! afterwards finds a device.

use super::Script;
use super::guest::{AVAILABLE, Driver, Guest, SHARE, USED};
use super::host::Host;
use crate::dma_gate::DmaGate;
use crate::pci::msix::{MsiMessage, MsiSink, Msix};
use crate::virtio::interrupts::{Interrupts, NO_VECTOR};
use crate::virtio::queue::{Setup, Surroundings, VirtQueue};
use crate::virtio::worker::{Engine, Health};
use crate::virtio::{Device, Event};
use std::sync::Arc;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// Entries of the queues, where the device takes as many.
const ENTRIES: u16 = 16;
/// Feature bit: notifications are suppressed by index.
const EVENT_INDEX: u64 = 1 << 29;

/// Nobody listens.
struct Deaf;

impl MsiSink for Deaf {
    fn signal(&self, _: MsiMessage) {}
}

struct Machine {
    guest: Guest,
    driver: Driver,
    gate: Arc<DmaGate>,
    interrupts: Arc<Interrupts>,
    health: Health,
    engine: Engine,
    bells: Vec<Arc<EventFd>>,
}

/// Lets a script loose on a device.
///
/// # Panics
/// Private memory has changed or come out, or the device is lost: a finding.
pub fn drive(device: Box<dyn Device>, host: &mut Host, script: &[u8]) {
    // The kernel's refusals are no finding.
    let Some(mut machine) = Machine::new(device) else { return };
    machine.start(0);
    let mut script = Script(script);
    while let Some(step) = script.byte() {
        machine.step(step, host, &mut script);
        machine.guest.check();
    }
    host.look();
    machine.guest.check_shared();
    machine.guest.share_all();
    machine.start(0);
    assert!(!machine.health.needs_reset(), "the next driver finds no device");
}

impl Machine {
    fn new(device: Box<dyn Device>) -> Option<Self> {
        let guest = Guest::new();
        let gate = guest.gate();
        let interrupts = Arc::new(Interrupts::new(Arc::new(Msix::new(4, Arc::new(Deaf)))));
        let health = Health::new(interrupts.clone());
        let sizes: Vec<_> = device.queues().iter().map(|most| ENTRIES.min(*most)).collect();
        let bells = sizes.iter().map(|_| EventFd::new(EFD_NONBLOCK).map(Arc::new).ok());
        let bells = bells.collect::<Option<_>>()?;
        let engine = Engine::new(device, "driven".into(), health.clone());
        let driver = Driver::new(sizes);
        Some(Self { guest, driver, gate, interrupts, health, engine, bells })
    }

    /// What a driver does after a reset, with rings of zeros.
    fn start(&mut self, features: u64) {
        self.engine.stop();
        self.health.restore();
        self.driver.clear(&self.guest);
        let around = Surroundings {
            gate: self.gate.clone(),
            interrupts: self.interrupts.clone(),
            event_index: features & EVENT_INDEX != 0,
        };
        let queues = (0..).zip(&self.driver.sizes).zip(&self.bells).map(|((index, size), bell)| {
            let table = index * SHARE;
            let setup = Setup {
                size: *size,
                descriptors: table,
                available: table + AVAILABLE,
                used: table + USED,
                vector: NO_VECTOR,
                enabled: true,
            };
            VirtQueue::new(&setup, around.clone(), bell.clone()).ok()
        });
        match queues.collect() {
            Some(queues) => self.engine.start(features, queues),
            None => self.health.fail(),
        }
    }

    fn step(&mut self, step: u8, host: &mut Host, script: &mut Script<'_>) {
        let queue = usize::from(script.or_zero()) % self.bells.len();
        match step % 8 {
            0 => self.engine.handle(Event::Queue(queue)),
            1 => {
                host.act(step / 8, script);
                self.engine.handle(Event::Source(queue));
            }
            2 => self.start(script.number()),
            3 => self.guest.convert_some(step / 8, script),
            4 => self.driver.scribble(&self.guest, queue, step / 8, script),
            5 => self.driver.fill(&self.guest, queue, step / 8 % 16, script),
            _ => {
                self.driver.offer(&self.guest, queue, step / 8, script);
                self.engine.handle(Event::Queue(queue));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::guest::{PRIVATE, SECRET};
    use crate::drive::host::{KINDS, subject};
    use crate::virtio::Kind;
    use crate::virtio::queue::Broken;
    use crate::virtio::rng::Rng;
    use proptest::prelude::*;
    use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn no_script_breaks_a_device(
            kind in 0..KINDS,
            script in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let (device, mut host) = subject(kind, folder.path()).unwrap();
            drive(device, &mut host, &script);
        }
    }

    /// Reaches past the gate, as no device can.
    struct Leaky(GuestMemoryMmap, fn(&GuestMemoryMmap));

    impl Device for Leaky {
        fn kind(&self) -> Kind {
            Kind::Rng
        }
        fn queues(&self) -> &'static [u16] {
            &[16]
        }
        fn handle(&mut self, event: Event, _: &mut [VirtQueue]) -> Result<(), Broken> {
            if event != Event::Started {
                self.1(&self.0);
            }
            Ok(())
        }
    }

    fn ring_a_leaky_device(leak: fn(&GuestMemoryMmap)) {
        let mut machine = Machine::new(Box::new(Rng)).unwrap();
        let leaky = Box::new(Leaky(machine.guest.memory().clone(), leak));
        machine.engine = Engine::new(leaky, "leaky".into(), machine.health.clone());
        machine.start(0);
        machine.step(0, &mut Host::Nobody, &mut Script(&[0]));
        machine.guest.check();
        machine.guest.check_shared();
    }

    #[test]
    #[should_panic(expected = "was written")]
    fn a_device_that_writes_past_the_gate_is_found() {
        ring_a_leaky_device(|memory| memory.write_slice(&[1], GuestAddress(PRIVATE)).unwrap());
    }

    #[test]
    #[should_panic(expected = "has come out")]
    fn a_device_that_reads_past_the_gate_is_found() {
        ring_a_leaky_device(|memory| {
            let mut stolen = [0; 32];
            memory.read_slice(&mut stolen, GuestAddress(PRIVATE)).unwrap();
            assert_eq!(stolen, [SECRET; 32]);
            memory.write_slice(&stolen, GuestAddress(0x3333)).unwrap();
        });
    }
}
