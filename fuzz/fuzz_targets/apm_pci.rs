//! The GPU's PCI face: registers, the window on HBM, rings and doorbells, the mailbox, MSI-X, resets.
//! What is protected reads all ones, private memory stays as it was, and the GPU answers afterwards.
//!
//! The first byte chooses between a GPU in confidential mode and one in plain mode, whose engines obey
//! everyone. Power-on takes as long as a thousand scripts, so that each GPU has all of them.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use ravelin_devices::apm::ApmDevice;
use ravelin_devices::drive::bus::Machine;
use ravelin_gpu_abi::registers::Mode;
use ravelin_gpu_model::{FirmwareSet, GpuConfig};

thread_local! {
    static MACHINES: [RefCell<Machine>; 2] =
        [Mode::On, Mode::Off].map(|mode| RefCell::new(machine(mode)));
}

fn machine(mode: Mode) -> Machine {
    let firmware = FirmwareSet::current();
    let config = GpuConfig { memory: 8 << 20, mode, serial: 1, firmware, identity: None };
    Machine::new().with_gpu(|gate, sink| ApmDevice::new(config, gate, sink)).unwrap()
}

fuzz_target!(|data: &[u8]| {
    let Some((mode, script)) = data.split_first() else { return };
    MACHINES.with(|machines| machines[usize::from(mode & 1)].borrow_mut().run(script));
});
