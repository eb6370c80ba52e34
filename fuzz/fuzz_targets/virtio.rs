//! The virtio devices, below a driver that keeps no rules: rings, descriptors, page states, doorbells,
//! and a host at the other end, by script. Private memory stays as it was and comes out nowhere, and a
//! driver that comes afterwards finds a device.
//!
//! The first byte chooses the device.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin_devices::drive::{host, rings};
use ravelin_fuzz::folder::folder;

fuzz_target!(|data: &[u8]| {
    let Some((kind, script)) = data.split_first() else { return };
    let (device, mut host) = host::subject(*kind, folder()).unwrap();
    rings::drive(device, &mut host, script);
});
