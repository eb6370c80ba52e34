//! The shared window of a GPU in a VM: the guest reaches it as memory, and only where it may be.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

mod support;

use ravelin::platform::Platform;
use ravelin::vcpu::Exit;
use ravelin::vm::Vm;
use ravelin_devices::apm::ApmDevice;
use ravelin_devices::dma_gate::DmaGate;
use ravelin_devices::pci::bus::{Function, PciBus};
use ravelin_devices::pci::msix::{MsiMessage, MsiSink};
use ravelin_gpu_abi::registers::Mode;
use ravelin_gpu_abi::{MSIX_BAR, SHARED_BAR_SIZE, SHARED_WINDOW_OFFSET};
use ravelin_gpu_model::{FirmwareSet, GpuConfig};
use std::sync::Arc;
use support::{config, run_after};
use vm_memory::{Bytes, GuestAddress};

/// Base address register 4, in configuration space.
const BAR4: u16 = 0x20;

struct NoInterrupts;

impl MsiSink for NoInterrupts {
    fn signal(&self, _: MsiMessage) {}
}

/// A GPU with a window, on a bus of its own.
fn gpu(vm: &Vm, number: u32) -> Arc<ApmDevice> {
    let window = Arc::new(vm.shared_window(number).unwrap());
    let memory = vm.memory();
    let gate = DmaGate::new("gpu", memory.pages().clone(), memory.shared().clone());
    let config = GpuConfig {
        memory: 64 << 20,
        mode: Mode::Off,
        serial: 1,
        identity: None,
        firmware: FirmwareSet::current(),
    };
    let gate = Arc::new(gate.with_window(window));
    ApmDevice::new(config, gate, Arc::new(NoInterrupts)).unwrap()
}

fn window(gpu: &ApmDevice) -> Option<u64> {
    gpu.gate().window().unwrap().addresses().map(|addresses| addresses.start)
}

fn move_bar(gpu: &ApmDevice, address: u64) {
    gpu.write_config(BAR4, &(address as u32).to_le_bytes());
    gpu.write_config(BAR4 + 4, &((address >> 32) as u32).to_le_bytes());
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn a_window_is_among_the_bars_and_over_nothing_else() {
    let vm = Vm::new(config(Platform::Emulated, "")).unwrap();
    let bars = vm.layout().bars.clone();
    let (first, second) = (gpu(&vm, 0), gpu(&vm, 1));
    let bus = PciBus::new(bars.clone());
    bus.add(first.clone()).unwrap();
    bus.add(second.clone()).unwrap();
    let home = [&first, &second].map(|gpu| gpu.bar_range(MSIX_BAR).unwrap().start);
    assert_eq!(window(&first), Some(home[0] + SHARED_WINDOW_OFFSET));
    assert_eq!(window(&second), Some(home[1] + SHARED_WINDOW_OFFSET));

    // Over guest memory, configuration space, interrupt controllers; below and above the BARs.
    for address in [0, 0xe000_0000, 0xfc00_0000, bars.start - SHARED_BAR_SIZE, bars.end] {
        move_bar(&second, address);
        assert_eq!(window(&second), None, "{address:#x}");
        let inside = address + SHARED_WINDOW_OFFSET;
        assert!(second.gate().write(inside, &[1]).is_err(), "{address:#x}");
    }
    // Over the other window, which stays.
    move_bar(&second, home[0]);
    assert_eq!(window(&second), None);
    assert_eq!(window(&first), Some(home[0] + SHARED_WINDOW_OFFSET));
    move_bar(&second, home[1]);
    assert_eq!(window(&second), Some(home[1] + SHARED_WINDOW_OFFSET));
    // A slot that is free again can be taken by the other.
    move_bar(&first, 0);
    move_bar(&second, home[0]);
    assert_eq!(window(&second), Some(home[0] + SHARED_WINDOW_OFFSET));
}

#[test]
#[cfg_attr(not(kvm), ignore = "SKIPPED: no usable /dev/kvm")]
fn what_the_guest_writes_into_the_window_is_there_for_the_gpu() {
    let layout = Vm::new(config(Platform::Emulated, "")).unwrap().layout().clone();
    let bar = layout.bars.start;
    let start = bar + SHARED_WINDOW_OFFSET;
    // A guest that writes to "device memory": words all over 2 MiB, with no device that answers.
    let parameters = format!("workload=probe probe=storm storm={start:#x}");
    let mut kept = None;
    let outcome = run_after(config(Platform::Emulated, &parameters), |vm| {
        let gpu = gpu(vm, 0);
        gpu.place_bar(MSIX_BAR, bar);
        assert_eq!(window(&gpu), Some(start));
        kept = Some(gpu);
    });
    assert_eq!(outcome.console, "nothing there: false\n", "{:?}", outcome.exit);
    assert_eq!(outcome.exit, Exit::PowerOff);
    let gpu = kept.unwrap();
    let mut bytes = vec![0; 2 << 20];
    gpu.gate().read(start, &mut bytes).unwrap();
    let memory = gpu.gate().window().unwrap().memory();
    let mut same = vec![0; 2 << 20];
    memory.read_slice(&mut same, GuestAddress(0)).unwrap();
    assert!(bytes.iter().any(|byte| *byte != 0) && bytes == same, "the GPU sees other memory");
}
