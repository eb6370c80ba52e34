//! A guest's buses with a virtio function, serial ports, clock and keyboard on them: every register at
//! every width and offset, BARs that move, MSI-X, resets, rings. What nobody claims answers nobody,
//! registers and doorbells are where the specifications have them, private memory stays as it was.
//!
//! The first byte chooses the device.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin_devices::drive::bus::Machine;
use ravelin_devices::drive::host::subject;
use ravelin_fuzz::folder::folder;

fuzz_target!(|data: &[u8]| {
    let Some((kind, script)) = data.split_first() else { return };
    let (device, host) = subject(*kind, folder()).unwrap();
    Machine::new().with_virtio(device, host).unwrap().run(script);
});
