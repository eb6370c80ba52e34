use crate::page_state::{PAGE_SIZE, PageState};
use crate::virtio::harness::{
    BUFFERS, Buffer, DriverQueue, EVENT_INDEX, Guest, INDIRECT, NEXT, PRIVATE, WRITE, readable,
    writable,
};
use crate::virtio::rng::Rng;
use proptest::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};

fn guest() -> (Guest, DriverQueue) {
    let (guest, mut queues) = Guest::started(Rng, 0);
    (guest, queues.remove(0))
}

/// The driver does this, and the device must give up, count `refusals`, and serve the next driver.
fn must_break(refusals: u64, mischief: impl FnOnce(&Guest, &mut DriverQueue)) {
    let (guest, mut queue) = guest();
    mischief(&guest, &mut queue);
    guest.kick(&queue);
    guest.wait_for_reset_request();
    assert_eq!(guest.device.gate().refusals(), refusals);
    assert!(guest.interrupts(0) >= 1, "the driver was not told");
    guest.memory_is_as_it_was();
    let mut queues = guest.start(0);
    assert_eq!(guest.round_trip(&mut queues[0], &[writable(BUFFERS, 32)]), 32);
}

impl Guest {
    fn memory_is_as_it_was(&self) {
        let length = (PRIVATE.end - PRIVATE.start) as usize;
        assert!(self.bytes(PRIVATE.start, length).iter().all(|byte| *byte == 0));
    }
}

#[test]
fn a_private_buffer_is_refused_counted_and_costs_a_reset() {
    must_break(1, |guest, queue| {
        queue.offer(guest, &[writable(PRIVATE.start, 64)]);
    });
    // The last byte alone.
    must_break(1, |guest, queue| {
        queue.offer(guest, &[writable(PRIVATE.start - 63, 64)]);
    });
    must_break(1, |guest, queue| {
        queue.offer(guest, &[writable(u64::MAX - 8, 64)]);
    });
}

#[test]
fn a_ring_that_goes_private_is_refused() {
    type Place = fn(&DriverQueue) -> u64;
    let places: [Place; 3] = [|queue| queue.table, |queue| queue.available, |queue| queue.used];
    for place in places {
        must_break(1, |guest, queue| {
            queue.offer(guest, &[writable(BUFFERS, 64)]);
            let page = place(queue);
            guest.pages.convert(page, PAGE_SIZE, PageState::Private).unwrap();
            // For the driver that comes after.
            guest.kick(queue);
            guest.wait_for_reset_request();
            guest.pages.convert(page, PAGE_SIZE, PageState::Shared).unwrap();
        });
    }
}

#[test]
fn rings_laid_in_private_memory_or_askew_do_not_start() {
    for (register, address, refusals) in [
        (0x20, PRIVATE.start, 1),
        (0x28, PRIVATE.start, 1),
        (0x30, PRIVATE.start, 1),
        // Across the edge.
        (0x20, PRIVATE.start - 512, 1),
        (0x20, u64::MAX - 15, 1),
        (0x20, 0x1_0008, 0),
        (0x28, 0x1_4001, 0),
        (0x30, 0x1_8002, 0),
    ] {
        let guest = Guest::new(Rng);
        guest.negotiate(0);
        guest.write_common(register, &u64::to_le_bytes(address));
        let mut rest = [(0x20, 0x1_0000u64), (0x28, 0x1_4000), (0x30, 0x1_8000)].to_vec();
        rest.retain(|(other, _)| *other != register);
        for (register, address) in rest {
            guest.write_common(register, &address.to_le_bytes());
        }
        guest.write_common(0x1c, &1u16.to_le_bytes());
        guest.write_common(0x14, &[15]);
        assert!(guest.device.needs_reset(), "{register:#x} at {address:#x}");
        assert_eq!(guest.device.gate().refusals(), refusals, "{register:#x} at {address:#x}");
    }
}

#[test]
fn chains_that_make_no_sense_cost_a_reset() {
    // A loop.
    must_break(0, |guest, queue| {
        queue.describe(guest, 0, writable(BUFFERS, 1), NEXT, 1);
        queue.describe(guest, 1, writable(BUFFERS, 1), NEXT, 0);
        queue.offer_head(guest, 0);
    });
    // Onto itself.
    must_break(0, |guest, queue| {
        queue.describe(guest, 0, writable(BUFFERS, 1), NEXT, 0);
        queue.offer_head(guest, 0);
    });
    // A successor and a head that are no entries.
    must_break(0, |guest, queue| {
        queue.describe(guest, 0, writable(BUFFERS, 1), NEXT, queue.size);
        queue.offer_head(guest, 0);
    });
    must_break(0, |guest, queue| queue.offer_head(guest, queue.size));
    must_break(0, |guest, queue| queue.offer_head(guest, u16::MAX));
    // More available than there can be.
    must_break(0, |guest, queue| queue.set_index(guest, queue.size + 1));
    // 4 GiB in one chain.
    must_break(0, |guest, queue| {
        queue.describe(guest, 0, Buffer(BUFFERS, u32::MAX, WRITE), NEXT, 1);
        queue.describe(guest, 1, Buffer(BUFFERS, u32::MAX, WRITE), 0, 0);
        queue.offer_head(guest, 0);
    });
    // To be read after to be written.
    must_break(0, |guest, queue| {
        queue.offer(guest, &[writable(BUFFERS, 8), readable(BUFFERS, 8)]);
    });
}

/// An indirect table of these descriptors, each with flags and successor.
fn indirect(guest: &Guest, at: u64, entries: &[(Buffer, u16, u16)]) -> Buffer {
    for (place, (Buffer(address, length, own), flags, next)) in (0..).zip(entries) {
        let mut bytes = address.to_le_bytes().to_vec();
        bytes.extend(length.to_le_bytes());
        bytes.extend((own | flags).to_le_bytes());
        bytes.extend(next.to_le_bytes());
        guest.fill(at + 16 * place, &bytes);
    }
    Buffer(at, 16 * entries.len() as u32, INDIRECT)
}

#[test]
fn an_indirect_table_is_as_good_as_a_chain() {
    let (guest, mut queue) = guest();
    let (a, b) = (writable(BUFFERS, 10), writable(BUFFERS + 0x2000, 20));
    let table = indirect(&guest, 0x8_0000, &[(a, NEXT, 2), (a, 0, 0), (b, 0, 0)]);
    assert_eq!(guest.round_trip(&mut queue, &[table]), 30);
    assert_ne!(guest.bytes(BUFFERS + 0x2000, 20), [0; 20]);
}

#[test]
fn indirect_tables_that_make_no_sense_cost_a_reset() {
    let at = 0x8_0000;
    let room = writable(BUFFERS, 8);
    // A loop, a table in a table, one that is no multiple of 16, one that is empty.
    must_break(0, |guest, queue| {
        let table = indirect(guest, at, &[(room, NEXT, 1), (room, NEXT, 0)]);
        queue.offer(guest, &[table]);
    });
    must_break(0, |guest, queue| {
        let inner = indirect(guest, at + 0x1000, &[(room, 0, 0)]);
        let table = indirect(guest, at, &[(room, NEXT, 1), (inner, 0, 0)]);
        queue.offer(guest, &[table]);
    });
    must_break(0, |guest, queue| {
        queue.offer(guest, &[Buffer(at, 17, INDIRECT)]);
    });
    must_break(0, |guest, queue| {
        queue.offer(guest, &[Buffer(at, 0, INDIRECT)]);
    });
    must_break(0, |guest, queue| {
        queue.offer(guest, &[Buffer(at, !15, INDIRECT)]);
    });
    // In private memory, wholly and in part.
    must_break(1, |guest, queue| {
        queue.offer(guest, &[Buffer(PRIVATE.start, 64, INDIRECT)]);
    });
    must_break(1, |guest, queue| {
        let entries = [(room, NEXT, 1)];
        indirect(guest, PRIVATE.start - 16, &entries);
        queue.offer(guest, &[Buffer(PRIVATE.start - 16, 32, INDIRECT)]);
    });
}

#[test]
fn a_driver_that_asks_for_few_interrupts_gets_few() {
    let (guest, mut queues) = Guest::started(Rng, EVENT_INDEX);
    let queue = &mut queues[0];
    // `used_event`: not before the fifth.
    guest.fill(queue.available + 4 + 2 * u64::from(queue.size), &4u16.to_le_bytes());
    for round in 0..5 {
        assert_eq!(guest.interrupts(1), 0, "round {round}");
        guest.round_trip(queue, &[writable(BUFFERS, 8)]);
    }
    crate::virtio::harness::eventually("the interrupt", || guest.interrupts(1) == 1);
}

#[test]
fn many_rounds_go_around_the_ring() {
    let (guest, mut queues) = Guest::started(Rng, EVENT_INDEX);
    for _ in 0..70_000 / 64 {
        let chain = [writable(BUFFERS, 1)];
        let heads: Vec<_> = (0..64).map(|_| queues[0].offer(&guest, &chain)).collect();
        guest.kick(&queues[0]);
        for head in heads {
            assert_eq!(queues[0].wait(&guest), (head, 1));
        }
    }
}

/// Row 17 for rings: another vCPU changes rings, descriptors and page states under the device.
#[test]
fn a_driver_that_changes_everything_under_the_device_breaks_nothing() {
    let (guest, _) = guest();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut state = 0x2545_f491_4f6c_dd1du64;
            while !stop.load(Ordering::Relaxed) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let place = 0x1_0000 + state % 0xa000;
                guest.fill(place, &state.to_le_bytes()[..(1 + state as usize % 8)]);
            }
        });
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for to in [PageState::Private, PageState::Shared] {
                    guest.pages.convert(BUFFERS, 16 * PAGE_SIZE, to).unwrap();
                }
            }
        });
        for _ in 0..300 {
            let queues = guest.start(EVENT_INDEX);
            for _ in 0..8 {
                guest.kick(&queues[0]);
                std::thread::yield_now();
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    guest.memory_is_as_it_was();
    let mut queues = guest.start(0);
    assert_eq!(guest.round_trip(&mut queues[0], &[writable(BUFFERS, 32)]), 32);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Rings of arbitrary bytes: private memory stays as it is, and the next driver is served.
    #[test]
    fn arbitrary_rings_break_nothing(
        table in prop::collection::vec(any::<u8>(), 0..1024),
        available in prop::collection::vec(any::<u8>(), 0..256),
        lengths in prop::collection::vec(0u8..4, 64),
    ) {
        let (guest, mut queue) = guest();
        guest.fill(queue.table, &table);
        // Let some of it come near sense: small lengths, addresses in memory.
        for (at, kind) in (0..64u64).zip(&lengths) {
            let entry = queue.table + 16 * at;
            if *kind & 1 != 0 {
                guest.fill(entry + 2, &[0x10 + (at as u8 & 0x3f), 0, 0, 0, 0, 0]);
            }
            if *kind & 2 != 0 {
                guest.fill(entry + 9, &[0, 0, 0]);
                guest.fill(entry + 13, &[0, at as u8 % 64, 0]);
            }
        }
        guest.fill(queue.available + 4, &available);
        for index in [1, 5, 64] {
            queue.set_index(&guest, index);
            guest.kick(&queue);
        }
        guest.memory_is_as_it_was();
        queue = guest.start(0).remove(0);
        prop_assert_eq!(guest.round_trip(&mut queue, &[writable(BUFFERS, 32)]), 32);
    }
}
