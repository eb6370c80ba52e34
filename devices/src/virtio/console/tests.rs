use super::*;
use crate::virtio::harness::{
    BUFFERS, DriverQueue, Guest, PRIVATE, eventually, readable, writable,
};
use std::path::PathBuf;
use tempfile::{TempDir, tempdir};

fn machine() -> (Guest, Vec<DriverQueue>, UnixStream) {
    let (guest, queues, path, _directory) = listening();
    (guest, queues, UnixStream::connect(path).unwrap())
}

fn listening() -> (Guest, Vec<DriverQueue>, PathBuf, TempDir) {
    let directory = tempdir().unwrap();
    let path = directory.path().join("hvc0");
    let (guest, queues) = Guest::started(Console::listen(&path).unwrap(), 0);
    (guest, queues, path, directory)
}

#[test]
fn what_is_typed_arrives_and_what_is_printed_comes_out() {
    let (guest, mut queues, mut host) = machine();
    let head = queues[0].offer(&guest, &[writable(BUFFERS, 100)]);
    guest.kick(&queues[0]);
    host.write_all(b"ls\n").unwrap();
    assert_eq!(queues[0].wait(&guest), (head, 3));
    assert_eq!(guest.bytes(BUFFERS, 3), b"ls\n");
    guest.fill(BUFFERS, b"bin dev");
    guest.round_trip(&mut queues[1], &[readable(BUFFERS, 4), readable(BUFFERS + 4, 3)]);
    let mut printed = [0; 7];
    host.read_exact(&mut printed).unwrap();
    assert_eq!(&printed, b"bin dev");
}

#[test]
fn what_is_typed_before_there_is_room_waits_for_it() {
    let (guest, mut queues, mut host) = machine();
    let typed: Vec<u8> = (0..10_000).map(|at| (at % 251) as u8).collect();
    host.write_all(&typed).unwrap();
    let mut arrived = Vec::new();
    while arrived.len() < typed.len() {
        let length = guest.round_trip(&mut queues[0], &[writable(BUFFERS, 777)]);
        arrived.extend(guest.bytes(BUFFERS, length as usize));
    }
    assert_eq!(arrived, typed);
}

#[test]
fn a_reader_that_is_slow_gets_every_byte() {
    let (guest, mut queues, mut host) = machine();
    let length = 1 << 20;
    let printed: Vec<u8> = (0..length).map(|at| (at % 253) as u8).collect();
    guest.fill(BUFFERS, &printed);
    let head = queues[1].offer(&guest, &[readable(BUFFERS, length)]);
    guest.kick(&queues[1]);
    std::thread::sleep(std::time::Duration::from_millis(30));
    assert_eq!(queues[1].poll(&guest), None, "the socket took a mebibyte at once");
    let mut seen = vec![0; length];
    host.read_exact(&mut seen).unwrap();
    assert!(seen == printed);
    assert_eq!(queues[1].wait(&guest), (head, 0));
}

#[test]
fn one_client_follows_another() {
    let (guest, mut queues, path, _directory) = listening();
    guest.fill(BUFFERS, b"boot!");
    guest.round_trip(&mut queues[1], &[readable(BUFFERS, 5)]);
    for (typed, printed) in [(b"first", b"hello"), (b"other", b"again")] {
        let mut client = UnixStream::connect(&path).unwrap();
        let head = queues[0].offer(&guest, &[writable(BUFFERS, 100)]);
        guest.kick(&queues[0]);
        client.write_all(typed).unwrap();
        assert_eq!(queues[0].wait(&guest), (head, 5));
        assert_eq!(guest.bytes(BUFFERS, 5), typed);
        guest.fill(BUFFERS, printed);
        guest.round_trip(&mut queues[1], &[readable(BUFFERS, 5)]);
        let mut seen = [0; 5];
        client.read_exact(&mut seen).unwrap();
        assert_eq!(&seen, printed, "what was printed before there was a client came too");
    }
}

#[test]
fn nobody_at_the_other_end_stops_nothing() {
    let (guest, mut queues, host) = machine();
    drop(host);
    for _ in 0..100 {
        guest.round_trip(&mut queues[1], &[readable(BUFFERS, 4096)]);
    }
}

#[test]
fn a_reset_forgets_the_chain_that_waits_for_the_reader() {
    let (guest, mut queues, mut host) = machine();
    queues[1].offer(&guest, &[readable(BUFFERS, 1 << 20)]);
    guest.kick(&queues[1]);
    eventually("output", || host.peek_something());
    let mut queues = guest.start(0);
    assert_eq!(queues[1].poll(&guest), None);
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        host.read_to_end(&mut all).unwrap();
        all
    });
    guest.fill(BUFFERS, b"new driver");
    guest.round_trip(&mut queues[1], &[readable(BUFFERS, 10)]);
    drop(guest);
    assert!(reader.join().unwrap().ends_with(b"new driver"));
}

trait Peek {
    fn peek_something(&self) -> bool;
}

impl Peek for UnixStream {
    fn peek_something(&self) -> bool {
        rustix::io::ioctl_fionread(self).unwrap() > 0
    }
}

#[test]
fn private_memory_is_neither_printed_nor_typed_into() {
    for (index, chain) in [(0, writable(PRIVATE.start, 16)), (1, readable(PRIVATE.start, 16))] {
        let (guest, mut queues, mut host) = machine();
        host.write_all(b"typed").unwrap();
        queues[index].offer(&guest, &[chain]);
        guest.kick(&queues[index]);
        guest.wait_for_reset_request();
        assert_eq!(guest.device.gate().refusals(), 1);
        assert_eq!(rustix::io::ioctl_fionread(&host).unwrap(), 0);
        assert_eq!(guest.bytes(PRIVATE.start, 16), [0; 16]);
    }
}
