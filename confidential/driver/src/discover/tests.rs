use super::*;
use crate::testing::{FakeBus, FakeClock, MAILBOX};

fn run(bus: &mut FakeBus) -> Result<Device, Error> {
    discover(bus, &FakeClock::default())
}

#[test]
fn a_gpu_is_found_with_its_mailbox() {
    let mut bus = FakeBus::new();
    let device = run(&mut bus).unwrap();
    assert_eq!((device.mailbox, device.mode, device.reset_count), (MAILBOX, Mode::On, 3));
    assert_eq!(bus.config[&COMMAND], MEMORY_SPACE_AND_BUS_MASTER);
}

#[test]
fn another_device_is_left_alone() {
    let mut bus = FakeBus::new();
    bus.config.insert(0, 0x10de_1234);
    assert_eq!(run(&mut bus), Err(Error::NotAGpu { vendor: 0x1234, device: 0x10de }));
    assert_eq!(bus.config.get(&COMMAND), None);
}

#[test]
fn what_differs_is_named() {
    let with = |register, value| {
        let mut bus = FakeBus::new();
        bus.registers.insert(register, value);
        run(&mut bus).unwrap_err()
    };
    assert_eq!(with(registers::MAGIC, 7), Error::Magic(7));
    assert_eq!(with(registers::VERSION, 2), Error::Version(2));
    assert_eq!(with(registers::MODE, 9), Error::Mode(9));
    assert_eq!(with(registers::STATUS, u32::MAX), Error::NotReady(u32::MAX));
    assert_eq!(with(registers::STATUS, 0), Error::NotReady(0));
}

#[test]
fn a_capability_list_without_doe_or_in_a_circle_ends() {
    let mut bus = FakeBus::new();
    bus.config.remove(&MAILBOX);
    assert_eq!(run(&mut bus), Err(Error::NoMailbox));
    bus.config.insert(MAILBOX, 0x1001_0001);
    assert_eq!(run(&mut bus), Err(Error::NoMailbox));
}
