//! The admin port, as a client that keeps no rules speaks to it: HTTP, paths, queries, bodies.
//!
//! Whatever is sent, the GPU is there afterwards and does what it did; it is reset only where an
//! answer says so.
#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use libfuzzer_sys::fuzz_target;
use ravelin::control::api::VmInfo;
use ravelin::control::router::{Subject, router};
use ravelin_devices::apm::ApmDevice;
use ravelin_devices::dma_gate::DmaGate;
use ravelin_devices::page_state::{PageState, PageStateMap};
use ravelin_devices::pci::msix::{MsiMessage, MsiSink};
use ravelin_gpu_abi::registers::Mode;
use ravelin_gpu_model::{FirmwareSet, GpuConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::{Builder, Runtime};
use vm_memory::{GuestAddress, GuestMemoryMmap};

struct Ignored;

impl MsiSink for Ignored {
    fn signal(&self, _: MsiMessage) {}
}

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().unwrap());

static GPU: LazyLock<Arc<ApmDevice>> = LazyLock::new(|| {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 4096)]).unwrap();
    let pages = PageStateMap::new(std::iter::once(0..4096), PageState::Shared).unwrap();
    let gate = Arc::new(DmaGate::new("gpu0", Arc::new(pages), memory));
    let config = GpuConfig {
        memory: 8 << 20,
        mode: Mode::On,
        serial: 1,
        firmware: FirmwareSet::current(),
        identity: None,
    };
    ApmDevice::new(config, gate, Arc::new(Ignored)).unwrap()
});

static SUBJECT: LazyLock<Arc<Subject>> = LazyLock::new(|| {
    let vm = VmInfo {
        name: "a".into(),
        pid: 1,
        version: "0".into(),
        platform: "none".into(),
        memory: 4096,
        workload: "idle".into(),
        uptime_us: 0,
        gpus: 1,
    };
    Arc::new(Subject { vm, since: Instant::now(), gpus: vec![GPU.clone()], log: None })
});

async fn talk(request: &[u8]) -> Vec<u8> {
    let (mut client, server) = duplex(1 << 20);
    client.write_all(request).await.unwrap();
    client.shutdown().await.unwrap();
    let service = TowerToHyperService::new(router(Arc::clone(&SUBJECT)));
    let _ = http1::Builder::new()
        .max_buf_size(16 << 10)
        .keep_alive(false)
        .serve_connection(TokioIo::new(server), service)
        .await;
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer).await;
    answer
}

fuzz_target!(|data: &[u8]| {
    if data.len() > 1 << 16 {
        return;
    }
    let admin = GPU.gpu().admin();
    let before = admin.info();
    let patience = Duration::from_secs(20);
    let answer = RUNTIME
        .block_on(async { tokio::time::timeout(patience, talk(data)).await })
        .expect("no answer and no end");
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."));
    let says = |text: &str| answer.windows(text.len()).any(|window| window == text.as_bytes());
    let after = admin.info();
    let reset = after.resets - before.resets;
    assert!(reset == 0 || (reset == 1 && says("\"duration_us\"")), "{reset} resets");
    if reset == 0 {
        assert_eq!(after.mode, before.mode, "the mode in force changed without a reset");
    }
    assert!(after.next_mode == before.next_mode || says("\"next_mode\""));
});
