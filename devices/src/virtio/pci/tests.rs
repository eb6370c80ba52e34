use super::*;
use crate::virtio::harness::{
    ACCESS_PLATFORM, BUFFERS, DRIVER_OK, FUNCTION, Guest, VERSION_1, eventually, writable,
};
use crate::virtio::interrupts::NO_VECTOR;
use crate::virtio::rng::Rng;
use proptest::prelude::*;

#[test]
fn a_driver_finds_a_modern_device_with_all_its_structures() {
    let guest = Guest::new(Rng);
    let mut identity = [0; 4];
    guest.bus.read(FUNCTION, &mut identity);
    assert_eq!(identity, [0xf4, 0x1a, 0x44, 0x10]);
    let mut revision = [0; 4];
    guest.bus.read(FUNCTION + 8, &mut revision);
    assert!(revision[0] >= 1, "a revision of 0 is for transitional devices");
    let bar = guest.bar(0);
    assert_eq!([1, 2, 3, 4].map(|kind| guest.structure(kind) - bar), [0, 0x3000, 0x1000, 0x2000]);
    assert!(guest.capabilities().iter().any(|(id, _)| *id == 0x11));
}

#[test]
fn without_version_1_and_access_platform_there_is_no_agreement() {
    let guest = Guest::new(Rng);
    let both = VERSION_1 | ACCESS_PLATFORM;
    for (features, agreed) in [
        (0, false),
        (VERSION_1, false),
        (ACCESS_PLATFORM, false),
        // Offered by nobody.
        (both | 1, false),
        (both | 1 << 63, false),
        (both, true),
    ] {
        guest.write_common(0x14, &[0]);
        guest.write_common(0x14, &[3]);
        for (select, half) in [(0u32, features as u32), (1, (features >> 32) as u32)] {
            guest.write_common(0x08, &select.to_le_bytes());
            guest.write_common(0x0c, &half.to_le_bytes());
        }
        guest.write_common(0x14, &[11]);
        assert_eq!(guest.status() == 11, agreed, "{features:#x}");
        // Nor can it be started then.
        guest.write_common(0x14, &[DRIVER_OK]);
        assert_eq!(guest.status() & 4 != 0, agreed, "{features:#x}");
    }
}

#[test]
fn registers_keep_what_the_rules_say() {
    let guest = Guest::new(Rng);
    let word = |at| {
        let mut bytes = [0; 2];
        guest.read_common(at, &mut bytes);
        u16::from_le_bytes(bytes)
    };
    guest.negotiate(0);
    assert_eq!(word(0x12), 1);
    assert_eq!(word(0x18), 64);
    for (size, kept) in [(32u16, 32), (0, 32), (3, 32), (128, 32), (64, 64)] {
        guest.write_common(0x18, &size.to_le_bytes());
        assert_eq!(word(0x18), kept, "{size}");
    }
    for (vector, kept) in [(1u16, 1), (2, NO_VECTOR), (0, 0), (NO_VECTOR, NO_VECTOR)] {
        guest.write_common(0x1a, &vector.to_le_bytes());
        guest.write_common(0x10, &vector.to_le_bytes());
        assert_eq!((word(0x1a), word(0x10)), (kept, kept), "{vector}");
    }
    // Both halves of an address, and all of it at once.
    guest.write_common(0x20, &0x1000u32.to_le_bytes());
    guest.write_common(0x24, &7u32.to_le_bytes());
    assert_eq!((word(0x20), word(0x24)), (0x1000, 7));
    guest.write_common(0x28, &0x9_0000_2000u64.to_le_bytes());
    assert_eq!((word(0x28), word(0x2c)), (0x2000, 9));
    // A queue that does not exist.
    guest.write_common(0x16, &1u16.to_le_bytes());
    assert_eq!((word(0x18), word(0x20)), (0, 0));
    // An enabled queue stays as it is.
    guest.write_common(0x16, &0u16.to_le_bytes());
    guest.write_common(0x1c, &1u16.to_le_bytes());
    guest.write_common(0x20, &0x2000u32.to_le_bytes());
    assert_eq!((word(0x1c), word(0x20)), (1, 0x1000));
}

#[test]
fn the_isr_status_says_queue_and_is_cleared_by_reading() {
    let (guest, mut queues) = Guest::started(Rng, 0);
    guest.round_trip(&mut queues[0], &[writable(BUFFERS, 8)]);
    eventually("the interrupt", || guest.interrupts(1) == 1);
    let isr = guest.structure(3);
    let mut status = [0];
    guest.bus.read(isr, &mut status);
    assert_eq!(status, [1]);
    guest.bus.read(isr, &mut status);
    assert_eq!(status, [0]);
}

#[test]
fn doorbells_follow_the_bar() {
    let guest = Guest::new(Rng);
    let attached = || guest.attached.0.lock().unwrap().clone();
    let first = guest.structure(2);
    assert_eq!(attached(), [first]);
    let moved = guest.bar(0) + 0x10_0000;
    guest.bus.write(FUNCTION + 0x10, &(moved as u32).to_le_bytes());
    assert_eq!(attached(), [moved + 0x3000]);
    // Memory decoding off.
    guest.bus.write(FUNCTION + 4, &0u16.to_le_bytes());
    assert_eq!(attached(), [0; 0]);
    guest.bus.write(FUNCTION + 4, &6u16.to_le_bytes());
    assert_eq!(attached(), [moved + 0x3000]);
    let Guest { device, bus, attached, .. } = guest;
    drop((bus, device));
    assert_eq!(*attached.0.lock().unwrap(), [0; 0]);
}

#[test]
fn without_bus_mastering_a_device_leaves_memory_alone_and_catches_up() {
    let (guest, mut queues) = Guest::started(Rng, 0);
    guest.round_trip(&mut queues[0], &[writable(BUFFERS, 8)]);
    guest.bus.write(FUNCTION + 4, &2u16.to_le_bytes());
    let head = queues[0].offer(&guest, &[writable(BUFFERS, 8)]);
    guest.kick(&queues[0]);
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert_eq!(queues[0].poll(&guest), None);
    assert!(!guest.device.needs_reset());
    guest.bus.write(FUNCTION + 4, &6u16.to_le_bytes());
    assert_eq!(queues[0].wait(&guest), (head, 8));
}

#[test]
fn a_function_level_reset_takes_the_device_from_its_driver() {
    let (guest, mut queues) = Guest::started(Rng, 0);
    let bar = guest.bar(0);
    let express = guest.capabilities().into_iter().find(|(id, _)| *id == 0x10).unwrap().1;
    guest.bus.write(FUNCTION + express + 9, &[0x80]);
    assert_eq!(guest.device.bar_range(0), None);
    guest.bus.write(FUNCTION + 0x10, &(bar as u32).to_le_bytes());
    guest.bus.write(FUNCTION + 0x14, &((bar >> 32) as u32).to_le_bytes());
    guest.bus.write(FUNCTION + 0x18, &(bar as u32 + 0x10_0000).to_le_bytes());
    guest.bus.write(FUNCTION + 0x1c, &((bar >> 32) as u32).to_le_bytes());
    guest.bus.write(FUNCTION + 4, &6u16.to_le_bytes());
    assert_eq!(guest.status(), 0);
    queues[0].offer(&guest, &[writable(BUFFERS, 8)]);
    guest.kick(&queues[0]);
    let mut queues = guest.start(0);
    assert_eq!(guest.round_trip(&mut queues[0], &[writable(BUFFERS, 8)]), 8);
}

#[test]
fn the_window_in_configuration_space_reaches_the_structures() {
    let guest = Guest::new(Rng);
    let window = guest.capabilities().last().unwrap().1;
    let set = |at: u64, value: u32| {
        guest.bus.write(FUNCTION + window + at, &value.to_le_bytes());
    };
    let get = || {
        let mut bytes = [0; 4];
        guest.bus.read(FUNCTION + window + 16, &mut bytes);
        u32::from_le_bytes(bytes)
    };
    set(4, 0);
    set(8, 0x12);
    set(12, 2);
    assert_eq!(get() & 0xffff, 1, "the number of queues");
    set(8, 0x14);
    set(12, 1);
    set(16, 3);
    assert_eq!(guest.status(), 3);
    // Nonsense reads as plain registers, and writes nothing.
    for (bar, offset, length) in [(1, 0, 4), (0, 0x4000, 4), (0, 1, 4), (0, 0, 3), (0, 0, 0)] {
        set(4, bar);
        set(8, offset);
        set(12, length);
        get();
        set(16, 0);
    }
    assert_eq!(guest.status(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever a guest does to the face, the next driver finds a device.
    #[test]
    fn arbitrary_accesses_break_nothing(
        accesses in prop::collection::vec((0u64..0x5100, 0usize..9, any::<u64>(), any::<bool>()), 1..200),
    ) {
        let (guest, _) = Guest::started(Rng, 0);
        let (zero, two) = (guest.bar(0), guest.bar(2));
        for (place, length, value, write) in accesses {
            let address = match place {
                ..0x4000 => zero + place,
                0x4000..0x5000 => two + (place - 0x4000),
                // Configuration space, but neither BARs nor the command register.
                _ => FUNCTION + 0x40 + (place - 0x5000),
            };
            let mut bytes = value.to_le_bytes();
            match write {
                true => guest.bus.write(address, &bytes[..length]),
                false => guest.bus.read(address, &mut bytes[..length]),
            }
        }
        let bytes = [zero as u32, (zero >> 32) as u32, two as u32, (two >> 32) as u32];
        for (at, value) in (0x10..).step_by(4).zip(bytes) {
            guest.bus.write(FUNCTION + at, &value.to_le_bytes());
        }
        guest.bus.write(FUNCTION + 4, &6u16.to_le_bytes());
        let mut queues = guest.start(0);
        prop_assert_eq!(guest.round_trip(&mut queues[0], &[writable(BUFFERS, 8)]), 8);
    }
}
