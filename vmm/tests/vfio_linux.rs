//! An unmodified Linux guest with a device of the host's: a stock kernel's own driver on both platforms.
//!
//! `cargo rig vfio` has what it needs; elsewhere every test here is ignored.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

mod linux_support;
mod vfio_support;

use linux_support::{Boot, Image, OFF};
use vfio_support::Device;

/// What the guest reads of the disk.
const MEBIBYTES: u32 = 16;

/// The controller's words, the disk's bytes and how it interrupts.
fn script() -> String {
    format!(
        "b=/bin/busybox; $b mount -t devtmpfs dev /dev; n=0; \
         until [ -e /dev/nvme0n1 ] || [ $n = 300 ]; do $b usleep 100000; n=$((n+1)); done; \
         echo serial $(cat /sys/class/nvme/nvme0/serial); \
         $b dd if=/dev/nvme0n1 bs=1M count={MEBIBYTES} 2>/dev/null | $b wc -c; \
         echo vectors $(grep -c 'nvme0q' /proc/interrupts); {OFF}"
    )
}

fn works(platform: &str) {
    let gpu = format!("vfio={}", Device::Nvme.bound());
    let boot = Boot { platform, gpus: &[&gpu], ..Boot::of("6.1", Image::BzImage) };
    let run = boot.run(&script());
    assert_eq!((run.code, &run.object["result"]), (0, &"ok".into()), "{run}");
    run.assert_console("serial rig");
    run.assert_console(&(MEBIBYTES << 20).to_string());
    // Administration, and one for the processor.
    run.assert_console("vectors 2");
    let dma = &run.object["gpus"][0]["dma"];
    assert_eq!((&dma["failures"], &dma["owed_bytes"]), (&0.into(), &0.into()), "{run}");
    assert!(dma["mapped_bytes"].as_u64().unwrap() > 0, "{run}");
    let conversions = &run.object["conversions"];
    assert!(conversions.is_null() || conversions["log_matches_map"] == true, "{run}");
}

#[test]
#[ignore = "needs devices to give away: cargo rig vfio"]
fn linux_drives_a_device_of_the_hosts_on_emulated() {
    works("emulated");
}

#[test]
#[ignore = "needs devices to give away: cargo rig vfio"]
fn linux_drives_a_device_of_the_hosts_on_none() {
    works("none");
}
