//! Rows 13 and 15 of the threats through a running VM: the guest's own processor tries the window on
//! protected GPU memory, and a ring in private memory. What the guest says is one half; the GPU's
//! counters and the DMA gate's are the other.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

mod support;

use ravelin::config::GpuSpec;
use ravelin::machine::gpu::Gpu;
use ravelin::machine::peripherals::Peripherals;
use ravelin::machine::{Machine, SerialLine, SerialPorts};
use ravelin::platform::Platform;
use ravelin_devices::apm::ApmDevice;
use ravelin_devices::serial::SerialPort;
use ravelin_report::Event;
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};
use support::{Collector, config};

/// A guest's last word, and the GPU that it tried.
fn probe(name: &str) -> (Event, Arc<ApmDevice>) {
    let report = Collector::default();
    let ports = SerialPorts {
        console: SerialLine::polled(Arc::new(SerialPort::new(io::sink()))),
        report: SerialLine::polled(Arc::new(SerialPort::new(report.clone()))),
    };
    let parameters = format!("workload=probe probe={name}");
    let guest = config(Platform::Emulated, &parameters);
    let machine = Machine::new(guest, &[GpuSpec::default()], Peripherals::none(), ports).unwrap();
    let Gpu::Apm(gpu) = machine.gpus()[0].clone() else { panic!("no model") };
    let stopper = machine.stopper();
    thread::spawn(move || {
        thread::sleep(Duration::from_secs(60));
        stopper.stop();
    });
    machine.run().unwrap();
    let text = report.text();
    let last = text.lines().last().unwrap_or_else(|| panic!("the guest says nothing"));
    (serde_json::from_str(last).unwrap(), gpu)
}

fn assert_ok(event: &Event) {
    assert!(matches!(event, Event::Finished { result, .. } if result == "ok"), "{event:?}");
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn mmio_into_the_protected_region_is_refused_counted_and_changes_nothing() {
    let (last, gpu) = probe("window");
    assert_ok(&last);
    assert!(gpu.gpu().admin().telemetry().violations > 0);
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn a_ring_in_private_memory_is_refused_by_the_dma_gate() {
    let (last, gpu) = probe("private-ring");
    assert_ok(&last);
    assert_eq!(gpu.gpu().admin().telemetry().dma_faults, 1);
    assert_eq!(gpu.gate().refusals(), 1);
}
