use super::*;
use crate::virtio::harness::{
    BUFFERS, DriverQueue, Guest, PRIVATE, eventually, readable, writable,
};
use std::os::unix::net::UnixDatagram;

const MAC: &str = "52:54:00:12:34:56";

/// A socket pair that keeps frames apart, as a tap does.
fn machine() -> (Guest, Vec<DriverQueue>, UnixDatagram) {
    let (wire, device) = UnixDatagram::pair().unwrap();
    device.set_nonblocking(true).unwrap();
    wire.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let (guest, queues) = Guest::started(Net::new(device, MAC.parse().unwrap()), 0);
    (guest, queues, wire)
}

fn frame(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 249) as u8).collect()
}

#[test]
fn frames_go_both_ways_whole() {
    let (guest, mut queues, wire) = machine();
    assert_eq!(guest.read_config::<8>(0), [0x52, 0x54, 0, 0x12, 0x34, 0x56, 1, 0]);
    for length in [14, 60, 1514, 9014] {
        let frame = frame(length);
        guest.fill(BUFFERS, &[0xee; HEADER]);
        guest.fill(BUFFERS + HEADER as u64, &frame);
        let chain =
            [readable(BUFFERS, 5), readable(BUFFERS + 5, 10), readable(BUFFERS + 15, length - 3)];
        guest.round_trip(&mut queues[1], &chain);
        let mut seen = vec![0; 65536];
        let got = wire.recv(&mut seen).unwrap();
        assert!(seen[..got] == frame);

        let head = queues[0].offer(&guest, &[writable(BUFFERS, 10_000)]);
        guest.kick(&queues[0]);
        wire.send(&frame).unwrap();
        assert_eq!(queues[0].wait(&guest), (head, (HEADER + length) as u32));
        assert_eq!(guest.bytes(BUFFERS, HEADER), PLAIN);
        assert!(guest.bytes(BUFFERS + HEADER as u64, length) == frame);
    }
}

#[test]
fn frames_wait_for_room_in_order() {
    let (guest, mut queues, wire) = machine();
    for number in 0..5u8 {
        wire.send(&[number; 64]).unwrap();
    }
    for number in 0..5u8 {
        let length = guest.round_trip(&mut queues[0], &[writable(BUFFERS, 1526)]);
        assert_eq!(length, 76);
        assert_eq!(guest.bytes(BUFFERS + HEADER as u64, 64), [number; 64]);
    }
}

#[test]
fn a_frame_that_does_not_fit_is_dropped_and_the_next_is_not() {
    let (guest, mut queues, wire) = machine();
    wire.send(&frame(1514)).unwrap();
    assert_eq!(guest.round_trip(&mut queues[0], &[writable(BUFFERS, 1525)]), 0);
    wire.send(&frame(1513)).unwrap();
    assert_eq!(guest.round_trip(&mut queues[0], &[writable(BUFFERS, 1525)]), 1525);
}

#[test]
fn what_is_no_frame_is_not_sent() {
    let (guest, mut queues, wire) = machine();
    for length in [HEADER, HEADER + 13, HEADER + FRAME + 1] {
        guest.round_trip(&mut queues[1], &[readable(BUFFERS, length)]);
    }
    guest.round_trip(&mut queues[1], &[readable(BUFFERS, HEADER + 14)]);
    let mut seen = [0; 100];
    assert_eq!(wire.recv(&mut seen).unwrap(), 14, "the short or the long one was sent");
    queues[1].offer(&guest, &[readable(BUFFERS, HEADER - 1)]);
    guest.kick(&queues[1]);
    guest.wait_for_reset_request();
}

#[test]
fn a_wire_that_is_gone_stops_nothing() {
    let (guest, mut queues, wire) = machine();
    drop(wire);
    for _ in 0..10 {
        guest.round_trip(&mut queues[1], &[readable(BUFFERS, 100)]);
    }
}

#[test]
fn private_memory_neither_leaves_nor_is_written() {
    let (guest, mut queues, wire) = machine();
    let chain = [readable(BUFFERS, HEADER), readable(PRIVATE.start, 64)];
    queues[1].offer(&guest, &chain);
    guest.kick(&queues[1]);
    guest.wait_for_reset_request();
    wire.set_nonblocking(true).unwrap();
    assert!(wire.recv(&mut [0; 100]).is_err(), "private memory was sent");

    let mut queues = guest.start(0);
    wire.send(&frame(64)).unwrap();
    queues[0].offer(&guest, &[writable(BUFFERS, HEADER), writable(PRIVATE.start, 64)]);
    guest.kick(&queues[0]);
    eventually("the refusal", || guest.device.gate().refusals() == 2);
    assert_eq!(guest.bytes(PRIVATE.start, 64), [0; 64]);
}
