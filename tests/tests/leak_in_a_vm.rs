//! The leak scan through a running VM: a marker planted in the weights is nowhere that the host can
//! look, from the first instruction to the last. With encryption switched off in the guest's driver
//! (an image that only this test builds) and in the GPU, the same scan finds it.
//!
//! `driver_leak.rs` asks the same in process, where it can also see every byte that crosses.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

use std::fs;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use ravelin::boot::image;
use ravelin::config::{ApmSpec, GpuSpec, ModeSpec};
use ravelin::machine::gpu::Gpu;
use ravelin::machine::peripherals::Peripherals;
use ravelin::machine::{Machine, SerialLine, SerialPorts};
use ravelin::memory::Pages;
use ravelin::platform::Platform;
use ravelin::vm::{Builtin, Guest, VmConfig};
use ravelin_devices::apm::ApmDevice;
use ravelin_devices::serial::SerialPort;
use ravelin_digits::Payload;
use ravelin_gpu_abi::WINDOW_BAR_SIZE;
use ravelin_gpu_model::Initiator;
use ravelin_report::Event;

/// As weights: finite numbers.
const MARKER: [u8; 32] = *b"MARKER-IN-THE-WEIGHTS-0123456789";
const MEMORY: u64 = 64 << 20;
/// Rounds that the guest computes, so that there is something to see for a while.
const ROUNDS: u32 = 20;

static WITHOUT_ENCRYPTION: &[u8] = include_bytes!(env!("RAVELIN_GUEST_WITHOUT_ENCRYPTION"));

fn found_in(haystack: &[u8]) -> bool {
    // The marker's first byte is rare: most places are left after one look.
    let (first, rest) = MARKER.split_first().unwrap();
    let mut haystack = haystack;
    while let Some(at) = haystack.iter().position(|byte| byte == first) {
        haystack = &haystack[at + 1..];
        if haystack.starts_with(rest) {
            return true;
        }
    }
    false
}

/// The digits, with the first weights overwritten by the marker.
fn payload() -> Vec<u8> {
    let digits = Payload::parse(ravelin_digits::EMBEDDED).unwrap();
    let first: Vec<u8> = digits.network().w1()[..8].iter().flat_map(|w| w.to_le_bytes()).collect();
    let mut bytes = ravelin_digits::EMBEDDED.to_vec();
    let at = bytes.windows(first.len()).position(|window| window == first).unwrap();
    bytes[at..at + MARKER.len()].copy_from_slice(&MARKER);
    assert!(Payload::parse(&bytes).is_ok());
    bytes
}

/// Collects what is written to it.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<u8>>>);

impl Write for Collector {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Everything that any thread of this process logs, at every level.
fn log() -> Collector {
    static LOG: OnceLock<Collector> = OnceLock::new();
    let start = || {
        let log = Collector::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone());
        tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
        tracing::info!("the log begins");
        log
    };
    LOG.get_or_init(start).clone()
}

/// A mapping of this process, as a core dump would have it.
struct Mapping {
    name: String,
    range: Range<u64>,
    /// The kernel leaves it out of core dumps (`dd` in `VmFlags`).
    dumped: bool,
}

/// The mappings of guest memory.
fn guest_memory() -> Vec<Mapping> {
    let mut mappings: Vec<Mapping> = Vec::new();
    for line in fs::read_to_string("/proc/self/smaps").unwrap().lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let Some((start, end)) = words[0].split_once('-') {
            let number = |digits| u64::from_str_radix(digits, 16).unwrap();
            let name = words.get(5).copied().unwrap_or_default().to_string();
            mappings.push(Mapping { name, range: number(start)..number(end), dumped: true });
        } else if let ("VmFlags:", Some(last)) = (words[0], mappings.last_mut()) {
            last.dumped = !words.contains(&"dd");
        }
    }
    mappings.retain(|mapping| mapping.name.starts_with("/memfd:ravelin"));
    mappings
}

/// The guest-memory part of a core dump of this process, scanned.
fn found_in_core_dump() -> bool {
    let mappings = guest_memory();
    assert!(mappings.iter().any(|mapping| mapping.dumped), "there is nothing to scan");
    let memory = fs::File::open("/proc/self/mem").unwrap();
    mappings.iter().filter(|mapping| mapping.dumped).any(|mapping| {
        let mut bytes = vec![0; (mapping.range.end - mapping.range.start) as usize];
        memory.read_exact_at(&mut bytes, mapping.range.start).unwrap();
        found_in(&bytes)
    })
}

fn found_in_window(gpu: &ApmDevice, initiator: Initiator) -> bool {
    let mut window = vec![0; WINDOW_BAR_SIZE as usize];
    for (at, bytes) in (0..).step_by(64 << 10).zip(window.chunks_mut(64 << 10)) {
        gpu.gpu().read_window(initiator, at, bytes);
    }
    found_in(&window)
}

/// Where the host finds the marker while, and after, a guest works with it.
fn leaks(image: &'static [u8], mode: ModeSpec) -> Vec<&'static str> {
    let (console, report, log) = (Collector::default(), Collector::default(), log());
    let ports = SerialPorts {
        console: SerialLine::polled(Arc::new(SerialPort::new(console.clone()))),
        report: SerialLine::polled(Arc::new(SerialPort::new(report.clone()))),
    };
    let config = VmConfig {
        platform: Platform::Emulated,
        memory: MEMORY,
        pages: Pages::Any,
        cpus: 1,
        guest: Guest::Builtin(Builtin {
            image,
            parameters: format!("workload=digits repeat={ROUNDS}"),
            hints: String::new(),
            host_data: [0; 32],
            payload: payload(),
        }),
        certificates: Arc::default(),
    };
    let gpus = [GpuSpec::Apm(ApmSpec { mode, ..ApmSpec::default() })];
    let machine = Machine::new(config, &gpus, Peripherals::none(), ports).unwrap();
    let Gpu::Apm(gpu) = machine.gpus()[0].clone() else { panic!("no model") };
    let stopper = machine.stopper();

    let over = Arc::new(AtomicBool::new(false));
    let watcher = {
        let (over, gpu) = (Arc::clone(&over), Arc::clone(&gpu));
        thread::spawn(move || {
            let mut seen = Vec::new();
            let mut last = false;
            while !last {
                // One more look after the guest has ended.
                last = over.load(Ordering::Acquire);
                let window = found_in_window(&gpu, Initiator::HostMmio)
                    || found_in_window(&gpu, Initiator::GuestMmio);
                let dump = found_in_core_dump();
                seen.extend(window.then_some("window"));
                seen.extend(dump.then_some("core dump of guest memory"));
            }
            seen
        })
    };
    let (done, ended) = std::sync::mpsc::channel::<()>();
    let watchdog = thread::spawn(move || {
        if ended.recv_timeout(Duration::from_secs(120)).is_err() {
            stopper.stop();
        }
    });
    // The mappings go with the machine's memory: keep it until the watcher has looked again.
    let memory = Arc::clone(machine.vm().memory());
    machine.run().unwrap();
    over.store(true, Ordering::Release);
    let mut leaks = watcher.join().unwrap();
    done.send(()).unwrap();
    watchdog.join().unwrap();
    drop(memory);

    let report = String::from_utf8(report.0.lock().unwrap().clone()).unwrap();
    let last = serde_json::from_str(report.lines().last().unwrap()).unwrap();
    assert!(matches!(last, Event::Finished { ref result, .. } if result == "ok"), "{last:?}");
    let rounds = report.lines().filter(|line| line.contains("\"round\"")).count();
    assert_eq!(rounds, ROUNDS as usize, "the guest has worked with the weights");

    assert!(!log.0.lock().unwrap().is_empty(), "the log is not listened to");
    let admin = gpu.gpu().admin();
    let told = format!("{:?} {:?} {:?}", admin.info(), admin.telemetry(), admin.events());
    for (place, text) in [
        ("console", console.0.lock().unwrap().as_slice()),
        ("log", log.0.lock().unwrap().as_slice()),
        ("report", report.as_bytes()),
        ("admin port", told.as_bytes()),
    ] {
        leaks.extend(found_in(text).then_some(place));
    }
    leaks.sort_unstable();
    leaks.dedup();
    leaks
}

/// Scans look at all guest memory of this process: one at a time.
static SCAN: Mutex<()> = Mutex::new(());

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn the_marker_is_nowhere_that_the_host_can_look() {
    let _alone = SCAN.lock().unwrap_or_else(|broken| broken.into_inner());
    let nowhere: [&str; 0] = [];
    assert_eq!(leaks(image::BUILTIN, ModeSpec::On), nowhere);
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn the_same_scan_finds_the_marker_with_encryption_switched_off() {
    let _alone = SCAN.lock().unwrap_or_else(|broken| broken.into_inner());
    assert_eq!(leaks(WITHOUT_ENCRYPTION, ModeSpec::Off), ["core dump of guest memory", "window"],);
}
