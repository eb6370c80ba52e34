//! `ravelin gpu-server` as a process, spoken to over loopback TCP: sessions on every transport,
//! nonsense, and its end.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

use ravelin_spdm::transport::carrier::Transport;
use ravelin_spdm::transport::socket::{Command as Frame, HEADER_SIZE, encode};
use ravelin_spdm::version::Version;
use ravelin_spdm::{Message, message::code};
use ravelin_spdm_tool::connection::{Carried, Connection, name};
use ravelin_spdm_tool::conversation::{self, Direction, Learned, Listener, Request};
use ravelin_spdm_tool::question::Versions;
use ravelin_spdm_tool::trust::Root;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const TRANSPORTS: [Transport; 3] = [Transport::Doe, Transport::Mctp, Transport::None];
const PATIENCE: Duration = Duration::from_secs(20);

/// A server, killed when dropped.
struct Server {
    child: Child,
    address: String,
    transport: Transport,
}

impl Server {
    fn start(transport: Transport, arguments: &[&str]) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ravelin"))
            .args(["gpu-server", "--spdm-listen", "127.0.0.1:0", "--transport", name(transport)])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.strip_prefix("listening on ").and_then(|rest| rest.split(' ').next());
        let address = address.unwrap_or_else(|| panic!("{line:?}")).to_owned();
        assert_eq!(line.trim_end(), format!("listening on {address} ({})", name(transport)));
        Server { child, address, transport }
    }

    fn stream(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn connect(&self) -> Connection<TcpStream> {
        Connection::open(&self.address, self.transport).unwrap()
    }

    /// A signal, and the exit code that it brings.
    fn end_by(mut self, signal: &str) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("{signal} does not end the server");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Counts messages.
#[derive(Default)]
struct Count(usize);

impl Listener for Count {
    fn carried(&mut self, _: &Carried) {}
    fn message(&mut self, _: Direction, _: &Message) {
        self.0 += 1;
    }
    fn opened(&mut self, _: Direction, _: &[u8]) {}
}

/// Nothing but what is always asked.
fn plain() -> Request {
    let versions = Versions(Version::NEGOTIABLE.to_vec());
    Request { versions, slot: 0, before: Vec::new(), asks: Vec::new() }
}

fn session(connection: &mut Connection<TcpStream>) -> (Learned, usize) {
    hold(connection, &plain())
}

fn hold(connection: &mut Connection<TcpStream>, request: &Request) -> (Learned, usize) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let root = Root::development(now).unwrap();
    let mut count = Count::default();
    let learned = conversation::hold(connection, request, &root, &mut count).unwrap();
    (learned, count.0)
}

#[test]
fn a_full_session_in_every_version_on_every_transport() {
    let before = ["challenge", "measurements=count", "measurements=all,signed"];
    let asks =
        ["heartbeat", "update-key", "update-all-keys", "measurements=6", "measurements,signed"];
    for transport in TRANSPORTS {
        let server = Server::start(transport, &[]);
        for version in Version::NEGOTIABLE {
            let request = Request {
                versions: Versions(vec![version]),
                before: before.iter().map(|text| text.parse().unwrap()).collect(),
                asks: asks.iter().map(|text| text.parse().unwrap()).collect(),
                ..plain()
            };
            let (learned, _) = hold(&mut server.connect(), &request);
            assert_eq!(learned.version, version);
            assert_eq!(learned.answers.len(), before.len() + asks.len(), "{version:?}");
            let last = learned.answers.last().and_then(|answer| answer.measurements.as_ref());
            assert_eq!(last.map(|told| told.blocks.clone()), Some(learned.measurements));
        }
    }
}

#[test]
fn one_connection_after_another_and_one_session_after_another() {
    for transport in TRANSPORTS {
        let server = Server::start(transport, &[]);
        let mut first = None;
        for _ in 0..2 {
            let mut connection = server.connect();
            // GET_VERSION may come again on the same connection.
            for _ in 0..2 {
                let (learned, _) = session(&mut connection);
                assert_eq!(learned.measurements.len(), 7);
                // One boot, one attestation key.
                let chain = first.get_or_insert_with(|| learned.chain.clone());
                assert_eq!(*chain, learned.chain);
            }
            connection.part(true);
        }
        // One who just goes, in the middle of a frame, is not waited for.
        server.stream().write_all(&[0; HEADER_SIZE - 1]).unwrap();
        session(&mut server.connect());
    }
}

#[test]
fn who_waits_is_served_when_the_one_before_has_gone() {
    let server = Server::start(Transport::Mctp, &[]);
    let before = server.stream();
    let mut connection = server.connect();
    let waiting = std::thread::spawn(move || session(&mut connection).1);
    std::thread::sleep(Duration::from_millis(100));
    assert!(!waiting.is_finished(), "two are spoken to at once");
    drop(before);
    assert!(waiting.join().unwrap() > 0);
}

#[test]
fn nonsense_is_answered_and_the_connection_goes_on() {
    for transport in TRANSPORTS {
        let server = Server::start(transport, &[]);
        let mut stream = server.stream();
        for payload in [&[][..], &[0xff; 3], &[0; 4096], b"GET / HTTP/1.1\r\n\r\n"] {
            stream.write_all(&encode(Frame::Normal, transport, payload).unwrap()).unwrap();
            let mut header = [0; HEADER_SIZE];
            stream.read_exact(&mut header).unwrap();
            assert_eq!(header[..8], encode(Frame::Normal, transport, &[]).unwrap()[..8]);
            let mut answer = vec![0; header[11].into()];
            stream.read_exact(&mut answer).unwrap();
            assert!(answer.contains(&code::ERROR), "{answer:x?} is no ERROR");
        }
        session(&mut Connection::over(stream, transport));
    }
}

#[test]
fn a_frame_of_any_length_takes_little_memory() {
    let server = Server::start(Transport::Doe, &["--gpu", "apm,memory=8MiB"]);
    let resident = || {
        let status = fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = resident();
    let mut stream = server.stream();
    let size = 256_u32 << 20;
    stream.write_all(&[0, 0, 0, 1, 0, 0, 0, 2]).unwrap();
    stream.write_all(&size.to_be_bytes()).unwrap();
    let piece = vec![1; 1 << 20];
    for _ in 0..256 {
        stream.write_all(&piece).unwrap();
    }
    let mut answer = [0; HEADER_SIZE + 12];
    stream.read_exact(&mut answer).unwrap();
    // ERROR, InvalidRequest: before a version is agreed there is no code for what is too large.
    assert_eq!(answer[HEADER_SIZE + 9..][..2], [code::ERROR, 0x01]);
    let grown = resident() - before;
    assert!(grown < 8 << 10, "{grown} KiB for a frame of {size} bytes");
    session(&mut Connection::over(stream, Transport::Doe));
}

#[test]
fn shutdown_is_answered_before_the_connection_closes() {
    let server = Server::start(Transport::Doe, &[]);
    // With more behind it that nobody will read.
    let mut stream = server.stream();
    let shutdown = encode(Frame::Shutdown, Transport::Doe, &[]).unwrap();
    stream.write_all(&[shutdown.as_slice(), &[7; 20_000]].concat()).unwrap();
    let mut answer = vec![0; HEADER_SIZE];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, shutdown);
    match stream.read(&mut answer) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("{other:?} after the end"),
    }
    drop(stream);
    session(&mut server.connect());
}

#[test]
fn the_servers_capture_is_the_conversation() {
    let directory = tempfile::tempdir().unwrap();
    for transport in TRANSPORTS {
        let path = directory.path().join(name(transport));
        let server = Server::start(transport, &["--pcap", path.to_str().unwrap()]);
        let (_, messages) = session(&mut server.connect());
        // Whatever was answered is in the file, even now.
        let (_, payloads) =
            ravelin_spdm_capture::read(fs::read(&path).unwrap().as_slice()).unwrap();
        let discovery = if transport == Transport::Doe { 6 } else { 0 };
        assert_eq!(payloads.len(), messages + discovery);
        assert_eq!(server.end_by("-INT"), Some(130));
    }
}

#[test]
fn signals_end_it_whoever_is_connected() {
    for (signal, exit) in [("-INT", 130), ("-TERM", 143), ("-HUP", 143)] {
        let server = Server::start(Transport::Doe, &[]);
        let mut stream = server.stream();
        stream.write_all(&[0; 5]).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(server.end_by(signal), Some(exit), "{signal}");
        assert!(matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_)));
    }
}

#[test]
fn what_cannot_be_served_has_an_exit_code_of_its_own() {
    let server = Server::start(Transport::Doe, &[]);
    for (arguments, exit, advice) in [
        (&["--spdm-listen", &server.address][..], 40, "choose another port"),
        (&["--spdm-listen", "127.0.0.1:0", "--pcap", "/nonexistent/x"], 41, "choose a file"),
        (
            &["--spdm-listen", "127.0.0.1:0", "--gpu", "h100"],
            9,
            "the kinds of GPU are apm and vfio",
        ),
        (&["--spdm-listen", "127.0.0.1:0", "--gpu", "vfio=0000:01:00.0"], 9, "only the model"),
        (&["--spdm-listen", "nowhere"], 2, "invalid socket address"),
        (&["--spdm-listen", "127.0.0.1:0", "--transport", "tcp"], 2, "doe, mctp, none"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ravelin"));
        let output = command.arg("gpu-server").args(arguments).output().unwrap();
        let line = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{line}");
        assert!(line.starts_with("error: ") && line.contains(advice), "{line}");
        assert_eq!(line.trim_end().lines().count(), 1, "{line}");
        assert!(output.stdout.is_empty());
    }
}
