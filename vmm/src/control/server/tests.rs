//! Row 22: an admin client that sends anything gets a clean answer, and the VM does not notice.

use super::super::api::{
    GpuEvents, GpuInfo, GpuTelemetry, Gpus, ModeChosen, Refusal, ResetDone, VmInfo,
};
use super::super::client::{Client, Error};
use super::super::router::{MAX_BODY, OPENAPI};
use super::*;
use ravelin_devices::apm::ApmDevice;
use ravelin_devices::dma_gate::DmaGate;
use ravelin_devices::page_state::{PageState, PageStateMap};
use ravelin_devices::pci::msix::{MsiMessage, MsiSink};
use ravelin_gpu_abi::registers::Mode;
use ravelin_gpu_model::{FirmwareSet, GpuConfig};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::net;
use std::path::PathBuf;
use std::time::Instant;
use vm_memory::{GuestAddress, GuestMemoryMmap};

struct Ignored;

impl MsiSink for Ignored {
    fn signal(&self, _: MsiMessage) {}
}

/// A GPU and its API, without a VM.
struct Rig {
    _directory: tempfile::TempDir,
    socket: PathBuf,
    client: Client,
    gpu: Arc<ApmDevice>,
    _server: ControlServer,
}

fn rig() -> Rig {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("control.sock");
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 4096)]).unwrap();
    let pages = PageStateMap::new(std::iter::once(0..4096), PageState::Shared).unwrap();
    let gate = Arc::new(DmaGate::new("gpu0", Arc::new(pages), memory));
    let config = GpuConfig {
        memory: 8 << 20,
        mode: Mode::On,
        serial: 1,
        identity: None,
        firmware: FirmwareSet::current(),
    };
    let gpu = ApmDevice::new(config, gate, Arc::new(Ignored)).unwrap();
    let vm = VmInfo {
        name: "a".into(),
        pid: std::process::id(),
        version: "0".into(),
        platform: "none".into(),
        memory: 4096,
        workload: "idle".into(),
        uptime_us: 0,
        gpus: 1,
    };
    let subject = Subject { vm, since: Instant::now(), gpus: vec![gpu.clone()], log: None };
    let server = ControlServer::start(&socket, Arc::new(subject)).unwrap();
    let client = Client::new(&socket);
    Rig { _directory: directory, socket, client, gpu, _server: server }
}

impl Rig {
    fn resets(&self) -> u32 {
        self.gpu.gpu().admin().info().resets
    }

    /// Sends bytes as they are and returns the status and what follows the head.
    fn raw(&self, bytes: &[u8]) -> (u16, String) {
        let mut stream = net::UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // A server that has heard enough may close before everything is sent.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        (status, body.unwrap_or_default())
    }

    fn post(&self, path: &str, body: &[u8]) -> (u16, String) {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.raw(&[head.as_bytes(), body].concat())
    }

    fn refusal(&self, path: &str, body: &[u8]) -> (u16, String) {
        let (status, body) = self.post(path, body);
        let refusal: Refusal =
            serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
        assert!(!refusal.message.is_empty());
        (status, refusal.error)
    }
}

#[test]
fn the_operator_sees_the_vm_and_its_gpus() {
    let rig = rig();
    let vm: VmInfo = rig.client.get("/v1/vm").unwrap();
    assert_eq!((vm.name.as_str(), vm.gpus), ("a", 1));
    assert!(vm.uptime_us > 0);
    let gpus: Gpus = rig.client.get("/v1/gpus").unwrap();
    let gpu: GpuInfo = rig.client.get("/v1/gpus/0").unwrap();
    assert_eq!(gpus.gpus, std::slice::from_ref(&gpu));
    let GpuInfo::Apm(gpu) = gpu else { panic!("no model: {gpu:?}") };
    assert_eq!((gpu.mode.as_str(), gpu.status.as_str(), gpu.resets), ("on", "ready", 0));
    let telemetry: GpuTelemetry = rig.client.get("/v1/gpus/0/telemetry").unwrap();
    let GpuTelemetry::Apm(telemetry) = telemetry else { panic!("no model: {telemetry:?}") };
    assert_eq!((telemetry.engines.len(), telemetry.dma_refused), (3, 0));
    let events: GpuEvents = rig.client.get("/v1/gpus/0/events?after=0").unwrap();
    assert_eq!(events.events[0].event, "power_on");
    let GpuEvents { events } = rig.client.get("/v1/gpus/0/events?after=1").unwrap();
    assert_eq!((events[0].number, events[0].event.as_str()), (2, "ready"));
    assert_eq!(events[0].details["mode"], "on");
}

#[test]
fn each_reset_kind_is_done_and_counted() {
    let rig = rig();
    for (kind, resets) in [("flr", 1), ("bus", 2), ("cold", 3)] {
        let done: ResetDone =
            rig.client.post("/v1/gpus/0/reset", &json!({ "kind": kind })).unwrap();
        assert_eq!((done.resets, rig.resets()), (resets, resets));
    }
}

#[test]
fn a_mode_is_chosen_now_and_in_force_after_the_next_reset() {
    let rig = rig();
    for (mode, before) in [("devtools", "on"), ("off", "devtools"), ("on", "off")] {
        let chosen: ModeChosen =
            rig.client.post("/v1/gpus/0/mode", &json!({ "mode": mode })).unwrap();
        assert_eq!((chosen.mode.as_str(), chosen.next_mode.as_str()), (before, mode));
        assert_eq!(rig.gpu.gpu().admin().info().mode, before, "not before the reset");
        let _: ResetDone = rig.client.post("/v1/gpus/0/reset", &json!({ "kind": "flr" })).unwrap();
        assert_eq!(rig.gpu.gpu().admin().info().mode, mode);
    }
    for body in ["{}", "{\"mode\":\"ON\"}", "{\"mode\":\"off\",\"now\":true}"] {
        assert_eq!(rig.refusal("/v1/gpus/0/mode", body.as_bytes()).1, "malformed", "{body}");
    }
    assert_eq!(rig.gpu.gpu().admin().info().next_mode, "on");
}

#[test]
fn malformed_requests_are_refused_and_change_nothing() {
    let rig = rig();
    let path = "/v1/gpus/0/reset";
    for body in [
        "",
        "{",
        "[]",
        "null",
        "{}",
        "{\"kind\":\"warm\"}",
        "{\"kind\":1}",
        "\u{1}",
        "{\"kind\":\"flr\",\"address\":4096}",
    ] {
        let (status, error) = rig.refusal(path, body.as_bytes());
        assert!([400, 422].contains(&status), "{body}: {status}");
        assert_eq!(error, "malformed", "{body}");
    }
    let nested = "[".repeat(MAX_BODY - 1);
    assert_eq!(rig.refusal(path, nested.as_bytes()), (400, "malformed".into()));
    assert_eq!(rig.refusal(path, &vec![b' '; MAX_BODY + 1]), (413, "too-large".into()));
    for gpu in ["1", "-1", "x", "18446744073709551616", "%00", "0%2f0"] {
        let (status, error) = rig.refusal(&format!("/v1/gpus/{gpu}/reset"), b"{\"kind\":\"flr\"}");
        assert_eq!((status, error.as_str()), (404, "no-such-gpu"), "{gpu}");
    }
    assert_eq!(rig.refusal("/v2", b"{}"), (404, "no-such-path".into()));
    assert_eq!(rig.refusal("/v1/vm", b"{}"), (405, "method".into()));
    let (status, _) = rig.raw(b"POST /v1/gpus/0/reset HTTP/1.1\r\nhost: x\r\ncontent-length: 14\r\n\r\n{\"kind\":\"flr\"}");
    assert_eq!(status, 415, "a body of no type was taken");
    let (status, _) = rig.raw(b"GET /v1/gpus/0/events?after=x HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_eq!(status, 400);
    assert_eq!(rig.resets(), 0);
}

#[test]
fn what_is_no_http_is_no_request() {
    let rig = rig();
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"GARBAGE\r\n\r\n",
        b"POST /v1/gpus/0/reset HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/gpus/0/reset HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let (status, _) = rig.raw(bytes);
        assert!([0, 400, 505].contains(&status), "{status}");
    }
    let head =
        [b"GET /v1/vm HTTP/1.1\r\nx: ".as_slice(), &vec![b'a'; 1 << 20], b"\r\n\r\n"].concat();
    let (status, _) = rig.raw(&head);
    assert!([0, 431].contains(&status), "{status}");
    assert!(rig.client.get::<VmInfo>("/v1/vm").is_ok());
    assert_eq!(rig.resets(), 0);
}

#[test]
fn silent_and_numerous_clients_do_not_lock_the_operator_out() {
    let rig = rig();
    let silent: Vec<_> =
        (0..2 * MAX_CLIENTS).map(|_| net::UnixStream::connect(&rig.socket).unwrap()).collect();
    let begin = Instant::now();
    assert!(rig.client.get::<VmInfo>("/v1/vm").is_ok());
    assert!(begin.elapsed() < 4 * HEAD_TIME, "{:?}", begin.elapsed());
    drop(silent);
}

#[test]
fn concurrent_requests_each_get_their_answer() {
    let rig = rig();
    thread::scope(|scope| {
        for number in 0..12 {
            let client = &rig.client;
            scope.spawn(move || {
                for _ in 0..8 {
                    if number % 3 == 0 {
                        let body = json!({ "kind": "flr" });
                        client.post::<ResetDone>("/v1/gpus/0/reset", &body).unwrap();
                    } else {
                        client.get::<GpuTelemetry>("/v1/gpus/0/telemetry").unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(rig.resets(), 32);
}

#[test]
fn the_document_describes_every_path_and_each_answers() {
    let rig = rig();
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 8);
    for (path, operations) in paths {
        let path = path.replace("{gpu}", "0");
        let (status, body) = match operations.get("get") {
            Some(_) => rig.raw(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()),
            None if path.ends_with("mode") => rig.post(&path, b"{\"mode\":\"on\"}"),
            None => rig.post(&path, b"{\"kind\":\"cold\"}"),
        };
        assert_eq!(status, 200, "{path}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        let operation = operations.as_object().unwrap().values().next().unwrap();
        let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        // Where there are two, the model's is the first.
        let schema = schema.get("anyOf").map_or(schema, |kinds| &kinds[0]);
        let Some(name) = schema["$ref"].as_str().and_then(|name| name.rsplit('/').next()) else {
            continue;
        };
        let described = document["components"]["schemas"][name]["properties"].as_object().unwrap();
        let described: Vec<_> = described.keys().collect();
        let mut found: Vec<_> = answer.as_object().unwrap().keys().collect();
        found.sort_by_key(|key| described.iter().position(|name| name == key));
        assert_eq!(found, described, "{path}");
    }
}

#[test]
fn only_its_owner_may_connect_and_nothing_listens_afterwards() {
    let rig = rig();
    let mode = fs::symlink_metadata(&rig.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let Rig { _server: server, client, .. } = rig;
    drop(server);
    assert!(matches!(client.get::<VmInfo>("/v1/vm"), Err(Error::Connect(..))));
}
