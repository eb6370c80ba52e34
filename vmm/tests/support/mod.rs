//! What the tests with a real VM share: a machine without GPUs, and what the guest said.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

use ravelin::boot::image;
use ravelin::memory::{Memory, Pages};
use ravelin::platform::Platform;
use ravelin::vcpu::{Buses, Exit};
use ravelin::vm::{Builtin, Guest, Vm, VmConfig};
use ravelin_devices::bus::{MmioBus, PioBus};
use ravelin_devices::serial::{COM1, COM2, PORTS, SerialPort};
use ravelin_report::Event;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// No trial takes this long, even on a loaded machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Collects what a serial port sends.
#[derive(Clone, Default)]
pub struct Collector(Arc<Mutex<Vec<u8>>>);

impl Write for Collector {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Collector {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

/// What became of a guest.
pub struct Outcome {
    pub exit: Exit,
    pub console: String,
    pub events: Vec<Event>,
    pub memory: Arc<Memory>,
}

impl Outcome {
    /// The result that the guest reported.
    pub fn result(&self) -> &str {
        match self.events.last() {
            Some(Event::Finished { result, .. }) => result,
            other => panic!("the last event is {other:?}; console:\n{}", self.console),
        }
    }

    /// The number behind `label` on the console.
    pub fn number(&self, label: &str) -> u64 {
        let (_, rest) = self.console.split_once(label).unwrap_or_else(|| {
            panic!("no {label:?} in:\n{}", self.console);
        });
        let word = rest.split_whitespace().next().unwrap();
        match word.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).unwrap(),
            None => word.parse().unwrap(),
        }
    }
}

/// The built-in guest in 64 MiB.
pub fn config(platform: Platform, parameters: &str) -> VmConfig {
    with(platform, parameters, image::BUILTIN, b"payload".to_vec())
}

/// Another image, or another payload.
pub fn with(
    platform: Platform,
    parameters: &str,
    image: &'static [u8],
    payload: Vec<u8>,
) -> VmConfig {
    let guest = Guest::Builtin(Builtin {
        image,
        parameters: parameters.into(),
        hints: String::new(),
        host_data: [0; 32],
        payload,
    });
    let certificates = Arc::default();
    VmConfig { platform, memory: 64 << 20, pages: Pages::Any, cpus: 1, guest, certificates }
}

/// Runs a guest to its end; stops it if it takes too long.
pub fn run(config: VmConfig) -> Outcome {
    run_after(config, |_| {})
}

/// The same; `prepare` sees the VM before it starts.
pub fn run_after(config: VmConfig, prepare: impl FnOnce(&Vm)) -> Outcome {
    let vm = Vm::new(config).unwrap();
    let (console, report) = (Collector::default(), Collector::default());
    let buses = Buses { pio: Arc::new(PioBus::new()), mmio: Arc::new(MmioBus::new()) };
    buses.pio.insert(COM1, PORTS, Arc::new(SerialPort::new(console.clone()))).unwrap();
    buses.pio.insert(COM2, PORTS, Arc::new(SerialPort::new(report.clone()))).unwrap();
    prepare(&vm);
    let (memory, stopper) = (vm.memory().clone(), vm.stopper());
    let (done, ended) = std::sync::mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        if ended.recv_timeout(TIMEOUT).is_err() {
            stopper.stop();
        }
    });
    let exit = vm.run(buses).unwrap();
    let _ = done.send(());
    watchdog.join().unwrap();
    let report = report.text();
    let events = report
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no event: {line:?}")))
        .collect();
    Outcome { exit, console: console.text(), events, memory }
}
