//! The requester against the GPU model over loopback TCP: every transport, every way it may end.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::thread;

use ravelin_gpu_model::{
    DmaFault, FirmwareSet, Gpu, GpuConfig, HostMemory, Interrupts, SpdmSocket, SpdmTransport,
};
use ravelin_spdm_capture::LinkType;

const TRANSPORTS: [(&str, SpdmTransport, LinkType); 3] = [
    ("doe", SpdmTransport::Doe, LinkType::Doe),
    ("mctp", SpdmTransport::Mctp, LinkType::Mctp),
    ("none", SpdmTransport::None, LinkType::Plain),
];

const VERSIONS: [&str; 3] = ["1.1", "1.2", "1.3"];

/// Everything that may be asked besides.
const EVERYTHING: [&str; 18] = [
    "--before",
    "challenge",
    "--before",
    "measurements=count",
    "--before",
    "measurements=1",
    "--before",
    "measurements=all,signed",
    "--ask",
    "heartbeat",
    "--ask",
    "update-key",
    "--ask",
    "update-all-keys",
    "--ask",
    "measurements=6",
    "--ask",
    "measurements=all,signed",
];

struct NoHost;

impl HostMemory for NoHost {
    fn read(&self, _: u64, _: &mut [u8]) -> Result<(), DmaFault> {
        Err(DmaFault::OutOfRange)
    }

    fn write(&self, _: u64, _: &[u8]) -> Result<(), DmaFault> {
        Err(DmaFault::OutOfRange)
    }
}

impl Interrupts for NoHost {
    fn raise(&self, _: u16) {}
}

/// Serves one connection after another with what `serve` makes of it.
fn listen(serve: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().for_each(|stream| serve(stream.unwrap())));
    address
}

/// A GPU that speaks over this transport; `tamper` may change each frame that it answers with.
fn gpu(
    transport: SpdmTransport,
    tamper: impl Fn(usize, Vec<u8>) -> Vec<u8> + Send + 'static,
) -> SocketAddr {
    let config = GpuConfig {
        memory: 32 << 20,
        mode: ravelin_gpu_abi::registers::Mode::On,
        serial: 1,
        identity: None,
        firmware: FirmwareSet::current(),
    };
    let gpu = Gpu::power_on(config, Arc::new(NoHost), Arc::new(NoHost)).unwrap();
    listen(move |mut stream| {
        let mut socket = SpdmSocket::new(gpu.spdm_port(transport));
        let mut buffer = vec![0; 4096];
        let mut frames = 0;
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            let mut input = &buffer[..length];
            while let Some(served) = socket.receive(&mut input) {
                if stream.write_all(&tamper(frames, served.frame)).is_err() || served.last {
                    return;
                }
                frames += 1;
            }
        }
    })
}

fn honest(transport: SpdmTransport) -> SocketAddr {
    gpu(transport, |_, frame| frame)
}

fn spdm(address: SocketAddr, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ravelin-spdm"))
        .args(["--connect", &address.to_string()])
        .args(arguments)
        .output()
        .unwrap()
}

/// Checks exit code and stable code, and gives the report.
fn ends(output: &Output, exit: i32, code: &str) -> serde_json::Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let aside = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{text}{aside}");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["schema"], "ravelin.spdm/1");
    assert_eq!(report["result"], code, "{aside}");
    assert_eq!(report["trusted"], code == "ok");
    report
}

#[test]
fn a_session_with_a_trusted_gpu_on_every_transport() {
    for (name, transport, _) in TRANSPORTS {
        let address = honest(transport);
        // Twice: the responder takes one connection after another.
        for parting in [&["--leave-running"][..], &[]] {
            let arguments = [&["--transport", name, "--json"], parting].concat();
            let report = ends(&spdm(address, &arguments), 0, "ok");
            assert_eq!(report["transport"], name);
            assert_eq!(report["certificates"].as_array().unwrap().len(), 3);
            let measurements = report["measurements"].as_array().unwrap();
            assert_eq!(measurements.len(), 7);
            assert_eq!(measurements[0]["type"], "immutable-rom");
            assert_eq!(measurements[0]["digest"].as_str().unwrap().len(), 96);
            assert_eq!(measurements[6]["type"], "secure-version-number");
        }
    }
}

#[test]
fn everything_is_asked_in_every_version_on_every_transport() {
    for (name, transport, _) in TRANSPORTS {
        let address = honest(transport);
        for version in VERSIONS {
            let arguments =
                [&["--transport", name, "--json", "--version", version][..], &EVERYTHING].concat();
            let report = ends(&spdm(address, &arguments), 0, "ok");
            assert_eq!(report["version"], version);
            let answers = report["answers"].as_array().unwrap();
            let asked: Vec<_> = EVERYTHING.iter().skip(1).step_by(2).collect();
            let questions: Vec<_> = answers.iter().map(|answer| &answer["question"]).collect();
            assert_eq!(questions, asked, "{version} over {name}");
            assert_eq!(answers[1]["count"], 7);
            assert_eq!(answers[2]["measurements"].as_array().unwrap().len(), 1);
            assert_eq!(answers[3]["when"], "before");
            assert_eq!(answers[3]["measurements"], report["measurements"]);
            assert_eq!(answers[8]["when"], "in-session");
            assert_eq!(answers[8]["measurements"], report["measurements"]);
        }
    }
}

#[test]
fn the_highest_version_of_a_range_is_spoken_and_1_1_only_if_asked_for() {
    let address = honest(SpdmTransport::Mctp);
    let version = |arguments: &[&str]| {
        let arguments = [&["--transport", "mctp", "--json"], arguments].concat();
        ends(&spdm(address, &arguments), 0, "ok")["version"].clone()
    };
    assert_eq!(version(&[]), "1.3");
    assert_eq!(version(&["--version", "1.1-1.2"]), "1.2");
    assert_eq!(version(&["--version", "1.1"]), "1.1");
    // A responder that speaks nothing newer is not taken at 1.1 unasked.
    let old = gpu(SpdmTransport::Mctp, |number, mut frame| {
        if number == 1 {
            // VERSION's entries.
            let entries = frame.len() - 6;
            frame[entries..].copy_from_slice(&[0x00, 0x10, 0x00, 0x11, 0x00, 0x11]);
        }
        frame
    });
    let report = ends(&spdm(old, &["--transport", "mctp", "--json"]), 3, "no-common-version");
    assert!(report.get("version").is_none());
}

#[test]
fn the_development_root_may_be_given_by_name() {
    let address = honest(SpdmTransport::Mctp);
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../resources/reference-values/root.der");
    ends(&spdm(address, &["--transport", "mctp", "--json", "--root", root]), 0, "ok");
}

#[test]
fn a_gpu_of_another_maker_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("root.der");
    let other = ravelin_maker::Maker::from_seed([9; 48], "Ravelin").unwrap();
    std::fs::write(&path, other.root().certificate()).unwrap();
    for (name, transport, _) in TRANSPORTS {
        let address = honest(transport);
        let root = path.to_str().unwrap();
        for version in VERSIONS {
            let arguments = ["--transport", name, "--json", "--root", root, "--version", version];
            let report = ends(&spdm(address, &arguments), 2, "unknown-root");
            assert!(report.get("measurements").is_none(), "nothing is learned of a stranger");
        }
    }
}

#[test]
fn what_went_over_the_wire_is_in_the_capture() {
    let directory = tempfile::tempdir().unwrap();
    for (name, transport, link) in TRANSPORTS {
        let path = directory.path().join(name);
        let arguments = ["--transport", name, "--json", "--pcap", path.to_str().unwrap()];
        let report = ends(&spdm(honest(transport), &arguments), 0, "ok");
        let (found, payloads) = ravelin_spdm_capture::read(read(&path).as_slice()).unwrap();
        assert_eq!(found, link);
        // Three entries of the mailbox's list, each asked for and told.
        let discovery = if transport == SpdmTransport::Doe { 6 } else { 0 };
        assert_eq!(payloads.len(), discovery + report["messages"].as_u64().unwrap() as usize);
        let header = match transport {
            SpdmTransport::Doe => &[1, 0, 1, 0, 3, 0, 0, 0][..],
            SpdmTransport::Mctp => &[5],
            SpdmTransport::None => &[],
        };
        assert_eq!(payloads[discovery], [header, &[0x10, 0x84, 0, 0]].concat());
        // The last request is in a record.
        let last = &payloads[payloads.len() - 2];
        match transport {
            SpdmTransport::Doe => assert_eq!(last[2], 2),
            SpdmTransport::Mctp => assert_eq!(last[0], 6),
            SpdmTransport::None => {}
        }
    }
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[test]
fn each_message_is_explained_field_by_field() {
    for (name, transport, _) in TRANSPORTS {
        let output = spdm(honest(transport), &["--transport", name, "--explain"]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{text}");
        let mut from = 0;
        for expected in [
            "1 -> GET_VERSION, 4 bytes",
            "<- VERSION",
            "VersionNumberEntry",
            "-> GET_CAPABILITIES",
            "KEY_EX_CAP",
            "-> NEGOTIATE_ALGORITHMS",
            "ECDSA_P384",
            "secp384r1",
            "<- ALGORITHMS",
            "AES-256-GCM",
            "<- DIGESTS",
            "Digest[0]",
            "<- CERTIFICATE",
            "-> KEY_EXCHANGE",
            "ReqSessionID",
            "<- KEY_EXCHANGE_RSP",
            "MeasurementSummaryHash",
            "ResponderVerifyData",
            "-> record",
            "SessionID",
            "MAC",
            "-> in a record: GET_MEASUREMENTS",
            "<- in a record: MEASUREMENTS",
            "immutable-rom, digest",
            "secure-version-number, raw bits",
            "Signature",
            "trusted: 3 certificates",
        ] {
            let found = text[from..].find(expected);
            let found = found.unwrap_or_else(|| panic!("no {expected:?} after {from} in:\n{text}"));
            from += found + expected.len();
        }
        for bad in ["(more)", "breaks off", "without a name"] {
            assert!(!text.contains(bad), "{bad:?} in:\n{text}");
        }
    }
}

#[test]
fn what_is_asked_besides_is_explained_in_every_version() {
    for (name, transport, _) in TRANSPORTS {
        let address = honest(transport);
        for version in VERSIONS {
            let arguments =
                [&["--transport", name, "--explain", "--version", version][..], &EVERYTHING]
                    .concat();
            let output = spdm(address, &arguments);
            let text = String::from_utf8(output.stdout).unwrap();
            assert_eq!(output.status.code(), Some(0), "{text}");
            let mut from = 0;
            for expected in [
                "-> CHALLENGE",
                "<- CHALLENGE_AUTH",
                "-> GET_MEASUREMENTS",
                "-> KEY_EXCHANGE",
                "-> in a record: FINISH",
                "<- in a record: FINISH_RSP",
                "-> in a record: GET_MEASUREMENTS",
                "-> in a record: HEARTBEAT",
                "<- in a record: HEARTBEAT_ACK",
                "-> in a record: KEY_UPDATE",
                "UpdateKey",
                "VerifyNewKey",
                "UpdateAllKeys",
                "VerifyNewKey",
                "-> in a record: END_SESSION",
                "<- in a record: END_SESSION_ACK",
                "measurements=6 in the session: 1 told",
            ] {
                let found = text[from..].find(expected);
                let found = found.unwrap_or_else(|| panic!("no {expected:?} in:\n{text}"));
                from += found + expected.len();
            }
            for bad in ["(more)", "breaks off", "without a name"] {
                assert!(!text.contains(bad), "{version} over {name}: {bad:?} in:\n{text}");
            }
        }
    }
}

#[test]
fn every_answer_that_is_changed_costs_the_session() {
    for (name, transport, _) in TRANSPORTS {
        let frames = {
            let report = ends(&spdm(honest(transport), &["--transport", name, "--json"]), 0, "ok");
            report["messages"].as_u64().unwrap() as usize / 2
        };
        let before = match transport {
            SpdmTransport::Doe => 4,
            SpdmTransport::Mctp => 1,
            SpdmTransport::None => 0,
        };
        for changed in before..before + frames {
            let address = gpu(transport, move |number, mut frame| {
                if number == changed {
                    let last = frame.len() - 4;
                    frame[last] ^= 0x55;
                }
                frame
            });
            let output = spdm(address, &["--transport", name, "--json"]);
            assert!(
                matches!(output.status.code(), Some(2 | 3)),
                "answer {changed} over {name} may be changed: {}",
                String::from_utf8_lossy(&output.stdout)
            );
        }
    }
}

#[test]
fn a_responder_on_another_transport_is_named() {
    let address = honest(SpdmTransport::Mctp);
    let report = ends(&spdm(address, &["--transport", "doe", "--json"]), 3, "other-transport");
    assert!(report["problem"].as_str().unwrap().contains("--transport mctp"));
}

#[test]
fn who_is_no_responder_is_not_talked_to() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = silent.local_addr().unwrap();
    drop(silent);
    ends(&spdm(nobody, &["--json"]), 3, "no-connection");
    let closing = listen(drop);
    ends(&spdm(closing, &["--json"]), 3, "no-answer");
    let web = listen(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    ends(&spdm(web, &["--json"]), 3, "not-spdm");
    // Four gigabytes are announced, and not waited for.
    let boaster = listen(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(&[0, 0, 0xde, 0xad, 0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff]);
        let _ = stream.read(&mut [0; 1]);
    });
    ends(&spdm(boaster, &["--json"]), 3, "not-spdm");
    let endless = gpu(SpdmTransport::Doe, |number, mut frame| {
        if number > 0 {
            // The next entry's index.
            if let Some(next) = frame.last_mut() {
                *next = 1;
            }
        }
        frame
    });
    ends(&spdm(endless, &["--json"]), 3, "not-spdm");
}

#[test]
fn bad_arguments_say_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("root");
    std::fs::write(&path, "no certificate").unwrap();
    let path = path.to_str().unwrap();
    let address = honest(SpdmTransport::Doe);
    for (arguments, advice) in [
        (&["--root", "/nonexistent"][..], "cannot read the file"),
        (&["--root", path], "give an X.509 certificate"),
        (&["--pcap", "/nonexistent/x"], "choose a file"),
        (&["--transport", "pigeon"], "possible values: doe, mctp, none"),
        (&["--slot", "8"], "8 is not in 0..8"),
        (&["--version", "1.0"], "expected 1.1, 1.2 or 1.3"),
        (&["--before", "heartbeat"], "expected challenge"),
        (&["--ask", "measurements=0"], "expected heartbeat"),
    ] {
        let output = spdm(address, arguments);
        let line = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{line}");
        assert!(line.starts_with("error: ") && line.contains(advice), "{line}");
    }
}
