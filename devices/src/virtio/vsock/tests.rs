use super::flow::BUFFER;
use super::packet::{HOST_CID, NO_RECEIVE, NO_SEND, STREAM};
use super::*;
use crate::virtio::harness::{BUFFERS, DriverQueue, Guest, PRIVATE, readable, writable};
use crate::virtio::socket;
use proptest::prelude::*;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;
use tempfile::{TempDir, tempdir};

const CID: u64 = 42;
const RECEIVE: u64 = BUFFERS;
const SEND: u64 = BUFFERS + 0x10_0000;
/// What the guest says that it holds.
const ROOM: u32 = 8192;

/// A guest's end, packet by packet.
struct Machine {
    guest: Guest,
    queues: Vec<DriverQueue>,
    directory: TempDir,
    forwarded: u32,
}

fn machine() -> Machine {
    let directory = tempdir().unwrap();
    let device = Vsock::new(CID, &directory.path().join("v")).unwrap();
    let (guest, queues) = Guest::started(device, 0);
    Machine { guest, queues, directory, forwarded: 0 }
}

impl Machine {
    fn path(&self, end: &str) -> PathBuf {
        self.directory.path().join(format!("v{end}"))
    }

    fn header(&self, guest: u32, host: u32, op: u16) -> Header {
        Header {
            src_cid: CID,
            dst_cid: HOST_CID,
            src_port: guest,
            dst_port: host,
            kind: STREAM,
            op,
            buf_alloc: ROOM,
            fwd_cnt: self.forwarded,
            ..Header::default()
        }
    }

    fn send(&mut self, header: Header, data: &[u8]) {
        self.guest.fill(SEND, &header.encode());
        self.guest.fill(SEND + HEADER as u64, data);
        let chain = [readable(SEND, HEADER), readable(SEND + HEADER as u64, data.len())];
        self.guest.round_trip(&mut self.queues[1], &chain);
    }

    fn send_op(&mut self, guest: u32, host: u32, op: u16) {
        self.send(self.header(guest, host, op), &[]);
    }

    fn send_data(&mut self, guest: u32, host: u32, data: &[u8]) {
        let header = Header { len: data.len() as u32, ..self.header(guest, host, op::RW) };
        self.send(header, data);
    }

    /// The next packet for the guest, into a buffer like Linux's.
    fn receive(&mut self) -> (Header, Vec<u8>) {
        let length = self.guest.round_trip(&mut self.queues[0], &[writable(RECEIVE, 4096)]);
        let header = self.guest.bytes(RECEIVE, HEADER).try_into().unwrap();
        let header = Header::decode(&header);
        assert_eq!(length, HEADER as u32 + header.len);
        assert_eq!((header.src_cid, header.dst_cid, header.kind), (HOST_CID, CID, STREAM));
        (header, self.guest.bytes(RECEIVE + HEADER as u64, header.len as usize))
    }

    fn receive_op(&mut self) -> (u16, u32, u32) {
        let (header, data) = self.receive();
        assert!(data.is_empty(), "{header:?} with data");
        (header.op, header.dst_port, header.src_port)
    }

    /// The guest connects to a listener of the host's.
    fn connected(&mut self, guest: u32, host: u32) -> UnixStream {
        let listener = UnixListener::bind(self.path(&format!("_{host}"))).unwrap();
        self.send_op(guest, host, op::REQUEST);
        let (header, _) = self.receive();
        assert_eq!((header.op, header.dst_port, header.src_port), (op::RESPONSE, guest, host));
        assert_eq!(header.buf_alloc, BUFFER);
        let stream = listener.accept().unwrap().0;
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }
}

#[test]
fn the_guest_reaches_a_listener_of_the_hosts_and_bytes_flow() {
    let mut machine = machine();
    assert_eq!(machine.guest.read_config::<8>(0), CID.to_le_bytes());
    let mut host = machine.connected(1000, 52);
    machine.send_data(1000, 52, b"from the guest");
    let mut seen = [0; 14];
    host.read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"from the guest");
    host.write_all(b"from the host").unwrap();
    let (header, data) = machine.receive();
    assert_eq!((header.op, &data[..]), (op::RW, &b"from the host"[..]));
    assert_eq!(header.fwd_cnt, 14);
}

#[test]
fn a_client_of_the_hosts_reaches_the_guest_by_port() {
    let mut machine = machine();
    let mut client = UnixStream::connect(machine.path("")).unwrap();
    // In pieces, and with the first bytes of the stream behind it.
    client.write_all(b"CONN").unwrap();
    client.write_all(b"ECT 7\nhello").unwrap();
    let (asked, guest, host) = machine.receive_op();
    assert_eq!((asked, guest), (op::REQUEST, 7));
    machine.send_op(7, host, op::RESPONSE);
    let (header, data) = machine.receive();
    assert_eq!((header.op, &data[..]), (op::RW, &b"hello"[..]));
    machine.send_data(7, host, b"welcome");
    let expected = format!("OK {host}\nwelcome");
    let mut seen = vec![0; expected.len()];
    client.read_exact(&mut seen).unwrap();
    assert_eq!(seen, expected.as_bytes());
    // A second client has another port of its own.
    let mut second = UnixStream::connect(machine.path("")).unwrap();
    second.write_all(b"CONNECT 7\n").unwrap();
    let (asked, _, other) = machine.receive_op();
    assert_eq!(asked, op::REQUEST);
    assert_ne!(other, host);
    machine.send_op(7, other, op::RST);
    assert_eq!(second.read(&mut [0; 8]).unwrap(), 0, "a client that was refused is told");
}

#[test]
fn a_client_that_does_not_greet_is_shown_the_door() {
    let machine = machine();
    for words in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"CONNECT \n",
        b"CONNECT 4294967296\n",
        b"CONNECT -1\n",
        &[b'x'; 64],
    ] {
        let mut client = UnixStream::connect(machine.path("")).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        client.write_all(words).unwrap();
        // Closed with its bytes unread is a reset, closed without is an end.
        assert!(matches!(client.read(&mut [0; 8]), Ok(0) | Err(_)), "{words:?}");
    }
}

#[test]
fn a_port_where_nobody_listens_is_refused() {
    let mut machine = machine();
    machine.send_op(1, 99, op::REQUEST);
    assert_eq!(machine.receive_op(), (op::RST, 1, 99));
}

#[test]
fn no_more_is_sent_to_the_guest_than_it_holds() {
    let mut machine = machine();
    let mut host = machine.connected(1, 2);
    let sent: Vec<u8> = (0..40_000).map(|at| (at % 241) as u8).collect();
    host.write_all(&sent).unwrap();
    let mut seen = Vec::new();
    while seen.len() < ROOM as usize {
        let (header, data) = machine.receive();
        assert_eq!(header.op, op::RW);
        seen.extend(data);
    }
    assert_eq!(seen.len(), ROOM as usize, "more than the guest holds");
    machine.queues[0].offer(&machine.guest, &[writable(RECEIVE, 4096)]);
    machine.guest.kick(&machine.queues[0]);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(machine.queues[0].poll(&machine.guest), None);
    // The guest's program has read a byte.
    machine.forwarded = 1;
    machine.send_op(1, 2, op::CREDIT_UPDATE);
    let (_, length) = machine.queues[0].wait(&machine.guest);
    assert_eq!(length, HEADER as u32 + 1);
    seen.extend(machine.guest.bytes(RECEIVE + HEADER as u64, 1));
    while seen.len() < sent.len() {
        machine.forwarded = seen.len() as u32;
        machine.send_op(1, 2, op::CREDIT_UPDATE);
        seen.extend(machine.receive().1);
    }
    assert!(seen == sent);
}

#[test]
fn a_guest_may_send_what_is_held_and_no_more() {
    let mut machine = machine();
    let mut host = machine.connected(1, 2);
    // The socket itself takes some too, before the device has to hold.
    let piece = vec![0x3c; 32 << 10];
    let mut sent = 0;
    loop {
        machine.send_data(1, 2, &piece);
        sent += piece.len();
        machine.send_op(1, 2, op::CREDIT_REQUEST);
        let mut told = machine.receive().0;
        while told.op == op::CREDIT_UPDATE && machine.queues[0].poll(&machine.guest).is_some() {
            told = machine.receive().0;
        }
        assert_eq!(told.op, op::CREDIT_UPDATE);
        if sent as u32 - told.fwd_cnt > BUFFER - piece.len() as u32 {
            break;
        }
        assert!(sent < 64 << 20, "the socket never fills");
    }
    // More than it has said that it holds.
    machine.send_data(1, 2, &piece);
    let answer = loop {
        let answer = machine.receive_op();
        if answer.0 != op::CREDIT_UPDATE {
            break answer;
        }
    };
    assert_eq!(answer, (op::RST, 1, 2));
    let mut seen = Vec::new();
    let _ = host.read_to_end(&mut seen);
    assert!(seen.len() <= sent && seen.iter().all(|byte| *byte == 0x3c));
}

#[test]
fn each_way_closes_by_itself() {
    let mut machine = machine();
    let mut host = machine.connected(1, 2);
    machine.send_data(1, 2, b"last words");
    machine.send(Header { flags: NO_SEND, ..machine.header(1, 2, op::SHUTDOWN) }, &[]);
    let mut seen = Vec::new();
    host.read_to_end(&mut seen).unwrap();
    assert_eq!(seen, b"last words");
    host.write_all(b"and mine").unwrap();
    drop(host);
    assert_eq!(machine.receive().1, b"and mine");
    let (header, _) = machine.receive();
    assert_eq!((header.op, header.flags), (op::SHUTDOWN, NO_SEND));
    let both = Header { flags: NO_SEND | NO_RECEIVE, ..machine.header(1, 2, op::SHUTDOWN) };
    machine.send(both, &[]);
    assert_eq!(machine.receive_op(), (op::RST, 1, 2));
}

#[test]
fn packets_of_no_stream_are_answered_with_a_reset_and_a_reset_with_nothing() {
    let mut machine = machine();
    for op in [op::RESPONSE, op::RW, op::SHUTDOWN, op::CREDIT_UPDATE, op::CREDIT_REQUEST, 0, 77] {
        machine.send_op(5, 6, op);
        assert_eq!(machine.receive_op(), (op::RST, 5, 6), "{op}");
    }
    machine.send_op(5, 6, op::RST);
    // Of somebody else's.
    machine.send(Header { src_cid: 43, ..machine.header(5, 6, op::RW) }, &[]);
    machine.send_op(8, 9, op::RW);
    assert_eq!(machine.receive_op(), (op::RST, 8, 9));
}

#[test]
fn a_packet_out_of_place_ends_its_stream() {
    for op in [op::REQUEST, op::RESPONSE, 0, 77] {
        let mut machine = machine();
        let mut host = machine.connected(1, 2);
        machine.send_op(1, 2, op);
        assert_eq!(machine.receive_op(), (op::RST, 1, 2), "{op}");
        assert_eq!(host.read(&mut [0; 1]).unwrap(), 0);
    }
}

#[test]
fn the_streams_of_one_driver_are_not_the_nexts() {
    let mut machine = machine();
    let mut host = machine.connected(1, 2);
    machine.queues = machine.guest.start(0);
    assert_eq!(host.read(&mut [0; 1]).unwrap(), 0);
    machine.send_data(1, 2, b"?");
    assert_eq!(machine.receive_op(), (op::RST, 1, 2));
}

#[test]
fn a_guest_that_takes_nothing_makes_the_device_hold_little() {
    let mut machine = machine();
    let header = machine.header(5, 6, op::RW);
    machine.guest.fill(SEND, &header.encode());
    for _ in 0..128 {
        machine.queues[1].offer(&machine.guest, &[readable(SEND, HEADER)]);
    }
    machine.guest.kick(&machine.queues[1]);
    // The first comes back for certain; that no more do is seen after a pause without any.
    let mut taken = 0;
    while taken == 0 || machine.queues[1].poll(&machine.guest).is_some() {
        machine.queues[1].wait(&machine.guest);
        taken += 1;
        if machine.queues[1].poll(&machine.guest).is_none() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    assert!((1..128).contains(&taken), "{taken} resets are held");
    for _ in 0..128 {
        assert_eq!(machine.receive_op(), (op::RST, 5, 6));
    }
}

#[test]
fn private_memory_does_not_reach_the_hosts_end() {
    let mut machine = machine();
    let mut host = machine.connected(1, 2);
    let header = Header { len: 64, ..machine.header(1, 2, op::RW) };
    machine.guest.fill(SEND, &header.encode());
    let chain = [readable(SEND, HEADER), readable(PRIVATE.start, 64)];
    machine.queues[1].offer(&machine.guest, &chain);
    machine.guest.kick(&machine.queues[1]);
    machine.guest.wait_for_reset_request();
    host.set_nonblocking(true).unwrap();
    assert!(host.read(&mut [0; 64]).is_err());
}

#[test]
fn ids_and_sockets_that_cannot_be_are_refused() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("v");
    for cid in [0, 1, 2, u64::from(u32::MAX), 1 << 32] {
        assert!(matches!(Vsock::new(cid, &path), Err(host::Error::Cid(_))), "{cid}");
    }
    let first = Vsock::new(3, &path).unwrap();
    assert!(matches!(Vsock::new(3, &path), Err(host::Error::Socket(socket::Error::Exists(_)))));
    drop(first);
    assert!(!path.exists(), "the socket is left behind");
    let nowhere = directory.path().join("no/v");
    assert!(matches!(Vsock::new(3, &nowhere), Err(host::Error::Socket(socket::Error::Listen(..)))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whatever packets come, a new stream works.
    #[test]
    fn arbitrary_packets_break_nothing(
        packets in prop::collection::vec(
            (0u32..3, 0u32..3, 0u16..9, 0u32..5000, any::<(u32, u32, u32)>()), 1..60)
    ) {
        let mut machine = machine();
        let _host = machine.connected(1, 2);
        for (guest, host, op, len, (flags, buf_alloc, fwd_cnt)) in packets {
            let header = machine.header(guest, host, op);
            let header = Header { len, flags, buf_alloc, fwd_cnt, ..header };
            machine.guest.fill(SEND, &header.encode());
            machine.queues[1].offer(&machine.guest, &[readable(SEND, HEADER + 2500)]);
            machine.queues[0].offer(&machine.guest, &[writable(RECEIVE, 4096)]);
            machine.guest.kick(&machine.queues[1]);
            machine.guest.kick(&machine.queues[0]);
        }
        machine.queues = machine.guest.start(0);
        let mut host = machine.connected(3, 4);
        machine.send_data(3, 4, b"still here");
        let mut seen = [0; 10];
        host.read_exact(&mut seen).unwrap();
        prop_assert_eq!(&seen, b"still here");
    }
}

#[test]
fn many_bytes_go_through_many_streams_both_ways() {
    let mut machine = machine();
    let mut hosts: Vec<_> = (0..8).map(|at| machine.connected(100 + at, 200 + at)).collect();
    for round in 0..50u8 {
        for (at, host) in (0..).zip(&mut hosts) {
            machine.forwarded = 0;
            let bytes = vec![round ^ at as u8; 3000];
            machine.send_data(100 + at, 200 + at, &bytes);
            let mut seen = vec![0; 3000];
            host.read_exact(&mut seen).unwrap();
            assert_eq!(seen, bytes);
        }
    }
}
